from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from metasim import summaries
from metasim.doctor import EXTRAS, diagnose
from metasim.render.plugins import GROUP
from metasim.testing import AnalyticRenderer


def pretend(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    """Give packages other versions; None for not installed."""
    real = importlib.metadata.version

    def version(name: str) -> str:
        found = versions[name] if name in versions else real(name)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_it_tells_what_is_here() -> None:
    found = json.loads(json.dumps(diagnose()))
    assert found["python"] == platform.python_version()
    assert found["cores"] >= 1
    assert found["memory"] > 2**20
    assert found["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert found["packages"]["torch"] == importlib.metadata.version("torch")
    assert "cpu" in found["devices"]
    assert "mnist" in found["renderers"]


def test_every_extra_is_told_with_what_it_adds() -> None:
    declared = importlib.metadata.metadata("metasim").get_all("Provides-Extra")
    found = diagnose()["extras"]
    assert set(found) == set(EXTRAS) == set(declared or ())
    assert all(extra["adds"] and extra["install"] for extra in found.values())
    assert found["dev"]["installed"]


def test_an_extra_lacks_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, tensorboard=None)
    extra = diagnose()["extras"]["tensorboard"]
    assert (extra["installed"], extra["missing"]) == (False, ["tensorboard"])


def test_an_extra_lacks_what_another_that_it_names_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, ray=None)
    extras = diagnose()["extras"]
    assert extras["dev"]["missing"] == extras["ray"]["missing"] == ["ray"]
    assert not extras["dev"]["installed"]


def test_a_missing_package_is_a_problem_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, scipy=None, pydantic="1.10.0")
    found = diagnose()
    assert found["packages"]["scipy"] is None
    told = "\n".join(found["problems"])
    assert "scipy is missing; pip install 'scipy>=" in told
    assert "pydantic 1.10.0 does not fit; pip install 'pydantic>=" in told
    assert "scipy" in summaries.health(found)
    assert "MISSING" in summaries.health(found)


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"numpy": "2.1.0", "bpy": "4.5.15"}, "numpy>=1.26,<2"),
        pytest.param(
            {"torch": "2.13.0+cpu", "torchvision": "0.28.0"},
            "both for the CPU",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="one build elsewhere"),
        ),
        ({"numpy": "1.26.4", "pyarrow": "26.0"}, "pyarrow<26"),
    ],
)
def test_versions_that_do_not_go_together(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], said: str
) -> None:
    pretend(monkeypatch, **versions)
    assert any(said in problem for problem in diagnose()["problems"])


def test_metasim_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert any("pip install -e ." in problem for problem in diagnose()["problems"])


@pytest.mark.skipif(
    not importlib.metadata.version("torch").endswith("+cpu"), reason="torch is no CPU build"
)
def test_it_does_not_import_torch_where_its_version_tells_enough() -> None:
    code = (
        "import sys; from metasim.doctor import diagnose\n"
        "diagnose(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Ready(AnalyticRenderer):
    pass


class Lacking(AnalyticRenderer):
    @classmethod
    def lacks(cls) -> list[str]:
        return ["needs a brush; buy one", "needs paint; mix some"]


class Broken(AnalyticRenderer):
    @classmethod
    def lacks(cls) -> list[str]:
        raise OSError("no shop is open")


def test_renderers_that_cannot_draw_here_are_told_in_their_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classes = {"ready": Ready, "lacking": Lacking, "broken": Broken}
    points = {
        name: EntryPoint(name, f"{__name__}:{found.__name__}", GROUP)
        for name, found in classes.items()
    }
    points["gone"] = EntryPoint("gone", "package_that_is_not_there:Renderer", GROUP)
    monkeypatch.setattr("metasim.doctor.installed", lambda: points)
    monkeypatch.setattr("metasim.render.plugins.installed", lambda: points)
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Ready.__module__])
    found = diagnose()
    assert found["renderers"] == [*classes, "gone"]
    assert list(found["lacking"]) == ["lacking", "broken", "gone"]
    assert found["lacking"]["lacking"] == ["needs a brush; buy one", "needs paint; mix some"]
    assert "OSError: no shop is open" in found["lacking"]["broken"][0]
    assert "package_that_is_not_there" in found["lacking"]["gone"][0]
    text = summaries.health(found)
    assert "renderers that cannot draw here\nlacking  needs a brush; buy one\n" in text
    assert "renderers that cannot draw" not in summaries.health({**found, "lacking": {}})
