"""A worker ends with the process that started it, on any system."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WORKER = """
import fcntl, os, signal, subprocess, sys, time
from metasim.render import bootstrap
if sys.argv[2] == "elsewhere":
    del fcntl.F_SETSIG
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # as it is there from the beginning
bootstrap.die_with(int(sys.argv[1]))
child = subprocess.Popen(["sleep", "600"])
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("system", ["here", "elsewhere"])
def test_it_ends_with_all_that_it_has_started(system: str) -> None:
    lifeline, end = os.pipe()
    command = [sys.executable, "-c", WORKER, str(lifeline), system]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, pass_fds=[lifeline], start_new_session=True
    ) as worker:
        os.close(lifeline)
        assert worker.stdout
        try:
            assert worker.stdout.readline() == b"ready\n"
            os.close(end)
            assert worker.stdout.read() == b"", "it is closed once nobody has it any more"
        finally:
            worker.kill()
