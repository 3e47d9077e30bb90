"""Which of the candidate's names a test sees, and a small rewriting that lets a failed assertion say what it got."""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .preload import MODULES


def names_in(tree: ast.AST) -> set[str]:
    """Every name that some Python text mentions."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def is_reserved(name: str) -> bool:
    """Whether tests may rely on this name having its usual meaning."""
    return hasattr(builtins, name) or name in sys.stdlib_module_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What the names of a test mean.

    Attributes:
        given: Names that the candidate gives a meaning.
        modules: Standard modules that tests lean on because the reference solution imports them.
        doubtful: Builtins' and modules' names that keep their meaning, though the candidate defines them as well.
    """

    given: frozenset[str]
    modules: dict[str, Any]
    doubtful: frozenset[str]

    @classmethod
    def of(cls, used: set[str], defined: set[str], mine: set[str], entry_points: list[str]) -> Binding:
        """The meaning of the names that a test uses.

        A candidate must not redefine `abs` or `math` under a test that measures with them, yet some tasks ask for a
        function called `sum`. So a builtin's or a module's name is the candidate's only if it is an entry point, or,
        where no entry points are given, if the test mentions no other name that the candidate defines.
        """
        found = (used & defined) - mine
        own = {name for name in found if not is_reserved(name)}
        taken = set(entry_points) if entry_points else (set[str]() if own else found)
        names = {name for name in used - taken - mine if name in MODULES and not hasattr(builtins, name)}
        given = own | (found & taken)
        doubtful = set[str]() if entry_points else found - given
        return cls(
            given=frozenset(given - names),
            modules={name: importlib.import_module(name) for name in names},
            doubtful=frozenset(doubtful),
        )


class Names(dict[str, Any]):
    """The global names of a test. The candidate's values are asked for at each use: they may have changed."""

    def __init__(self, values: dict[str, Any], binding: Binding, value_of: Callable[[str], Any]) -> None:
        super().__init__(values)
        self._given, self._value_of = binding.given, value_of

    def __missing__(self, name: str) -> Any:
        if name not in self._given:
            raise KeyError(name)
        value = self._value_of(name)
        if callable(value):  # functions and classes stay what they are
            self[name] = value
        return value


# Calling these changes nothing in the judge's process.
_PURE = frozenset(
    "abs all any bin bool bytearray bytes callable chr complex dict divmod enumerate filter float frozenset hash hex "  # noqa: SIM905
    "int isinstance len list map max min oct ord pow range repr reversed round set slice sorted str sum tuple type "
    "zip".split()
)


def leaves_no_trace(test: str, defined: set[str]) -> bool:
    """Whether a test is nothing but assertions over the candidate's names, plain values and pure builtins.

    The judge's process can then serve another job: no module that tests share can have been changed.
    """
    try:
        tree = ast.parse(test)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    plain = all(isinstance(statement, (ast.Assert, ast.Expr)) for statement in tree.body)
    return plain and names_in(tree) <= defined | _PURE


_SETTERS = frozenset(
    ("seed", "patch", "setattr", "delattr", "setenv", "setrecursionlimit", "setlocale", "chdir", "getcontext")
)


def changes_state(test: str) -> bool:
    """Whether a test sets something in its process that it may mean to hold for the candidate (`random.seed`)."""
    for node in ast.walk(ast.parse(test)):
        match node:
            case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()) if name in sys.stdlib_module_names:
                return True
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in _SETTERS:
                return True
            case _:
                continue
    return False


SEEN, CLASS_OF = "__mar_seen__", "__mar_class__"


class _Instrument(ast.NodeTransformer):
    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if node.attr != "__class__" or not isinstance(node.ctx, ast.Load):
            return node
        return ast.copy_location(_call(CLASS_OF, node.value), node)

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        self.generic_visit(node)
        if isinstance(node.test, ast.Compare):
            left = node.test.left
            node.test.left = ast.copy_location(_call(SEEN, left), left)
        return node


def _call(function: str, argument: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(id=function, ctx=ast.Load()), args=[argument], keywords=[])


def instrumented(tree: ast.Module) -> ast.Module:
    """A test in which the left side of every asserted comparison is noted, and `x.__class__` is `type(x)`.

    The latter since a stand-in has to name a class of this process there, for `isinstance`.
    """
    return ast.fix_missing_locations(_Instrument().visit(tree))
