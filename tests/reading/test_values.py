"""Values from text: every kind of damage is one line, and nothing out of bounds comes through."""

from __future__ import annotations

import gzip
import os

import pytest
from pydantic import BaseModel

from mar.errors import CheckpointError, ConfigError, DataError
from mar.reading import (
    parse_json,
    parse_toml,
    read_json_lines,
    read_lines,
    read_text,
    validated,
)
from mar.reading.yaml_values import parse_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join(f'*{a}' for _ in range(9))}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

BAD_JSON = {
    "nested deeper than the parser": ("[" * 100_000, "nested too deeply"),
    "nested deeper than we follow": ("[" * 66 + "]" * 66, "nested more than 64 levels deep"),
    "more digits than Python reads": ("9" * 5000, "an integer has more than 300 digits"),
    "more digits than a float holds": ("9" * 301, "an integer has more than 300 digits"),
    "not a number": ('{"x": NaN}', "nan is no finite number"),
    "an overflowing number": ('{"x": -1e999}', "-inf is no finite number"),
    "half of a surrogate pair": (r'["\ud800"]', "it holds half of a surrogate pair, which is no text"),
    "a field given twice": ('{"a": 1, "b": {"a": 1, "a": 2}}', "the field 'a' is given twice"),
    "cut off": ('{"a": [1, 2', "malformed JSON: Expecting ',' delimiter at line 1 column 12"),
}


@pytest.mark.parametrize(("text", "problem"), BAD_JSON.values(), ids=BAD_JSON)
def test_json_out_of_bounds_is_one_line_that_says_what_and_where(text, problem):
    with pytest.raises(DataError) as caught:
        parse_json(text, "f.json", expected="rows")
    assert str(caught.value) == f"f.json: {problem}; expected rows"


def test_json_at_the_bounds_is_read():
    assert parse_json("[" * 64 + "]" * 64, "x") is not None
    assert parse_json("9" * 300, "x") == 10**300 - 1
    assert parse_json(r'["\ud83d\ude00"]', "x") == ["\N{GRINNING FACE}"]


def test_a_file_of_ours_may_hold_undefined_metrics():
    assert str(parse_json('{"x": NaN}', "x", finite=False)["x"]) == "nan"


@pytest.mark.parametrize(
    "text",
    [
        "[" + ".".join("a" * 400_000) + "]",
        '"a" . ' * 100_000,
        "x = " + "[" * 5000,
        "x = " + "9" * 5000,
        "x = inf",
        "x = 1\nx = 2",
        "x = ",
        'x = "\\ud800"',
        "x = 10e999",
    ],
    ids=lambda text: text[:12],
)
def test_toml_out_of_bounds_is_one_line(text):
    with pytest.raises(ConfigError, match=r"\Af: [^\n]+; expected a table\Z"):
        parse_toml(text, "f", expected="a table", error=ConfigError)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "&a [*a]",
        "[" * 500,
        "x: " + "9" * 5000,
        "x: .nan",
        "x: 1\nx: 2",
        "!!python/object/apply:os.getcwd []",
        "? [a]\n: b",
        "x: 2001-99-99",
        "\x00",
    ],
    ids=["aliases", "cycle", "brackets", "digits", "nan", "twice", "tag", "key", "date", "nul"],
)
def test_yaml_out_of_bounds_is_one_line(text):
    with pytest.raises(ConfigError, match=r"\Af: [^\n]+\Z"):
        parse_yaml(text, "f", error=ConfigError)


def test_yaml_aliases_that_stay_small_are_read():
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a", "f") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": {"x": 1},
    }


def test_text_is_utf8_with_or_without_a_mark(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbfab")
    assert read_text(path) == "ab"
    path.write_bytes(b"ab\xff")
    with pytest.raises(CheckpointError) as caught:
        read_text(path, error=CheckpointError)
    assert str(caught.value) == f"{path} cannot be read: byte 2 is no UTF-8 text; expected UTF-8 text"


def test_a_file_longer_than_allowed_is_refused_packed_or_not(tmp_path):
    for name, content in (("f", b"x" * 1001), ("f.gz", gzip.compress(b"x" * 10_000_000))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="longer than the 1,000 bytes allowed"):
            read_text(tmp_path / name, most=1000)


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "", "none"):
        with pytest.raises(DataError):
            read_text(tmp_path / name)


def test_lines_are_named_and_half_a_line_left_by_a_kill_can_be_left_out(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n{"a"')
    assert [value["a"] for _, value in read_json_lines(path, complete=True)] == [1, 2]
    with pytest.raises(DataError, match=r"f\.jsonl, line 4: "):
        list(read_json_lines(path))


def test_a_line_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"ab\n\xff\n")
    with pytest.raises(DataError, match="f, line 2 cannot be read: byte 0 is no UTF-8 text"):
        list(read_lines(path))


def test_a_cut_off_archive_is_one_line(tmp_path):
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(b"abc\n" * 1000)[:-9])
    with pytest.raises(DataError):
        list(read_lines(path))


class Record(BaseModel):
    x: float


def test_a_record_that_does_not_fit_names_the_field_and_not_the_value():
    with pytest.raises(DataError) as caught:
        validated(Record, {"x": "secret"}, "f, line 1")
    assert str(caught.value).startswith("f, line 1: x: Input should be a valid number")
    assert "secret" not in str(caught.value)


def test_the_parsers_exception_which_may_carry_the_text_is_not_chained():
    with pytest.raises(ConfigError) as caught:
        parse_json('{"key": "secret', "f", error=ConfigError)
    assert caught.value.__context__ is None
