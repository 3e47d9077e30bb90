"""What programs do, by which answers to one question are compared: they are run on the examples that the answers give.

Two programs are seldom written alike, and questions seldom come with tests. But whoever writes a program likes to show
how it is called. Every program is called with the arguments of all these examples, in a sandbox, and programs that give
the same say the same. What an answer claims that its examples come to counts for nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from secrets import token_hex
from typing import Any

import anyio.to_thread

from mar.concurrency import gather
from mar.errors import SandboxUnavailable
from mar.runtime.code import extract_code
from mar.runtime.code_blocks import fenced_blocks
from mar.runtime.code_names import UNREADABLE, parse
from mar.runtime.sandbox import Sandbox
from mar.traffic.saying import Saying, saying_of

EACH, MOST, LONGEST = 2, 8, 2_000  # examples of one answer, and of all; characters of the arguments of one
CALLS, ARGUMENTS = 100, 20  # of an answer that are looked at, and of a call
_KEPT = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
_SHOWN = (ast.Expr, ast.Assert)  # shows how a program is used, or says something about it
# Each example is tried twice: what then differs was drawn by chance, or is left from the first time. What is equal to
# nothing but itself (a function, an object that does not say what it holds) cannot be compared.
_HARNESS = """
import contextlib as _contextlib, copy as _copy, hashlib as _hashlib, io as _io, itertools as _itertools
class _Alone(Exception):
    pass
def _shape(value):
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, (int, float)):
        return f"{value:.9g}" if isinstance(value, float) else str(value)
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(map(_shape, value))) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(_shape(k) + ": " + _shape(v) for k, v in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return type(value).__name__ + "(" + ", ".join(map(_shape, value)) + ")"
    if hasattr(value, "__next__"):
        return _shape(list(_itertools.islice(value, 1000)))
    if not isinstance(value, (str, bytes)) and " at 0x" in repr(value):
        raise _Alone
    return repr(value)
def _once(arguments):
    given, written = _copy.deepcopy(arguments), _io.StringIO()
    try:
        with _contextlib.redirect_stdout(written):
            found = %(name)s(*given)
            if found is not None:
                return "gives", _shape(found)
        return "changes", _shape(given) + " and writes " + written.getvalue()
    except _Alone:
        return None
    except Exception as error:
        return "raises", type(error).__name__
def _does(arguments):
    one, again = _once(arguments), _once(arguments)
    if one is None or one != again:
        return "alone"
    return one[0] + " " + _hashlib.sha256(ascii(one[1]).encode()).hexdigest()
for _arguments in %(examples)r:
    print("\\n%(mark)s" + _does(_arguments))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    code: str  # its definitions, without what else it does
    name: str  # of the function that is called
    examples: tuple[list[Any], ...]  # arguments that its answer shows


async def sayings_of(texts: Sequence[str], sandbox: Sandbox) -> list[Saying]:
    """What answers to one question say, programs among them by what they do.

    Programs that do different things cannot both be right, as far as the question says what is wanted; those that
    cannot be run, or where no answer shows an example, say what they are written like.
    """
    sayings, programs = await anyio.to_thread.run_sync(_read, texts)
    examples: list[list[Any]] = []
    for program in programs:
        examples += [one for one in (program.examples if program is not None else ()) if one not in examples]
    examples = examples[:MOST]
    if not examples:
        return sayings
    try:
        done = await gather([partial(_done, program, examples, sandbox) for program in programs])
    except SandboxUnavailable:
        return sayings
    return [
        saying if what is None else Saying(what=f"does {what}", single=True)
        for saying, what in zip(sayings, done, strict=True)
    ]


def _read(texts: Sequence[str]) -> tuple[list[Saying], list[_Program | None]]:
    """It takes milliseconds of a long text."""
    return [saying_of(text) for text in texts], [_program(text) for text in texts]


def _program(text: str) -> _Program | None:
    """The program of an answer, with the examples that the answer shows; None: there is none that can be compared."""
    try:
        return _taken_apart(text)
    except UNREADABLE:
        return None


def _taken_apart(text: str) -> _Program | None:
    code = extract_code(text)
    tree = None if code is None else parse(code)
    if tree is None:
        return None
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    if not names:
        return None
    if not all(isinstance(node, (*_KEPT, *_SHOWN)) or _is_main(node) for node in tree.body):
        return None  # a loop that fills a table, say: without it the program is another one
    calls = list(islice((call for block in fenced_blocks(text) for call in _calls(block, names)), CALLS))
    name = calls[-1][0] if calls else names[-1]
    body: list[ast.stmt] = [node for node in tree.body if isinstance(node, _KEPT)]
    shown = [arguments for called, arguments in calls if called == name and len(repr(arguments)) <= LONGEST]
    kept = ast.unparse(ast.Module(body=body, type_ignores=[]))
    return _Program(code=kept, name=name, examples=tuple(shown[:EACH]))


def _calls(block: str, names: Sequence[str]) -> Iterator[tuple[str, list[Any]]]:
    """Calls of functions, outside of any definition, whose arguments are written out, there or a few lines before."""
    tree, known = parse(block), dict[str, Any]()
    for statement in () if tree is None else tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                known[statement.targets[0].id] = _value(statement.value, known)
            except (*UNREADABLE, TypeError):
                known.pop(statement.targets[0].id, None)
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                if node.keywords or len(node.args) > ARGUMENTS:
                    continue
                try:
                    yield node.func.id, [_value(argument, known) for argument in node.args]
                except (*UNREADABLE, TypeError):
                    continue


def _value(node: ast.expr, known: dict[str, Any]) -> Any:
    """A value that is written out, here or before.

    Raises:
        ValueError: It is none, is too long, or does not come out of what it is written like (1e999).
    """
    if isinstance(node, ast.Name) and node.id in known:
        return known[node.id]
    value = ast.literal_eval(node)
    written = repr(value)
    if len(written) > LONGEST or ast.literal_eval(written) != value:
        raise ValueError("no example")
    return value


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).startswith("__name__ ==")


async def _done(program: _Program | None, examples: Sequence[list[Any]], sandbox: Sandbox) -> str | None:
    """What a program does with each of the examples; None: it cannot be run on any."""
    if program is None:
        return None
    mark = token_hex(8)  # which no program knows
    ran = await sandbox.run_program(
        program.code + _HARNESS % {"name": program.name, "examples": list(examples), "mark": mark}
    )
    lines = [line.removeprefix(mark) for line in ran.stdout.splitlines() if line.startswith(mark)]
    if len(lines) < len(examples) or "alone" in lines or all(line.startswith("raises ") for line in lines):
        return None
    return " ".join(lines)
