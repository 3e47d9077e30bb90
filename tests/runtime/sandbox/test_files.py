"""Clearing up, and looking at, what a job wrote to an ordinary directory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mar.runtime.sandbox.inside.files import overfull, remove_tree


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: removing a thousand folders from a disk takes seconds."""
    made = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def nest(folder: Path, name: str, depth: int) -> None:
    place = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=place)
        inner = os.open(name, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)


@pytest.mark.parametrize(
    ("name", "depth"), [("d", 1200), ("d" * 200, 100)], ids=["deeper than the stack", "long paths"]
)
def test_folders_nested_however_deep_are_removed(folder: Path, name: str, depth: int) -> None:
    nest(folder, name, depth)
    remove_tree(str(folder))
    assert not folder.exists()


def test_folders_without_rights_and_odd_names_are_removed(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "f\n").touch()
    (folder / "a" / os.fsdecode(b"\xff")).touch()
    os.chmod(folder / "a" / "b", 0)
    os.chmod(folder / "a", 0)
    remove_tree(str(folder))
    assert not folder.exists()


def test_what_a_link_points_to_is_kept(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    (folder / "inner").mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "inner" / "link").symlink_to(tmp_path)
    remove_tree(str(folder))
    assert not folder.exists()
    assert (tmp_path / "kept").exists()


def test_a_link_in_the_place_of_the_folder_goes_and_what_it_points_to_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o755)
    (tmp_path / "theirs" / "kept").touch()
    (tmp_path / "scratch").symlink_to(tmp_path / "theirs")
    remove_tree(str(tmp_path / "scratch"))
    assert not os.path.lexists(tmp_path / "scratch")
    assert (tmp_path / "theirs" / "kept").exists()
    assert (tmp_path / "theirs").stat().st_mode & 0o777 == 0o755


def test_overfull_by_size_by_number_and_by_depth(folder: Path) -> None:
    assert not overfull(str(folder), 8192)
    (folder / "f").write_bytes(bytes(8192))
    assert not overfull(str(folder), 8192)
    (folder / "g").write_bytes(b"x")
    assert overfull(str(folder), 8192)
    for number in range(1022):
        (folder / str(number)).touch()
    assert not overfull(str(folder), 1 << 30)  # 1,024 files
    (folder / "inner").mkdir()
    assert overfull(str(folder), 1 << 30)


def test_a_folder_that_cannot_be_looked_through_is_overfull(folder: Path) -> None:
    nest(folder, "d" * 200, 30)  # 6,000 characters; a path has at most 4,096
    assert overfull(str(folder), 1 << 30)
