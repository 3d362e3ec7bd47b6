"""The files that ``metasim init`` writes: a small experiment to start from."""

from __future__ import annotations

from pathlib import Path

from metasim.errors import DataError
from metasim.files import write_atomic

__all__ = ["write_starter"]

_EXPERIMENT = """\
# An experiment: learn how digits are turned and placed from images without labels.
#   metasim validate experiment.yaml      every mistake, with line and column
#   metasim train experiment.yaml         any setting can be changed: training.lr=1e-3
# Paths are relative to this file.
name: "{name}"
seed: 0

# What may be in a scene, how it varies as far as is known, and what is to be learned.
grammar: grammar.yaml

# What draws the scenes: an installed plugin (metasim renderers list) or module:Class.
renderer:
  use: mnist
  options: {{image_size: [32, 32], glyphs: digits, split: source}}

# The images to match. Here they are drawn from a second grammar, so that the truth is known
# and the report can compare with it. With images of your own, write instead:
#   target: {{images: path/to/folder}}
target:
  grammar: target.yaml
  count: 500
  renderer:
    options: {{split: target}}     # other digits than the learner draws with

# All further settings have defaults that suit most cases, for example:
# editor: {{use: gcn, head: {{use: mixture}}}}
# features: {{use: simulator}}
# discrepancy: {{use: mmd}}
# gradient: {{use: score_function}}
training:
  max_renders: 20000

# The run is made below it: results/{name}/<time>-s<seed>
output: {{dir: results}}
"""

_GRAMMAR = """\
# {about}
# A tree of nodes. Each has a kind, which the renderer draws, and attributes. An attribute has
# a prior and a unit; those marked mutable are learned and need a range.
root:
  name: scene
  kind: scene
  children:
    - name: digit
      kind: digit
      attributes:
        class: {{prior: {{choice: {{values: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}}}}}
        yaw:
          prior: {{normal: {{mean: {yaw}, std: {std}}}}}
          unit: deg
          range: [0, 360]
          periodic: true
          mutable: true
        x: {{prior: 16, unit: px, range: [0, 32]}}
        y: {{prior: 16, unit: px, range: [0, 32]}}

# What draws it when a dataset is made from the grammar alone:
#   metasim generate {file} --count 100 --out data
renderer:
  use: mnist
  options: {{image_size: [32, 32]}}
"""

_README = """\
# {name}

- `experiment.yaml`: the experiment; every setting is explained there.
- `grammar.yaml`: what is known of the scenes beforehand.
- `target.yaml`: the scenes of the target images, which the learner does not see.

```
metasim validate experiment.yaml
metasim train experiment.yaml
metasim generate results/{name}/RUN --count 1000 --out tuned
```
"""


def write_starter(folder: Path) -> list[Path]:
    """Write a commented experiment with its grammars into a new folder.

    Args:
        folder: made where it is missing; must hold nothing.

    Returns:
        The files.

    Raises:
        DataError: when the folder holds something already or cannot be made.
    """
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in folder.absolute().name)
    name = name.strip("_")[:100] or "experiment"
    files = {
        "experiment.yaml": _EXPERIMENT.format(name=name),
        "grammar.yaml": _GRAMMAR.format(
            about="The scenes as far as they are known.", yaw=0, std=10, file="grammar.yaml"
        ),
        "target.yaml": _GRAMMAR.format(
            about="The scenes of the target images.", yaw=90, std=5, file="target.yaml"
        ),
        "README.md": _README.format(name=name),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DataError(
                f"{folder} must be a new or an empty folder, and is not; choose another"
            )
        for file, text in files.items():
            write_atomic(folder / file, text)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}") from None
    return [folder / file for file in files]
