"""Finding renderers by name or by module, and saying clearly why one cannot be had."""

import sys
from importlib.metadata import EntryPoint

import pytest

from metasim.errors import PluginError
from metasim.render import Renderer, load_renderer, make_renderer, plugins
from metasim.testing import AnalyticRenderer

SOURCE = """
from metasim.render import Renderer
class Box(Renderer):
    kinds = {"scene": frozenset()}
    def __init__(self, size=(8, 8)):
        self.image_size = tuple(size)
    def render(self, scenes):
        raise NotImplementedError
class Needs(Box):
    def __init__(self, port):
        self.port = port
class Anything(Box):
    def __init__(self, **options):
        self.image_size = (8, 8)
        self.options = options
class NoLicence(Box):
    def __init__(self, problem="licence not found"):
        if problem == "exit":
            raise SystemExit(0)
        raise ValueError(problem)
class NoSize(Box):
    def __init__(self, size=None):
        if size:
            self.image_size = size
class NoNames(Box):
    kinds = {"blob": None}
class NoKinds(Renderer):
    def render(self, scenes):
        raise NotImplementedError
class NoRender(Renderer):
    kinds = {}
class Other:
    kinds = {}
thing = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module of renderers, forgotten at the end."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, source in {"boxes": SOURCE, "spoilt": "1 +", "raising": "1 / 0"}.items():
        (tmp_path / f"metasim_test_{name}.py").write_text(source)
    yield tmp_path
    for name in [n for n in sys.modules if n.startswith("metasim_test_")]:
        del sys.modules[name]


def test_a_class_in_a_folder_needs_no_installation(folder):
    found = load_renderer("metasim_test_boxes:Box", folder)
    assert issubclass(found, Renderer)
    assert load_renderer("metasim_test_boxes:Box", folder) is found
    assert make_renderer("metasim_test_boxes:Box", {"size": [3, 4]}, folder).image_size == (3, 4)


def test_the_folder_is_looked_into_after_pythons_own_path(folder):
    (folder / "metasim.py").write_text("raise RuntimeError('shadowed')")
    assert load_renderer("metasim.testing:AnalyticRenderer", folder) is AnalyticRenderer


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("metasim_test_nowhere:Box", "importing 'metasim_test_nowhere' for"),
        ("metasim_test_spoilt:Box", "SyntaxError"),
        ("metasim_test_raising:Box", "ZeroDivisionError"),
        (":Box", "importing '' for"),
        ("metasim_test_boxes:Bix", "did you mean 'Box'"),
        ("metasim_test_boxes:thing", "must be a subclass of"),
        ("metasim_test_boxes:Other", "must be a subclass of"),
        ("metasim_test_boxes:NoKinds", "class attribute 'kinds'"),
        ("metasim_test_boxes:NoRender", "a method 'render'"),
    ],
)
def test_what_is_no_renderer_is_refused(folder, name, said):
    with pytest.raises(PluginError, match=said):
        load_renderer(name, folder)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("Box", {"sise": 3}, "no option 'sise'; did you mean 'size'"),
        ("Needs", {}, "must be given the option 'port'"),
        ("Needs", {"port": 1, "host": 2}, "no option 'host'"),
    ],
)
def test_options_that_do_not_fit_are_refused(folder, name, options, said):
    with pytest.raises(PluginError, match=said):
        make_renderer(f"metasim_test_boxes:{name}", options, folder)


def test_a_renderer_that_takes_any_option_gets_any(folder):
    made = make_renderer("metasim_test_boxes:Anything", {"a": 1, "b": 2}, folder)
    assert made.options == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("NoLicence", {}, "building .*NoLicence' raised ValueError: licence not found"),
        ("NoLicence", {"problem": "exit"}, "building .* raised SystemExit: 0"),
        ("NoSize", {}, "must set image_size to .*, got None"),
        ("NoSize", {"size": "8x8"}, "must set image_size to .*, got '8x8'"),
        ("NoSize", {"size": [0, 8]}, "at least 1, got \\[0, 8\\]"),
        ("NoNames", {}, "'kinds': kind -> frozenset of attribute names"),
    ],
)
def test_a_renderer_that_cannot_be_built_is_told_why(folder, name, options, said):
    with pytest.raises(PluginError, match=said):
        make_renderer(f"metasim_test_boxes:{name}", options, folder)


def test_a_module_that_ends_the_process_is_told_too(tmp_path):
    (tmp_path / "metasim_test_exits.py").write_text("raise SystemExit(0)")
    with pytest.raises(PluginError, match=r"importing 'metasim_test_exits' .* raised SystemExit"):
        make_renderer("metasim_test_exits:X", {}, tmp_path)


def test_installed_plugins_are_found_by_name(monkeypatch):
    points = [
        EntryPoint("toy", "metasim.testing:AnalyticRenderer", plugins.GROUP),
        EntryPoint("broken", "metasim_test_nowhere:X", plugins.GROUP),
    ]
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: points if group == plugins.GROUP else []
    )
    assert list(plugins.installed()) == ["broken", "toy"]
    assert load_renderer("toy") is AnalyticRenderer
    with pytest.raises(PluginError, match="did you mean 'toy'"):
        load_renderer("toi")
    with pytest.raises(PluginError, match="importing 'metasim_test_nowhere' for"):
        load_renderer("broken")


def test_a_module_of_another_folder_is_not_taken_for_its_namesake(folder, tmp_path_factory):
    load_renderer("metasim_test_boxes:Box", folder)
    other = tmp_path_factory.mktemp("other")
    (other / "metasim_test_boxes.py").write_text(SOURCE)
    with pytest.raises(PluginError, match="must have a name of its own"):
        load_renderer("metasim_test_boxes:Box", other)
    # Without a namesake it is merely a module that is there.
    assert load_renderer("metasim_test_boxes:Box", tmp_path_factory.mktemp("empty"))
