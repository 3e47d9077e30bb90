"""Verdicts already reached, by the hash of everything they depend on."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from collections import OrderedDict
from dataclasses import asdict, replace
from pathlib import Path

from mar.runtime.sandbox.records import Fence, Isolation, Limits, TestJob, TestReport, TestResult

_FORMAT = 2  # part of every key: raise it when verdicts are reached differently


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
        self._file = None if path is None else _open(path)

    def get(self, key: str) -> TestReport | None:
        """The report for the key, marked as memoised."""
        report = self._recent.get(key)
        if report is None and self._file is not None:
            row = self._file.execute("SELECT report FROM verdicts WHERE key = ?", (key,)).fetchone()
            report = None if row is None else _parse(row[0])
        if report is None:
            return None
        self._remember(key, report)
        return replace(report, memoised=True)

    def put(self, key: str, report: TestReport) -> None:
        """Keep a report."""
        self._remember(key, report)
        if self._file is not None:
            with self._file:
                self._file.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", (key, json.dumps(asdict(report))))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _remember(self, key: str, report: TestReport) -> None:
        self._recent[key] = report
        self._recent.move_to_end(key)
        if len(self._recent) > self._size:
            self._recent.popitem(last=False)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = sqlite3.connect(path)
    # Losing the last verdicts in a power failure costs a repetition and nothing else.
    file.execute("PRAGMA synchronous = OFF")
    file.execute("CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, report TEXT NOT NULL)")
    return file


def _parse(text: str) -> TestReport:
    fields = json.loads(text)
    results = tuple(TestResult(**result) for result in fields.pop("results"))
    fence = fields.pop("fence")
    held_by = Fence(isolation=fence["isolation"], gaps=tuple(fence["gaps"]), instead=fence["instead"])
    return TestReport(results=results, fence=held_by, **fields)
