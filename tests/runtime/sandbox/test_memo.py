"""Kept verdicts: whole as they were put, or none."""

from __future__ import annotations

import json
import sqlite3

import pytest

from mar.runtime.sandbox.memo import Memo
from mar.runtime.sandbox.records import Fence, TestReport, TestResult

REPORT = TestReport(
    results=(TestResult(test="assert f(1) == 2", outcome="failed", detail="1 == 2"),),
    wall_s=0.1,
    fence=Fence(isolation="namespaces", gaps=("one",)),
)


def kept(path, change=None):
    memo = Memo(path, 1)
    memo.put("k", REPORT)
    memo.close()
    if change is not None:
        with sqlite3.connect(path) as db:
            (text,) = db.execute("SELECT report FROM verdicts").fetchone()
            db.execute("UPDATE verdicts SET report = ?", (change(text),))
    memo = Memo(path, 1)
    found = memo.get("k")
    memo.close()
    return found


def test_a_verdict_comes_back_as_the_record_that_it_was(tmp_path):
    found = kept(tmp_path / "v.sqlite")
    assert found.memoised
    assert (found.results, found.fence) == (REPORT.results, REPORT.fence)
    assert str(found.fence) == "namespaces; not held: one"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-5],
        lambda text: text.replace("failed", "pased"),
        lambda text: json.dumps({**json.loads(text), "wall_s": "long"}),
        lambda text: json.dumps({**json.loads(text), "fence": None}),
        lambda text: "[" * 5000,
        lambda text: b"\xff\xfe",
        lambda text: 7,
    ],
)
def test_what_is_no_verdict_is_none(tmp_path, change):
    assert kept(tmp_path / "v.sqlite", change) is None
