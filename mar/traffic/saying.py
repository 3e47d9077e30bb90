"""What an answer says, apart from how it says it: so answers are compared, and need not be kept for it.

An option or a number that is stated as the answer is what it says, and only one is right; a program says what it does
up to names, comments and layout; of anything else the words count.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from mar.runtime.code import extract_code
from mar.runtime.code_names import UNREADABLE, parse
from mar.tasks.scoring.choices import read_choice
from mar.tasks.scoring.numbers import extract_number
from mar.tasks.scoring.statements import lowered, statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What an answer says."""

    what: str  # equal for answers that say the same
    single: bool  # whether answers to this question that are right all say the same


def saying_of(text: str) -> Saying:
    """What a text says."""
    if (program := _program(text)) is not None:
        return Saying(what=f"program {program}", single=False)
    reading = read_choice(text)
    if reading.sign == "stated" and reading.letter is not None:
        return Saying(what=f"option {reading.letter}", single=True)
    if any(True for _ in statements(lowered(text))) and (number := extract_number(text)) is not None:
        return Saying(what=f"number {number}", single=True)
    return Saying(what=f"text {' '.join(text.lower().split())}", single=False)


def _program(text: str) -> str | None:
    """What the program of a text is written like; None: there is none, or none that can be taken in."""
    code = extract_code(text)
    tree = None if code is None else parse(code)
    try:
        return None if tree is None or not _defined(tree).body else _without_names(_defined(tree))
    except UNREADABLE:
        return None


def _defined(tree: ast.Module) -> ast.Module:
    """What a program defines; examples of its use and imports say nothing more."""
    kept: list[ast.stmt] = [node for node in tree.body if isinstance(node, _DEFINED)]
    return ast.Module(body=kept, type_ignores=[])


def _without_names(tree: ast.Module) -> str:
    """A program whose own names are numbered as they come, without docstrings and annotations.

    What it does not bind (built-in functions, methods, modules) keeps its name.
    """
    nodes = list(ast.walk(tree))
    own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    own |= {node.name for node in nodes if isinstance(node, _DEFINED)}
    return ast.dump(_Numbered({}, own).visit(tree))


_DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class _Numbered(ast.NodeTransformer):
    def __init__(self, known: dict[str, str], own: set[str]) -> None:
        self._known, self._own = known, own

    def _name(self, name: str) -> str:
        return self._known.setdefault(name, f"_{len(self._known)}") if name in self._own else name

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._name(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self._name(node.arg), None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name, node.returns = self._name(node.name), None
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)
