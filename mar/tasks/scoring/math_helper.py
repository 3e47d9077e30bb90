r"""Equality of two expressions by SymPy, run where a limit holds.

What a model writes may take SymPy for ever (9^{9^{9^9}}) or take all memory, and an alarm cannot interrupt one long
step of integer arithmetic. So comparisons run in a helper process of their own (`mar.tasks.scoring.math_worker`), where
an alarm is safe to use and memory is bounded; a helper that has not answered by the hard limit is killed, and the next
comparison starts a fresh one. A comparison without an outcome says "undecided", never "equal".

Outcomes are remembered. One helper serves the whole process, whatever the thread; it is started by the first comparison
that needs it (about two seconds, mostly SymPy's import) and ends with the process.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Literal

Comparison = Literal["equal", "different", "undecided"]

MAX_COMPARED = 400  # characters of an expression that is handed to SymPy; published answers have up to 200
SOFT_LIMIT_S = 3  # the alarm's
HARD_LIMIT_S = 8.0  # then the helper is killed
START_LIMIT_S = 60.0  # for importing SymPy on a busy machine
MEMORY_MB = 2048  # address space of the helper

_WORKER = Path(__file__).with_name("math_worker.py")


@functools.lru_cache(maxsize=65_536)
def compare_symbolically(gold: str, answer: str, *, equations: bool = False) -> Comparison:
    """Whether two expressions have the same value; as equations (left minus right), whether one is a multiple."""
    if max(len(gold), len(answer)) > MAX_COMPARED:
        return "undecided"
    return _helper(os.getpid()).compare(gold, answer, equations=equations)


@functools.cache
def _helper(process: int) -> Helper:
    """The helper of this process; a forked child must not share its parent's pipes."""
    helper = Helper()
    atexit.register(helper.stop)
    return helper


class Helper:
    """A process that compares expressions, one at a time; replaced when it is stuck or lost."""

    def __init__(self, hard_limit_s: float = HARD_LIMIT_S) -> None:
        self._hard_limit_s = hard_limit_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def compare(self, gold: str, answer: str, *, equations: bool = False) -> Comparison:
        """One comparison, within the limits."""
        with self._lock:
            process = self._started()
            request: dict[str, object] = {"gold": gold, "answer": answer, "equations": equations}
            reply = _ask(process, request, self._hard_limit_s) if process else None
            if reply is None:
                self._kill()
                return "undecided"
            return reply if reply in ("equal", "different") else "undecided"

    def stop(self) -> None:
        """End the process; the next comparison starts another."""
        with self._lock:
            self._kill()

    def _started(self) -> subprocess.Popen[bytes] | None:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._kill()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), str(MEMORY_MB), str(SOFT_LIMIT_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self._process if _answer(self._process.stdout, START_LIMIT_S) == "ready" else None

    def _kill(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process = None


def _ask(process: subprocess.Popen[bytes], request: dict[str, object], limit_s: float) -> str | None:
    """The helper's reply; None when it is lost or takes too long."""
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
    except OSError:
        return None
    return _answer(process.stdout, limit_s)


def _answer(stream: IO[bytes] | None, limit_s: float) -> str | None:
    """The next line, if it is complete within the limit."""
    assert stream is not None
    line, deadline = b"", time.monotonic() + limit_s
    with selectors.DefaultSelector() as waiting:
        waiting.register(stream, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not waiting.select(max(0.0, deadline - time.monotonic())):
                return None
            piece = os.read(stream.fileno(), 4096)
            if not piece:
                return None
            line += piece
    return line.decode(errors="replace").strip()
