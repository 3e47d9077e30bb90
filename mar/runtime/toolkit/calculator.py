"""A calculator: arithmetic as Python writes it, walked as a syntax tree. Nothing is evaluated that is not listed here.

Integers are exact. What would grow without bound is refused before it is computed: powers and factorials by the size
of their result, everything by the length of the expression.
"""

from __future__ import annotations

import ast
import builtins
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field

from mar.runtime.toolkit.records import ToolError

Number = int | float
MOST_CHARS = 500  # of an expression
MOST_BITS = 14_000  # of an integer: 4,214 digits, as many as Python writes
MOST_PLACES = 300  # that are rounded to
_SIGNS = str.maketrans({"^": "**", "×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Number]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: lambda a: a, ast.USub: lambda a: -a}
_CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e, "tau": math.tau}


def _round(value: Number, places: Number = 0) -> Number:
    if abs(places) > MOST_PLACES:
        raise ToolError(f"expected at most {MOST_PLACES} places to round to")
    return round(value, _whole(places)) if places else round(value)


_FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    **{name: getattr(math, name) for name in ("sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan", "asin")},
    **{name: getattr(math, name) for name in ("acos", "atan", "atan2", "sinh", "cosh", "tanh", "degrees", "radians")},
    **{name: getattr(math, name) for name in ("gcd", "lcm", "hypot")},
    "round": _round,
    "floor": math.floor,
    "ceil": math.ceil,
    **{name: getattr(builtins, name) for name in ("abs", "min", "max")},
}


async def calculator(
    expression: Annotated[str, Field(description="Such as (17 * 23 + 4) / 3, sqrt(2) ^ 3 or comb(10, 3)")],
) -> str:
    """Work out an arithmetic expression exactly: + - * / // % ^, brackets, pi, e, and the usual functions."""
    return calculate(expression)


def calculate(expression: str) -> str:
    """The value of an expression.

    Raises:
        ToolError: It is none, has no value, or one that is too large.
    """
    if len(expression) > MOST_CHARS:
        raise ToolError(f"the expression has more than {MOST_CHARS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about numbers that run into words
            tree = ast.parse(expression.strip().translate(_SIGNS), mode="eval")
        value = _value(tree.body)
        return str(value) if isinstance(value, int) else repr(value)
    except ToolError:
        raise
    except (SyntaxError, RecursionError, MemoryError):
        raise ToolError("no arithmetic expression; expected such as (17 * 23 + 4) / 3") from None
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ToolError(f"it has no value: {error}") from None


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int(value) | float(value)) if not isinstance(value, bool):
            return _bounded(value)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _bounded(_BINARY[type(op)](_value(left), _value(right)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return _bounded(_call(name, [_value(arg) for arg in args]))
        case _:
            raise ToolError(f"{ast.unparse(node)[:40]!r} is no arithmetic")


def _call(name: str, args: list[Number]) -> Number:
    if name in ("factorial", "comb", "perm"):
        return _count(name, [_whole(arg) for arg in args])
    if name not in _FUNCTIONS:
        known = ", ".join(sorted({*_FUNCTIONS, "factorial", "comb", "perm"}))
        raise ToolError(f"no function is called {name}; there are: {known}")
    return _FUNCTIONS[name](*args)


def _count(name: str, args: list[int]) -> int:
    # n! and n!/(n - k)! are below n^n and n^k, n over k is below both of these.
    factors = args[0] if name == "factorial" or len(args) < 2 else min(args)
    if args and args[0] > 0 and factors * args[0].bit_length() > MOST_BITS:
        raise ToolError(f"{name} of such numbers is too large")
    return getattr(math, name)(*args)


def _whole(value: Number) -> int:
    if value != int(value):
        raise ToolError(f"{value} is no whole number")
    return int(value)


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and exponent * (abs(base) - 1).bit_length() > MOST_BITS:
        raise ToolError("the power is too large")
    value = base**exponent
    if isinstance(value, complex):
        raise ToolError("the power is no real number")
    return _bounded(value)


def _bounded(value: Number) -> Number:
    if isinstance(value, int):
        if value.bit_length() > MOST_BITS:
            raise ToolError("a number is too large")
    elif not math.isfinite(value):
        raise ToolError(f"a number is {value}")
    return value
