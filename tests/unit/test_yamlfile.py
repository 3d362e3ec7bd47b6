from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from metasim import yamlfile
from metasim.errors import ConfigError
from metasim.yamlfile import Document, Mark

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.sampled_from(
        ["1e-3", "on", "0x10", "0o17", "017", ".5", "~", "null", "Yes", "1_000", "=", "<<"]
    )
)
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
)


def same(a: Any, b: Any) -> bool:
    """Equality that tells 1 from 1.0 and True."""
    if isinstance(a, dict):
        return (
            isinstance(b, dict) and list(a) == list(b) and all(same(x, b[k]) for k, x in a.items())
        )
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(DATA)
def test_what_is_dumped_is_read_back_exactly(data: Any) -> None:
    document = yamlfile.parse(yamlfile.dump(data), "x.yaml")
    assert document.mistakes == []
    assert same(document.data, data)


@given(DATA)
def test_what_is_dumped_means_the_same_to_a_yaml_1_1_reader(data: Any) -> None:
    read = yaml.safe_load(yamlfile.dump(data))
    assert same(read, data)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-.5", -0.5),
        ("3.", 3.0),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("+7", 7),
        ("yes", "yes"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("true", True),
        ("~", None),
        ("''", ""),
        ("'1'", "1"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    assert same(yamlfile.parse(f"key: {text}", "x").data, {"key": value})


def test_marks_say_where_keys_and_values_stand() -> None:
    document = yamlfile.parse("a: 1\nb:\n  - c: two\n    d: [3, 4]\n", "x.yaml")
    assert document.mark(("b", 0, "d"), key=True) == Mark("x.yaml", 4, 5)
    assert document.mark(("b", 0, "d")) == Mark("x.yaml", 4, 8)
    assert document.mark(("b", 0, "d", 1)) == Mark("x.yaml", 4, 12)
    assert document.mark(("b", 0, "missing")) == Mark("x.yaml", 3, 5)


def test_an_empty_file_holds_nothing() -> None:
    assert yamlfile.parse("# nothing\n", "x.yaml").data is None


def test_all_that_is_wrong_is_collected() -> None:
    text = (
        "a: 1\na: 2\nb: !!python/object:os.system x\nc: .nan\nd: -.inf\n"
        "? [1]\n: 2\ne: !!int x\nf: 5\n"
    )
    document = yamlfile.parse(text, "x.yaml")
    assert [(m.line, m.column) for m in document.mistakes] == [
        (2, 1),
        (3, 4),
        (4, 4),
        (5, 4),
        (6, 3),
        (8, 4),
    ]
    assert "stands twice, first in line 1" in document.mistakes[0].message
    assert document.data["a"] == 1
    assert document.data["f"] == 5
    assert document.broken == {("b",), ("c",), ("d",), ("e",)}


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: 1\n b: 2\n", 2, 3),
        ("a: [1, 2\n", 2, 1),
        ("a:\n\t- 1\n", 2, 1),
        ("a: 1\nb: \x07\n", 2, 4),
        ("a: *nowhere\n", 1, 4),
        ("a: 1\n---\nb: 2\n", 2, 1),
    ],
)
def test_text_that_is_no_yaml_is_refused_with_its_position(
    text: str, line: int, column: int
) -> None:
    with pytest.raises(ConfigError) as caught:
        yamlfile.parse(text, "x.yaml")
    (mistake,) = caught.value.mistakes
    assert (mistake.file, mistake.line, mistake.column) == ("x.yaml", line, column)
    assert mistake.message.startswith("is not YAML: ")


def test_aliases_are_written_out_but_not_without_bound() -> None:
    assert yamlfile.parse("a: &x [1, 2]\nb: *x\n", "x").data == {"a": [1, 2], "b": [1, 2]}
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
    )
    with pytest.raises(ConfigError, match="more than 200000 values"):
        yamlfile.parse(bomb, "x")


def test_an_alias_cannot_contain_itself() -> None:
    document = yamlfile.parse("a: &x [1, *x]\n", "x")
    assert document.data == {"a": [1, None]}
    assert "must not contain itself" in document.mistakes[0].message


@pytest.mark.parametrize("depth", [61, 100, 330])
def test_deep_nesting_is_a_mistake_in_its_place_beside_others(depth: int) -> None:
    text = f"a: .nan\nb: {'[' * (depth - 1)}{']' * (depth - 1)}\nc: .nan\n"
    first, deep, last = yamlfile.parse(text, "x").mistakes
    assert (deep.line, deep.column) == (2, 4 + 59)  # the mapping around it is one
    assert "at most 60 lists and mappings" in deep.message
    assert (first.line, last.line) == (1, 3)


def test_nesting_that_no_parser_follows_is_refused_in_its_place() -> None:
    with pytest.raises(ConfigError, match=r"x:1:61: at most 60 lists and mappings"):
        yamlfile.parse("[" * 5000, "x")
    with pytest.raises(ConfigError, match=r"x:2:64: at most 60 lists and mappings"):
        yamlfile.parse(f"a: [[1], [2]]\nb:  {'[' * 2000}{']' * 2000}\n", "x")


def test_sixty_levels_are_read() -> None:
    document = yamlfile.parse("[" * 60 + "]" * 60, "x")
    assert not document.mistakes
    assert json.dumps(document.data) == "[" * 60 + "]" * 60


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        yamlfile.read(tmp_path / "nowhere.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml:2: must be UTF-8"):
        yamlfile.read(latin)
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * 4_000_001)
    with pytest.raises(ConfigError, match="at most 4000000 bytes"):
        yamlfile.read(large)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert yamlfile.read(path).data == {"a": 1}


def test_grafting_brings_data_and_marks_and_forgets_the_old_ones() -> None:
    document = yamlfile.parse("a:\n  b: {c: 1}\n", "outer")
    document.graft(("a", "b"), yamlfile.parse("d: .nan\n", "inner"))
    assert document.data == {"a": {"b": {"d": None}}}
    assert document.mark(("a", "b", "d")).file == "inner"
    assert document.mark(("a", "b"), key=True) == Mark("outer", 2, 3)
    assert ("a", "b", "c") not in document.values
    assert document.broken == {("a", "b", "d")}
    document.graft((), Document({"new": 1}))
    assert document.data == {"new": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [('name: "\\UFFFFFFFF"', "is not YAML"), ('name: "\\ud800"', "half of a character")],
)
def test_characters_that_there_are_not_are_told(text: str, told: str) -> None:
    try:
        found = yamlfile.parse(text, "x.yaml").mistakes
    except ConfigError as error:
        found = list(error.mistakes)
    (mistake,) = found
    assert told in mistake.message
