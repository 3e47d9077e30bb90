"""Files that are either whole or not there, whenever an interrupt comes."""

import os

import pytest

from mar.files import whole_or_none, write_atomically


def _write(path):
    write_atomically(path, "new")


def _fill(path):
    with whole_or_none(path) as beside:
        beside.write_text("new")


@pytest.mark.parametrize("write", [_write, _fill])
@pytest.mark.parametrize("after", [True, False])
def test_an_interrupt_just_before_or_after_a_file_takes_its_place_leaves_nothing_beside_it(
    tmp_path, monkeypatch, write, after
):
    path, really = tmp_path / "file", os.replace
    path.write_text("old")

    def interrupted(one, other):
        if after:
            really(one, other)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(path)
    assert path.read_text() == ("new" if after else "old")
    assert list(tmp_path.iterdir()) == [path]
