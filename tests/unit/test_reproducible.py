"""The same arithmetic gives the same numbers, on as many threads as a user has."""

from __future__ import annotations

import os
import subprocess
import sys

_AGAIN = """
import metasim, torch
import torch.nn.functional as F

torch.set_num_threads(2)
generator = torch.Generator().manual_seed(0)
maps, kernel = (torch.randn(s, generator=generator) for s in [(1, 64, 1, 1), (64, 64, 3, 3)])
outer, seen, others = torch.randn(1, 64, 1, 1, generator=generator), set(), []
for number in range(60):
    others.append(torch.empty(1 + 7 * number))  # memory lies otherwise each time
    again = maps.clone().requires_grad_()
    F.conv2d(again, kernel, padding=1).backward(outer)
    seen.add(again.grad.numpy().tobytes())
print(len(seen))
"""


def test_gradients_on_two_threads_are_the_same_each_time() -> None:
    told = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    done = subprocess.run(
        [sys.executable, "-c", _AGAIN],
        env=told | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == 1
