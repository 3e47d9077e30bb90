"""Edits that make a wrong program of a right one, and please a test without being right.

Each edit is one that programmers make: an operator, a bound, a constant, a condition or a return value.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial

CANDIDATES = 8  # edits tried per program

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.FloorDiv,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}


def wrong_programs(reference: str, seed: str, count: int = CANDIDATES) -> list[str]:
    """Up to `count` different edits of a program, the same for the same seed; the last returns nothing at all."""
    tree = ast.parse(reference)
    places = list(_places(tree))
    random.Random(seed).shuffle(places)
    found: dict[str, None] = {}
    for edit in places:
        changed = copy.deepcopy(tree)
        edit(list(ast.walk(changed)))
        found[ast.unparse(ast.fix_missing_locations(changed))] = None
        if len(found) >= count - 1:
            break
    found.pop(ast.unparse(tree), None)
    found.pop(stub := _stub(tree), None)
    return [*found, stub]


Edit = Callable[[list[ast.AST]], None]


def _places(tree: ast.AST) -> Iterator[Edit]:
    for i, node in enumerate(ast.walk(tree)):
        match node:
            case ast.Compare(ops=[op, *_]) if type(op) in _COMPARE:
                yield partial(_swap_comparison, i)
            case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
                yield partial(_swap_arithmetic, i)
            case ast.BoolOp():
                yield partial(_swap_junction, i)
            case ast.Constant(value=value) if type(value) is int:
                yield partial(_shift_constant, i, 1)
                yield partial(_shift_constant, i, -1)
            case ast.If():
                yield partial(_negate, i)
            case ast.Return(value=value) if value is not None:
                yield partial(_return_none, i)
            case _:
                pass


def _swap_comparison(i: int, nodes: list[ast.AST]) -> None:
    node = nodes[i]
    assert isinstance(node, ast.Compare)
    node.ops[0] = _COMPARE[type(node.ops[0])]()


def _swap_arithmetic(i: int, nodes: list[ast.AST]) -> None:
    node = nodes[i]
    assert isinstance(node, ast.BinOp)
    node.op = _ARITHMETIC[type(node.op)]()


def _swap_junction(i: int, nodes: list[ast.AST]) -> None:
    node = nodes[i]
    assert isinstance(node, ast.BoolOp)
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()


def _shift_constant(i: int, by: int, nodes: list[ast.AST]) -> None:
    node = nodes[i]
    assert isinstance(node, ast.Constant)
    assert isinstance(node.value, int)
    node.value = node.value + by


def _negate(i: int, nodes: list[ast.AST]) -> None:
    node = nodes[i]
    assert isinstance(node, ast.If)
    node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)


def _return_none(i: int, nodes: list[ast.AST]) -> None:
    node = nodes[i]
    assert isinstance(node, ast.Return)
    node.value = ast.Constant(value=None)


def _stub(tree: ast.Module) -> str:
    """The same names, doing nothing."""
    names = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    return "\n\n".join(f"def {name}(*args, **kwargs):\n    return None" for name in names) or "pass"


def special_cased(program: str, tests: Sequence[str]) -> str | None:
    """A program with the results that tests expect written into it; None where a test is no call with its result."""
    cases = [_case(test) for test in tests]
    names = {call.func.id for call, _ in filter(None, cases) if isinstance(call.func, ast.Name)}
    if None in cases or len(names) != 1:
        return None
    (name,) = names
    lines = [
        f"    if args == {ast.unparse(ast.Tuple(elts=call.args))}:\n        return {ast.unparse(result)}"
        for call, result in filter(None, cases)
    ]
    return "\n".join([program, f"\n_{name} = {name}\n", f"def {name}(*args):", *lines, f"    return _{name}(*args)"])


def _case(test: str) -> tuple[ast.Call, ast.expr] | None:
    """The call that a test makes, and what it should return."""
    match ast.parse(test).body:
        case [ast.Assert(test=ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[right]))]:
            found = (left, right)
        case [ast.Assert(test=ast.Call(func=ast.Attribute(attr="isclose"), args=[left, right, *_]))]:
            found = (left, right)
        case [ast.Assert(test=ast.UnaryOp(op=ast.Not(), operand=left))]:
            found = (left, ast.Constant(value=False))
        case [ast.Assert(test=left)]:
            found = (left, ast.Constant(value=True))
        case _:
            return None
    call = _innermost(found[0])
    return None if call is None or call.keywords else (call, found[1])


def _innermost(node: ast.expr) -> ast.Call | None:
    """The call itself, without the built-in functions that make its result comparable."""
    match node:
        case ast.Call(func=ast.Name(id="set" | "sorted" | "list" | "tuple" | "round" | "str"), args=[inner, *_]):
            return _innermost(inner)
        case ast.Call(func=ast.Name()):
            return node
        case _:
            return None
