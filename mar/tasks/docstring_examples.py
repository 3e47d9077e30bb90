r"""The examples that a function's docstring gives, as assertions.

Docstrings state examples in many ways: `>>> f(1)` with the result on the next line, `f(1) == 2`, `f(1) ➞ 2`, "f(1)
should return 2", "For n = 1 the output should be 2", "Input: 1" with "Output: 2" below. Read is what is certain: a
call with literals, one of these relations, and a literal that ends there. Arguments that are names, results that are
formulas ("1 + n / 2") and calls of another function are left. The text is read as it stands in the program, since a
docstring with \n in an example seldom escapes it; one that doubles its backslashes is read as Python reads it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_QUOTED = r"'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\""
_PIECE = re.compile(rf"{_QUOTED}|.", re.DOTALL)
_PLAIN = re.compile(
    rf"{_QUOTED}|[-+]?(?:\d[\d_]*(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?(?!\w)|(?:true|false|none|null)\b", re.IGNORECASE
)
_NAMED: Mapping[str, object] = {"true": True, "false": False, "none": None, "null": None}
_FORMULA = re.compile(r"[-+*/().\d \t]+=(?!=)[ \t]*")  # 19 - 5 - 6 = 8: what stands before the last sign is left out
_OPERATOR = re.compile(r"[ \t]*[-+*/%<>=(\[]|\w")
_END = re.compile(
    r"`?[ \t]*(?:$|[.;!](?!\d)|,(?![ \t]*[-+\d'\"(\[{])|[#()|]|(?:and|but|while|because|since|as)\b|\w+\()",
    re.MULTILINE,
)
_OUTCOME = r"(?:output|result|answer|return value)\s*(?:[:=]|(?:should|must|will|would)\s+be\b|is\b)\s*"
_RELATION = re.compile(
    r"`?[ \t]*(?:#[ \t]*)?"
    r"(?:={1,3}(?![=>])|\s*(?:={1,2}>|-{1,2}>|➞|→|⇒)"
    r"|\s*(?:(?:should|must|will|would)\s+(?:return|be|give)|returns?|gives?|equals?|yields|is(?:\s+equal\s+to)?)(?!\w)"
    rf"|[,:]?\s*(?:the\s+|expected\s+)*{_OUTCOME})\s*`?",
    re.IGNORECASE,
)
_GIVEN = re.compile(r"\b(?:for|if|when|with|given|input[ \t]*:)\s+", re.IGNORECASE)
_BINDING = re.compile(r"(?:and\s+)?(\w+)\s*[=:]\s*")
_THEN = re.compile(rf"[^\n]*?\b{_OUTCOME}|\s*\b{_OUTCOME}", re.IGNORECASE)
_SEPARATOR = re.compile(r"(?:[ \t]*,?\s*(?=(?:and\s+)?\w+\s*[=:][^=]))?")
_DOCTEST = re.compile(r"[ \t]*>>>[ \t]*")
_OVER = re.compile(r"[ \t]*(?:\Z|\n[ \t]*(?:\n|>>>|\Z))")  # nothing more is printed
_BULLETS = ("", "*", "-", "+", "•", ">>>")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """An expression read from a text."""

    node: ast.expr
    end: int  # where the text goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class _Example:
    """A call and its result."""

    at: int  # where it stands
    call: ast.expr
    result: ast.expr

    @property
    def assertion(self) -> str:
        """The example as a test."""
        test = ast.Compare(left=self.call, ops=[ast.Eq()], comparators=[self.result])
        return ast.unparse(ast.fix_missing_locations(ast.Assert(test=test, msg=None)))


def shown_assertions(prompt: str, entry_point: str) -> tuple[str, ...]:
    """The examples in a function's docstring as assertions, in their order; none where there is no docstring.

    Args:
        prompt: A program text that ends in the function's docstring.
        entry_point: The function's name.
    """
    try:
        tree = ast.parse(f"{prompt}\n    pass\n")
        function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == entry_point)
    except (SyntaxError, ValueError, StopIteration, RecursionError):
        return ()
    parameters = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    found: list[_Example] = []
    for text in _docstrings(function, prompt):
        examples = [*_called(text, entry_point), *_described(text, entry_point, parameters)]
        found += sorted(examples, key=lambda e: e.at)
    return tuple(dict.fromkeys(e.assertion for e in found))


def _docstrings(function: ast.FunctionDef, prompt: str) -> Iterator[str]:
    """Texts that stand in the function as statements of their own."""
    for statement in function.body:
        match statement:
            case ast.Expr(value=ast.Constant(value=str(value))):
                raw = (ast.get_source_segment(prompt, statement) or "").lstrip("rRuU")
                text = value if "\\\\" in raw else raw.strip("\"'" if raw.startswith(('"""', "'''")) else raw[:1])
                yield re.sub(r"^[ \t]*\.\.\.(?: |$)", "", text, flags=re.MULTILINE)
            case _:
                pass


def _called(text: str, name: str) -> Iterator[_Example]:
    """Examples that write the call down."""
    for found in re.finditer(rf"(?<![\w.]){re.escape(name)}\(", text):
        call = _parsed(text, found.start(), _closing(text, found.end() - 1))
        if call is None or not isinstance(call.node, ast.Call) or not _literal(call.node):
            continue
        line = text.rfind("\n", 0, found.start()) + 1
        example = _interactive(text, line, call) or _stated(text, line, found.start(), call)
        if example is not None:
            yield example


def _interactive(text: str, line: int, call: _Read) -> _Example | None:
    """`>>> expression` with its value on the next line."""
    prompt, stop = _DOCTEST.match(text, line), text.find("\n", call.end)
    if prompt is None or stop < 0:
        return None
    asked, value = _parsed(text, prompt.end(), stop), _value(text, stop + 1)
    if asked is None or value is None or not _OVER.match(text, value.end) or _prints(asked.node):
        return None
    return _Example(at=line, call=asked.node, result=value.node)


def _stated(text: str, line: int, start: int, call: _Read) -> _Example | None:
    """`call == value`, `call => value`, "call returns value"."""
    before = text[line:start].strip("` \t")
    if before not in _BULLETS and (before[-1] in "+-*/%=<>" or before.endswith("not")):
        return None  # a part of something larger
    relation = _RELATION.match(text, call.end)
    value = None if relation is None else _value(text, relation.end())
    return None if value is None else _Example(at=start, call=call.node, result=value.node)


def _described(text: str, name: str, parameters: Sequence[str]) -> Iterator[_Example]:
    """Examples that name the arguments: "For a = 1, b = 2 the output should be 3"."""
    for given in _GIVEN.finditer(text):
        arguments, at = _bindings(text, given.end(), parameters)
        outcome = _THEN.match(text, at) if len(arguments) == len(parameters) > 0 else None
        result = None if outcome is None else _value(text, outcome.end())
        if result is not None:
            call = ast.Call(func=ast.Name(id=name), args=[arguments[p] for p in parameters], keywords=[])
            yield _Example(at=given.start(), call=call, result=result.node)


def _bindings(text: str, at: int, parameters: Sequence[str]) -> tuple[dict[str, ast.expr], int]:
    """Values of parameters and where the text goes on; one parameter may stand without its name."""
    found: dict[str, ast.expr] = {}
    while (named := _BINDING.match(text, at)) is not None or (len(parameters) == 1 and not found):
        value = _plain(text, at if named is None else named.end())
        name = parameters[0] if named is None else named[1]
        if value is None or name not in parameters or _OPERATOR.match(text, value.end):
            break
        found[name] = value.node
        separator = _SEPARATOR.match(text, value.end)
        at = value.end if separator is None else separator.end()
    return found, at


def _value(text: str, start: int) -> _Read | None:
    """The literal that stands here and is followed by nothing that belongs to it."""
    at = start
    while text[at : at + 1] in (" ", "\t", "`"):
        at += 1
    while (formula := _FORMULA.match(text, at)) is not None:
        at = formula.end()
    value = _plain(text, at)
    return value if value is not None and _END.match(text, value.end) else None


def _plain(text: str, start: int) -> _Read | None:
    """The literal that begins here."""
    if text[start : start + 1] in tuple("([{"):
        found = _parsed(text, start, _closing(text, start))
        return found if found is not None and _is_literal(found.node) else None
    match = _PLAIN.match(text, start)
    if match is None:
        return None
    if match[0].lower() in _NAMED:
        return _Read(node=ast.Constant(value=_NAMED[match[0].lower()]), end=match.end())  # pyright: ignore[reportArgumentType]
    return _parsed(text, start, match.end())


def _closing(text: str, start: int) -> int:
    """Behind the bracket that closes the one at `start`; -1 where none does."""
    depth = 0
    for piece in _PIECE.finditer(text, start):
        depth += (piece[0] in tuple("([{")) - (piece[0] in tuple(")]}"))
        if depth == 0:
            return piece.end()
    return -1


def _parsed(text: str, start: int, end: int) -> _Read | None:
    try:
        return _Read(node=ast.parse(text[start:end].strip(), mode="eval").body, end=end) if end > start else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _prints(node: ast.expr) -> bool:
    """Whether the value is None and what stands below is printed text."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "pprint")


def _literal(call: ast.Call) -> bool:
    return all(map(_is_literal, call.args)) and all(map(_is_literal, (k.value for k in call.keywords)))


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return False
    return True
