"""Finding the program in a model's text.

An answer holds code in blocks: fenced, tagged, or bare among prose (`mar.runtime.code_blocks`). The program is the last
block that completely defines what is asked, with what it lacks (imports, helpers, constants) from the others; tests,
usage and earlier drafts in blocks of their own are left out. Nothing is run: decisions are made on syntax trees and
symbol tables, of texts of bounded size.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mar.runtime.code_blocks import bare_blocks, fenced_blocks, indented_blocks, own_part
from mar.runtime.code_names import (
    bound,
    called_as_method,
    complete,
    free_names,
    is_definition,
    is_test,
    parse,
    says_nothing,
)

MAX_TEXT = 1 << 17
"""Characters at the end of an answer that are looked at; no program asked for here comes near."""


def parses(code: str) -> bool:
    """Whether a text is a Python program, not counting texts without any statement."""
    tree = parse(code)
    return tree is not None and bool(tree.body)


def extract_code(text: str, *, names: Sequence[str] = (), prompt: str = "") -> str | None:
    """The program in a text.

    Args:
        text: A model's answer.
        names: What the program is asked to define, where that is known.
        prompt: A program text that ends in a function's docstring; an answer may be just the body that completes it.

    Returns:
        The code without its fence, or None when the text holds none. Where nothing parses it is the last fenced block.
    """
    text = own_part(text[-MAX_TEXT:].replace("\r\n", "\n").replace("\r", "\n"))
    fenced = fenced_blocks(text)
    blocks, bare = _parsed(fenced), _parsed(bare_blocks(text))
    code = _program(blocks, names) or _program(bare, names)
    if code is None and prompt:
        code = _from_body(text, fenced, prompt, names)
    if code is None and names:  # whatever it defines instead
        code = _program(blocks, ()) or _program(bare, ())
    rest = [b.code for b in blocks] or fenced or [b.code for b in bare]
    return code or (rest[-1] if rest else None)


def _from_body(text: str, fenced: list[str], prompt: str, names: Sequence[str]) -> str | None:
    """The prompt with its body, and with what that lacks from the other blocks."""
    for body in [*reversed(fenced), *([] if fenced else [text]), *indented_blocks(text)]:
        whole = completed(prompt, body)
        if whole is not None:
            return _with_helpers(_parsed(f for f in fenced if f != body), _Block.of(whole), names)
    return None


def completed(prompt: str, body: str) -> str | None:
    """A prompt with the body that completes its last function, however that is indented; None where it does not fit."""
    known = parse(f"{prompt.rstrip()}\n    pass\n")
    if known is None:
        return None
    for form in _indented(body):
        whole = f"{prompt.rstrip()}\n{form}\n"
        tree = parse(whole)
        at = len(known.body) - 1
        if tree is None or not _does_something(tree.body[at]):
            continue
        if all(is_definition(s) or isinstance(s, ast.Import | ast.ImportFrom) for s in tree.body[at + 1 :]):
            return whole
    return None


def defines(code: str, name: str) -> bool:
    """Whether a program binds a name at its top level."""
    tree = parse(code)
    return tree is not None and any(name in bound(statement) for statement in tree.body)


def same_code(a: str, b: str) -> bool:
    """Whether two programs are the same up to formatting and comments."""
    if a.strip() == b.strip():
        return True
    one, other = parse(a), parse(b)
    if one is None or other is None:
        return False
    try:
        return ast.dump(one) == ast.dump(other)
    except RecursionError:
        return False


def _does_something(function: ast.stmt) -> bool:
    """Whether a function's body is more than definitions: a program of its own is no body."""
    body = getattr(function, "body", [])
    return any(not (is_definition(s) or says_nothing(s) or isinstance(s, ast.Import | ast.ImportFrom)) for s in body)


@dataclass(frozen=True, slots=True)
class _Block:
    code: str
    tree: ast.Module

    @classmethod
    def of(cls, code: str) -> _Block:
        tree = parse(code)
        assert tree is not None
        return cls(code, tree)

    def binds(self, test: Callable[[ast.stmt], bool]) -> set[str]:
        """The names that those statements bind which pass a test."""
        return set[str]().union(*(bound(s) for s in self.tree.body if test(s)))

    def source(self, statement: ast.stmt) -> str:
        """A statement's text, with its decorators."""
        first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
        return "\n".join(self.code.split("\n")[first - 1 : statement.end_lineno])


def _parsed(codes: Iterable[str]) -> list[_Block]:
    trees = ((code, parse(code)) for code in codes)
    return [_Block(code, tree) for code, tree in trees if tree is not None and tree.body]


def _program(blocks: list[_Block], names: Sequence[str]) -> str | None:
    """The program that these blocks make, or None when they define nothing, or not what is asked."""
    for test in (complete, is_definition):  # a bare skeleton only when there is nothing better
        for main in reversed(blocks):
            found = main.binds(test)
            found = found & set(names) if names else found - main.binds(is_test)
            if found:
                return _with_helpers(blocks, main, names)
    method = next((m for b in reversed(blocks) for m in called_as_method(b.tree, names)), None)
    if method is None:
        return None
    main = next(b for b in reversed(blocks) if any(s is method.owner for s in b.tree.body))
    return f"{_with_helpers(blocks, main, names)}\n\n{method.name} = {method.owner.name}().{method.name}"


def _with_helpers(blocks: list[_Block], main: _Block, names: Sequence[str]) -> str:
    """A block with what it lacks from the others, and with the helpers that later blocks define anew."""
    at = next((i for i, b in enumerate(blocks) if b.code == main.code), len(blocks))
    others = [b for b in blocks if b.code != main.code]
    if not others:
        return main.code
    have = main.binds(lambda _: True)
    later = blocks[at + 1 :]
    anew = set[str]().union(*(b.binds(complete) for b in later)) & have - set(names)
    wanted = (free_names(main.code) | set(names) | {"*"}) - have
    if not names:
        wanted |= set[str]().union(*(b.binds(lambda s: complete(s) and not is_test(s)) for b in others)) - have
    earlier = _Index.of(blocks[:at])
    before = earlier.needed(wanted & earlier.names)
    rest = _Index.of(later).needed(anew | (wanted - earlier.names))
    if main.code.lstrip().startswith("from __future__"):  # which has to come first
        before, rest = [], [*before, *rest]
    return "\n\n".join([*before, main.code, *rest])


@dataclass(frozen=True, slots=True)
class _Index:
    """Where names are bound in some blocks: the last place of each; skeletons do not count."""

    blocks: list[_Block]
    places: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, blocks: list[_Block]) -> _Index:
        places: dict[str, tuple[int, int]] = {}
        for i, block in enumerate(blocks):
            for j, statement in enumerate(block.tree.body):
                if complete(statement) or not is_definition(statement):
                    places.update(dict.fromkeys(bound(statement), (i, j)))
        return cls(blocks, places)

    @property
    def names(self) -> set[str]:
        return set(self.places)

    def needed(self, names: set[str]) -> list[str]:
        """The statements that bind names, and what these need in turn, in their order."""
        kept: dict[tuple[int, int], str] = {}
        waiting = sorted(names)
        while waiting:
            place = self.places.get(waiting.pop())
            if place is not None and place not in kept:
                block = self.blocks[place[0]]
                kept[place] = block.source(block.tree.body[place[1]])
                waiting += sorted(free_names(kept[place]))
        return [kept[place] for place in sorted(kept)]


def _indented(body: str) -> Iterator[str]:
    """The ways to read a body's indentation: as it stands, its first line cut off from it, or of any other depth."""
    lines = body.strip("\n").rstrip().split("\n")
    first, rest = lines[0].strip(), lines[1:]
    filled = [line for line in rest if line.strip()]
    least = min((len(line) - len(line.lstrip()) for line in filled), default=0)
    yield "\n".join(lines)
    yield textwrap.indent(textwrap.dedent("\n".join(lines)), "    ")
    yield "\n".join(["    " + first, *rest])
    if filled:
        margin = filled[0][:least] if filled[0][:least].isspace() else ""
        yield textwrap.indent(textwrap.dedent("\n".join([margin + first, *rest])), "    ")
