"""Ray is asked for by name, and its absence told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metasim.errors import MissingExtraError, PluginError
from metasim.render import make_renderer
from metasim.render.options import Workers


@pytest.mark.parametrize(
    ("found", "error", "told"),
    [
        (None, MissingExtraError, r"pip install 'metasim\[ray\]'"),
        ("raise OSError('torn')", PluginError, r"cannot be imported \(torn\); reinstall .*\[ray\]"),
    ],
)
def test_ray_that_is_missing_or_broken_is_told(
    found: str | None,
    error: type[Exception],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    if found is None:
        monkeypatch.setitem(sys.modules, "ray", None)
    else:
        (tmp_path / "ray.py").write_text(found)
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error, match=told):
        make_renderer("mnist", workers=Workers(executor="ray"))
