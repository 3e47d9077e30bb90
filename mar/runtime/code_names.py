"""What a program binds and needs, from its syntax tree and symbol table; nothing is run."""

from __future__ import annotations

import ast
import builtins
import symtable
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_CODE = 1 << 18  # characters; a longer text counts as no program
# What Python raises on text that is no program, or that it cannot take in: null bytes, surrogates, nesting.
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


def parse(code: str) -> ast.Module | None:
    """The syntax tree of a program, or None when the text is none or is too large or too deeply nested."""
    if len(code) > MAX_CODE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except UNREADABLE:
        return None


def broken_line(code: str) -> int:
    """The line at which a text stops being a program, from 1."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except SyntaxError as error:
        return error.lineno or 1
    except UNREADABLE:
        return 1
    return 1


def is_definition(statement: ast.stmt) -> bool:
    """Whether a statement defines a function or a class, if only by assigning a lambda."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        return isinstance(statement.value, ast.Lambda)
    return isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def complete(statement: ast.stmt) -> bool:
    """Whether a statement is a definition that is more than a skeleton (a docstring, `pass` and the like)."""
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return is_definition(statement)
    return not all(says_nothing(s) for s in statement.body)


def is_test(statement: ast.stmt) -> bool:
    """Whether a statement defines a test: a function named as one, or a class of unittest's."""
    if isinstance(statement, ast.ClassDef):
        return any(ast.unparse(base).rpartition(".")[2] == "TestCase" for base in statement.bases)
    return isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name.startswith("test_")


def says_nothing(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, `...`, `pass` or `raise NotImplementedError`."""
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Raise(exc=ast.Name(id="NotImplementedError") | ast.Call(func=ast.Name(id="NotImplementedError"))):
            return True
        case _:
            return False


def bound(statement: ast.stmt) -> set[str]:
    """The names that a top-level statement binds."""
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
            return {name}
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return {(a.asname or a.name).partition(".")[0] for a in aliases}
        case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
            inner = [s for s in ast.iter_child_nodes(statement) if isinstance(s, ast.stmt)]
            inner += [s for h in getattr(statement, "handlers", []) for s in h.body]
            return _stored(statement).union(*(bound(s) for s in inner))
        case _:
            return _stored(statement)


def _stored(statement: ast.stmt) -> set[str]:
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def free_names(code: str) -> set[str]:
    """The names that a program reads and neither binds nor finds among the builtins."""
    try:
        table = symtable.symtable(code, "<answer>", "exec")
    except UNREADABLE:
        return set()
    made = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    return {name for name in _read(table) if name not in made and not hasattr(builtins, name)}


def _read(table: symtable.SymbolTable) -> Iterator[str]:
    waiting = [table]
    while waiting:
        scope = waiting.pop()
        waiting += scope.get_children()
        yield from (
            s.get_name() for s in scope.get_symbols() if s.is_referenced() and (s.is_global() or scope is table)
        )


@dataclass(frozen=True, slots=True)
class Method:
    """A function that is asked for and was written as a method."""

    name: str
    owner: ast.ClassDef


def called_as_method(tree: ast.Module, names: Sequence[str]) -> Iterator[Method]:
    """Methods with one of the names, of classes that are made without arguments."""
    for owner in reversed([s for s in tree.body if isinstance(s, ast.ClassDef)]):
        methods = [s.name for s in owner.body if isinstance(s, ast.FunctionDef)]
        if "__init__" not in methods:
            yield from (Method(name, owner) for name in names if name in methods)
