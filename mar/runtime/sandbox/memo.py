"""Verdicts already reached, by the hash of everything they depend on."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import OrderedDict
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from mar.cachefile import CacheFile
from mar.runtime.sandbox.records import Isolation, Limits, TestJob, TestReport

_FORMAT = 3  # part of every key: raise it when verdicts are reached differently
_REPORT = TypeAdapter(TestReport)

SETUP = (
    "PRAGMA synchronous = OFF",  # losing the last verdicts in a power failure costs a repetition and nothing else
    "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, report TEXT NOT NULL)",
)


def key_of(job: TestJob, limits: Limits, isolation: Isolation) -> str:
    """The hash that identical jobs share."""
    parts = [_FORMAT, sys.version_info[:2], isolation, asdict(job), asdict(limits)]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class Memo:
    """The latest verdicts in memory and, with a path, all of them in a SQLite file.

    Args:
        path: The file, made when absent; None for memory only.
        size: How many verdicts are held in memory.
    """

    def __init__(self, path: Path | None, size: int) -> None:
        self._size = size
        self._recent: OrderedDict[str, TestReport] = OrderedDict()
        self._file = CacheFile(path, what="the store of verdicts", setup=SETUP)

    def get(self, key: str) -> TestReport | None:
        """The report for the key, marked as memoised."""
        report = self._recent.get(key)
        if report is None:
            rows = self._file.rows("SELECT report FROM verdicts WHERE key = ?", (key,))
            report = _parse(rows[0][0]) if rows else None
        if report is None:
            return None
        self._remember(key, report)
        return replace(report, memoised=True)

    def put(self, key: str, report: TestReport) -> None:
        """Keep a report."""
        self._remember(key, report)
        self._file.write("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", [(key, json.dumps(asdict(report)))])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _remember(self, key: str, report: TestReport) -> None:
        self._recent[key] = report
        self._recent.move_to_end(key)
        if len(self._recent) > self._size:
            self._recent.popitem(last=False)


def _parse(text: object) -> TestReport | None:
    """A kept report; None where the file holds something else."""
    try:
        return _REPORT.validate_json(str(text))
    except ValidationError:
        return None
