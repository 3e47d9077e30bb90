"""Runs a few harmless jobs inside the template before it forks.

The interpreter adapts code that runs often, fills caches and makes classes on demand. Done once here, it is inherited
by every job; left to the jobs, each would do it anew and copy the memory pages it touches.
"""

from __future__ import annotations

import socket
import threading

from . import judge
from .candidate import CandidatePeer
from .errors import Gone

_CODE = """
import math, re
from collections import Counter
class Node:
    def __init__(self, value):
        self.value = value
def double(numbers, times=2):
    return [times * number for number in numbers]
def generate(n):
    yield from range(n)
def fail(text):
    raise ValueError(text)
"""
_TESTS = (
    "assert double([1, 2]) == [2, 4]",
    "assert double((1.5, -2), times=3) == [4.5, -6]",
    "assert double([1]) == {'a': (1, None, True), 'b': {1, 2}}",
    "assert list(generate(3)) == [0, 1, 2]",
    "assert Node('x').value == 'x'",
    "fail('no')",
    "assert missing(1)",
    "def check(f):\n    assert f([]) == []\ncheck(double)",
)
_ROUNDS = 4


def up() -> None:
    """Judge the example a few times, with the candidate in a thread that ends before this returns."""
    for _ in range(_ROUNDS):
        ours, theirs = socket.socketpair()
        peer = CandidatePeer(theirs)
        peer.prepare(_CODE, "")
        thread = threading.Thread(target=_serve, args=(peer,))
        thread.start()
        runner = judge.Judge(judge.JudgePeer(ours), "", setup_after_code=False, entry_points=[])
        runner.load()
        for test in _TESTS:
            runner.run(test)
        ours.close()
        thread.join()
        theirs.close()


def _serve(peer: CandidatePeer) -> None:
    try:
        peer.serve_forever()
    except Gone:
        return
