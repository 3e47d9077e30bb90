"""Whatever goes wrong with a stranger's content becomes the one error: what, where, and what was expected."""

from __future__ import annotations

import json
import tomllib
import zlib
from collections.abc import Callable
from typing import TypeVar
from zipfile import BadZipFile

from pydantic import ValidationError

from mar.errors import DataError, UserError
from mar.reading.limits import DIGITS

T = TypeVar("T")
LONGEST = 400  # characters that are quoted of a failure


def attempt(read: Callable[[], T], where: str, *, expected: str = "", error: type[UserError] = DataError) -> T:
    """Read something, or raise the one error.

    Parsers of other people's formats fail in more ways than they document, with sizes that do not fit into memory and
    nesting that does not fit the stack among them; so every failure but an interruption counts. The error is raised
    outside of the handler, since a parser's exception may carry the whole text, keys included.

    Args:
        read: Does it.
        where: What is read, in words: a path, and the line where it has one.
        expected: What should have been there.
        error: What is raised.

    Raises:
        UserError: It could not be read; of the type `error`.
    """
    try:
        return read()
    except UserError:
        raise
    except Exception as failure:  # see above
        problem = brief(failure)
    raise refusal(where, problem, expected=expected, error=error)


def refusal(where: str, problem: str, *, expected: str = "", error: type[UserError] = DataError) -> UserError:
    """The one error, as one line of text whatever names a file holds."""
    problem = problem.removeprefix("cannot be read: ") if where.endswith("cannot be read") else problem
    colon = "" if problem.startswith("cannot ") else ":"
    message = f"{where}{colon} {problem}" + (f"; expected {expected}" if expected else "")
    return error("".join(c if c.isprintable() else "?" for c in message))


def brief(failure: Exception) -> str:
    """What went wrong, in one line that never quotes the content."""
    match failure:
        case ValidationError():
            problem = _invalid(failure)
        case json.JSONDecodeError():
            problem = f"malformed JSON: {failure.msg} at line {failure.lineno} column {failure.colno}"
        case tomllib.TOMLDecodeError():
            problem = f"malformed TOML: {failure}"
        case UnicodeDecodeError():
            problem = f"cannot be read: byte {failure.start} is no UTF-8 text"
        case UnicodeError():
            problem = "it holds half of a surrogate pair, which is no text"
        case FileNotFoundError():
            problem = "cannot be read: no such file"
        case OSError() | EOFError() | zlib.error() | BadZipFile():
            problem = f"cannot be read: {getattr(failure, 'strerror', None) or failure}"
        case RecursionError():
            problem = "nested too deeply"
        case MemoryError():
            problem = "it states sizes that do not fit into memory"
        case KeyError():
            problem = f"no {failure.args[0]!r}" if failure.args else "something is missing"
        case ValueError() if "integer string conversion" in str(failure):
            problem = f"an integer has more than {DIGITS} digits"
        case _:
            problem = next(iter(str(failure).splitlines()), "") or type(failure).__name__
    return problem if len(problem) <= LONGEST else problem[: LONGEST - 1] + "…"


def _invalid(failure: ValidationError) -> str:
    problems = failure.errors(include_url=False, include_input=False, include_context=False)
    first = problems[0]
    field = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"]).lstrip(".")
    what = "unknown field; check its spelling" if first["type"] == "extra_forbidden" else first["msg"]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return (f"{field}: {what}" if field else what) + more
