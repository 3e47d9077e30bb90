"""The helper process of `mar.tasks.scoring.math_helper`: reads pairs of expressions, writes whether they are equal.

One JSON object a line comes in, one word a line goes out. Run by path, with `-P`, as `math_worker.py MIB SECONDS`; it
imports nothing of mar, so that it starts quickly.

Both sides are parsed with every letter as it is written: math-verify's own parser takes R for r and the s of 2s for a
unit. Rational numbers are compared exactly. Other expressions are equal when their values agree to 30 digits at a few
points, so that neither 1/2^99 and 1/2^98 (both "zero" to math-verify's tolerance) nor identities that SymPy cannot
simplify are mistaken. What has no value at a point is left to math-verify's comparison.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import resource
import signal
import sys
from typing import Any

import latex2sympy2_extended  # pyright: ignore[reportMissingTypeStubs]
import sympy  # pyright: ignore[reportMissingTypeStubs]
from latex2sympy2_extended.latex2sympy2 import ConversionConfig  # pyright: ignore[reportMissingTypeStubs]
from math_verify import verify  # pyright: ignore[reportMissingTypeStubs]

AS_WRITTEN = ConversionConfig(
    interpret_as_mixed_fractions=False, interpret_contains_as_eq=False, lowercase_symbols=False
)
_CONSTANT = re.compile(r"(?<![\\a-zA-Z])[EI](?![a-zA-Z_({])")  # letters that SymPy would take for its constants
_PRIMES = re.compile(r"([A-Za-z])('+)")  # which the parser would drop
S: Any = sympy  # without types
DIGITS = 50  # computed
AGREE = 30  # of them that have to agree
ROUNDED = 6  # digits from which on a decimal may be a rounded value
POINTS = (3, 7, 11)  # seeds of the values that letters are given, from 1 to 11
BELOW_ZERO = (*POINTS, -3, -7)  # where an absolute value makes the sign count


def equal(gold: str, answer: str, as_equations: bool) -> bool:
    """Whether two expressions have the same value; as equations, whether one is a multiple of the other.

    Raises:
        Exception: Of many kinds, when SymPy chokes on an expression or the time is up.
    """
    one, other = _parsed(gold), _parsed(answer)
    if as_equations:
        ratios = [_quotient(one, other, seed) for seed in POINTS]
        return None not in ratios and all(_close(r, ratios[0], 10**-AGREE) for r in ratios)
    same = _same_values(one, other, _tolerance(gold, answer))
    if same is not None:
        return same
    return _numbers(gold) == _numbers(answer) and bool(verify(one, other, timeout_seconds=None))


def _same_values(one: Any, other: Any, tolerance: float) -> bool | None:
    """Whether two expressions agree wherever they are evaluated; None when they cannot be."""
    if not (isinstance(one, S.Expr) and isinstance(other, S.Expr)):
        return None
    if not (one.free_symbols or other.free_symbols or one.has(S.Float) or other.has(S.Float)):
        a, b = one.doit(), other.doit()
        if a.is_Rational and b.is_Rational:
            return bool(a == b)
    points = BELOW_ZERO if one.has(S.Abs) or other.has(S.Abs) else POINTS
    found = [(_at(one, seed), _at(other, seed)) for seed in points]
    values = [(a, b) for a, b in found if a is not None and b is not None]
    if len(values) < 2:
        return None
    return all(_close(a, b, tolerance) for a, b in values)


def _at(expression: Any, seed: int) -> Any:
    """The value of an expression where its letters are given some numbers; None when it has none."""
    given: dict[Any, Any] = {}
    for symbol in sorted(expression.free_symbols, key=str):
        number = sum(ord(c) * 31**n for n, c in enumerate(str(symbol)))
        size = 1 + S.Rational((number * seed) % 9973, 1009)
        given[symbol] = S.I if str(symbol) == "i" else size if seed > 0 else -size
    value = expression.subs(given).doit().evalf(DIGITS)
    return value if value.is_number and value.is_finite else None


def _quotient(one: Any, other: Any, seed: int) -> Any:
    a, b = _at(one, seed), _at(other, seed)
    return None if a is None or b is None or b == 0 or a == 0 else (a / b).evalf(DIGITS)


def _close(a: Any, b: Any, tolerance: float) -> bool:
    size = max(abs(a), abs(b))
    return bool(size < 10**-DIGITS or abs(a - b) <= size * tolerance)


def _tolerance(gold: str, answer: str) -> float:
    decimals = re.findall(r"\d*\.\d+", f"{gold} {answer}")
    if not decimals:
        return 10**-AGREE
    return 1e-6 if max(len(d) - 1 for d in decimals) >= ROUNDED else 1e-12


def _numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d+", text))


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:
    library: Any = latex2sympy2_extended
    text = _PRIMES.sub(lambda m: f"{m[1]}_{{9{len(m[2])}}}", text)
    text = _CONSTANT.sub(lambda m: f"w_{{{ord(m[0])}}}", text)
    return library.latex2sympy(text, normalization_config=None, conversion_config=AS_WRITTEN)


def _out_of_time(*_: object) -> None:
    raise TimeoutError


def main(memory_mb: int, limit_s: int) -> None:
    """Serve until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _out_of_time)
    logging.disable(logging.CRITICAL)
    replies = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no reply
    os.write(replies, b"ready\n")
    for line in sys.stdin.buffer:
        pair = json.loads(line)
        signal.alarm(limit_s)
        try:
            word = "equal" if equal(pair["gold"], pair["answer"], pair["equations"]) else "different"
        except Exception:  # also time that is up and memory that is spent: the comparison has no outcome
            word = "undecided"
        signal.alarm(0)
        os.write(replies, word.encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
