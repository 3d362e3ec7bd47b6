from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from metasim.config import Experiment, load_experiment
from metasim.testing import AnalyticRenderer


@pytest.fixture
def blobs(tmp_path: Path) -> Callable[..., Experiment]:
    """Load an experiment of blobs below ``tmp_path``, with other settings where given."""
    (tmp_path / "blobs.yaml").write_text(yaml.safe_dump(AnalyticRenderer.example))

    def load(**settings: Any) -> Experiment:
        whole = {
            "grammar": "blobs.yaml",
            "renderer": {"use": "metasim.testing:AnalyticRenderer"},
            "target": {"grammar": "blobs.yaml", "count": 10},
            "output": {"dir": "results"},
        }
        (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(whole | settings))
        return load_experiment(tmp_path / "experiment.yaml")

    return load
