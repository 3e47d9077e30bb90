"""One registry for each kind of thing, and one way to find what is in it."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mar.errors import ConfigError
from mar.extensions import Registry, is_place, load, parse_call, use


class Song:
    """A thing."""


@pytest.fixture
def songs():
    return Registry[type]("song", group="mar.songs", fits=lambda t: isinstance(t, type), expected="a class")


@pytest.fixture
def folder(tmp_path, monkeypatch, registries):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    """What packages are taken to have among their entry points."""
    points = []
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [p for p in points if p.group == group])
    return points


def test_what_is_registered_is_found_by_its_name(songs):
    songs.register("air", Song)
    songs.register("air", Song)  # again is fine
    assert songs.find("air") is songs.named("air") is Song
    assert dict(songs) == {"air": Song}
    assert songs.name_of(Song) == "air"
    assert songs.name_of(Path) == "pathlib:Path"


def test_a_name_belongs_to_one_thing(songs):
    songs.register("air", Song)
    with pytest.raises(ConfigError, match=r"^there is a song 'air' already: tests.test_extensions:Song$"):
        songs.register("air", Path)


def test_another_kind_of_thing_is_refused_with_what_was_expected(songs):
    with pytest.raises(ConfigError, match=r"^song air: int 3; expected a class$"):
        songs.register("air", 3)


def test_a_place_is_imported_when_it_is_needed(songs):
    songs.register("air", "nosuch_module:Air")
    songs.register("path", "pathlib:Path")
    assert songs.find("path") is Path
    with pytest.raises(ConfigError, match=r"^nosuch_module cannot be imported: ModuleNotFoundError: "):
        songs.find("air")


def test_names_of_installed_packages_are_found(songs, installed):
    songs.register("air", Song)
    installed.append(EntryPoint(name="path", value="pathlib:Path", group="mar.songs"))
    installed.append(EntryPoint(name="other", value="pathlib:Path", group="mar.operas"))
    installed.append(EntryPoint(name="broken", value="nosuch_module:X", group="mar.songs"))
    assert songs.names() == ("air", "path", "broken")
    assert songs.find("path") is Path
    with pytest.raises(ConfigError, match=r"^nosuch_module:X cannot be imported: "):
        songs.find("broken")


def test_a_name_from_data_imports_nothing_by_its_place(songs, folder):
    (folder / "evil.py").write_text("open('ran', 'w')\nclass Air: ...\n")
    with pytest.raises(ConfigError, match=r"^unknown song 'evil:Air'; there are: $"):
        songs.find("evil:Air")
    assert not (folder / "ran").exists()
    assert songs.named("evil:Air").__name__ == "Air"  # as a person named it
    assert (folder / "ran").exists()


def test_an_unknown_name_of_a_persons_is_told_how_to_give_a_place(songs):
    songs.register("air", Song)
    with pytest.raises(ConfigError, match=r"'aria'; there are: air; or a place of your own, module:name or file.py:"):
        songs.named("aria")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a:B", True), ("a.b:C", True), ("x/y.py:C", True), ("knn", False), ("C:\\x", False), ("a:b:c", False)],
)
def test_what_is_a_place(name, expected):
    assert is_place(name) is expected


def test_a_file_is_run_once_and_found_as_module_too(folder):
    (folder / "tune.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Tune:\n    key: str = 'C'\n"
    )
    assert load(f"{folder}/tune.py:Tune") is load("tune.py:Tune") is load("tune:Tune")


def test_files_of_one_name_in_two_folders_are_two_modules(folder):
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "same.py").write_text(f"WHO = {name!r}")
    assert [use(f"{name}/same.py").WHO for name in ("one", "two")] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "own.py:Missing", "^own.py has no 'Missing'; expected the name of something that stands in it$"),
        ("1 / 0", "own.py:X", "^own.py cannot be imported: ZeroDivisionError: division by zero$"),
        ("", "other.py:X", "^no Python file other.py$"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(folder, text, place, message):
    (folder / "own.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(place)


def test_parameters_on_a_command_line():
    assert parse_call("knn", "router") == ("knn", {})
    assert parse_call('a.py:B(k=2, name="x")', "router") == ("a.py:B", {"k": 2, "name": "x"})
    with pytest.raises(ConfigError, match="expected a name, or name"):
        parse_call("knn(5)", "router")
