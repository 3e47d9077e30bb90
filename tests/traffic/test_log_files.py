"""The log as a file."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from mar.errors import DataError
from mar.reading.tables import read_parquet
from mar.traffic.files import read_log, write_log
from mar.traffic.records import Arm, Deletion, Logged, Outcome

ONE = Logged(
    id="ep_1",
    at=10.0,
    key="key-1",
    user="u",
    conversation="c",
    text="six times seven",
    embedding=(0.5, -0.25),
    controller="cards",
    version="v1",
    arms=(Arm(name="a", probability=0.75, right=0.5, usd=0.001), Arm(name="b", probability=0.25)),
    explored=False,
    answer="42",
    prompt_tokens=3,
    completion_tokens=1,
    cost_usd=None,
    seconds=0.5,
    status=200,
    outcomes=(Outcome(kind="rating", value=1.0, by="u", at=11.0, note="yes"),),
)
TWO = replace(ONE, id="ep_2", text=None, embedding=None, answer=None, user=None, conversation=None, outcomes=())


def written(path, *log):
    async def given():
        for logged in log:
            yield logged

    return anyio.run(write_log, path, given())


def test_a_log_comes_back_from_json_lines_as_it_was(tmp_path):
    path = tmp_path / "log.jsonl"
    assert written(path, ONE, TWO) == 2
    assert list(read_log(path)) == [ONE, TWO]
    assert path.stat().st_mode & 0o077 == 0, "what people said is for nobody else to read"


def test_a_log_as_parquet_has_a_column_for_each_field(tmp_path):
    path = tmp_path / "log.parquet"
    assert written(path, ONE, TWO) == 2
    first, second = read_parquet(path)
    assert set(first) == set(Logged.__dataclass_fields__)
    assert [arm["probability"] for arm in first["arms"]] == [0.75, 0.25]
    assert (first["cost_usd"], second["embedding"], second["outcomes"]) == (None, None, [])


def test_a_line_that_is_no_request_is_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"id": "ep_1", "at": "yesterday"}\n')
    with pytest.raises(DataError, match=r"log\.jsonl, line 1"):
        list(read_log(path))


def test_an_error_leaves_no_half_of_a_file(tmp_path):
    async def broken():
        yield ONE
        raise DataError("it broke")

    with pytest.raises(DataError):
        anyio.run(write_log, tmp_path / "log.jsonl", broken())
    assert list(tmp_path.iterdir()) == []


def test_a_deletion_covers_what_came_before_it():
    gone = Deletion(what="user", hash="u", at=20.0)
    assert gone.covers(ONE)
    assert not gone.covers(replace(ONE, at=21.0))
    assert not gone.covers(TWO)
    assert Deletion(what="conversation", hash="c", at=20.0).covers(ONE)
