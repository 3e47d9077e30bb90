"""The blocks of code in a text: fenced, tagged, or bare lines among prose. Every scan takes time linear in the text."""

from __future__ import annotations

import ast
import html
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

from mar.runtime.code_names import broken_line, parse
from mar.runtime.json_reply import CODE, field_in_json

MAX_BLOCKS = 64  # the last ones of a text are looked at
_PYTHON = {"", "python", "py", "python3", "python2", "pycon", "ipython", "ipython3"}
_START = re.compile(
    r"(?P<quote>(?:[ \t]*>)*)(?P<indent>[ \t]*(?:(?:[-*+]|\d{1,3}[.)])[ \t]+)?)(?P<fence>`{3,}+|~{3,}+)(?P<info>[^\n]*)"
)
_LATE_START = re.compile(r"(?<!`)(?P<fence>`{3,}+)[ \t]*(?P<language>python3?|py)?[ \t]*\Z", re.IGNORECASE)
_LANGUAGE = re.compile(r"[ \t]*(?P<language>[\w+-]*)[ \t]*(?P<rest>.*)")
_CODE_START = re.compile(r"(?:async def|def|class|import|from|@)\b|@\w")
_LINE = re.compile(
    r"[ \t]*(?:(?:async def|def|class|import)[ \t]+\w|from[ \t]+[\w.]+[ \t]+import\b|@\w)|[A-Za-z_]\w*[ \t]*=[^=]"
)
_HEAD = re.compile(r"(?:async def|def|class)\b")
_OPEN_TAG = re.compile(
    r"^[ \t]*(?:\[(?:BEGIN|PYTHON|CODE)\]|(?:<(?:code|python|pre|answer|solution)(?: [^<>\n]{0,60})?>){1,3})",
    re.M | re.I,
)
_CLOSE_TAG = re.compile(
    r"^[ \t]*\[(?:DONE|END)\][ \t]*$|(?:\[/(?:PYTHON|CODE)\]|(?:</(?:code|python|pre|answer|solution)>){1,3})[ \t]*$",
    re.M | re.I,
)
_ANSWERED = re.compile(r"(?:<\|(?:endoftext|im_end|eot_id|end)\|>|^[ \t]*\[DONE\])[ \t]*$", re.M)
_LANGUAGE_LINE = re.compile(r"\A\s*(?:python3?|py)[ \t]*\n", re.I)
_END_OF_TEXT = re.compile(r"(?:<\|[\w-]{1,30}\|>|</s>|<(?:eos|EOS|end_of_turn)>)\s*\Z")
_TYPOGRAPHY = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u3000": " ", "\u200b": "", "\ufeff": "", "\u201c": '"',
                             "\u201d": '"', "\u2018": "'", "\u2019": "'"})  # fmt: skip
_BREAK = "\f"  # stands for a line with a fence among bare lines
_DIFF_HEAD = re.compile(r"(?:diff|index|new file mode|---|\+\+\+|@@|\\ No newline)(?:\s|$)")
_MARKDOWN_ESCAPE = re.compile(r"\\([_*\[\]<>#])")


def fenced_blocks(text: str) -> list[str]:
    """The Python in the fences of a text, in order; fences of other languages count if they hold definitions.

    What a reply's JSON holds as its code comes last.
    """
    text = _without_end(text)
    if "```" not in text and "~~~" not in text and _OPEN_TAG.search(text):
        text = _CLOSE_TAG.sub("\n```\n", _OPEN_TAG.sub("\n```python\n", text))
    found: list[str] = []
    for language, raw in list(_fences(text.split("\n")))[-MAX_BLOCKS:]:
        block = readable(_without_end(raw).strip("\n"))
        if block.strip() and (language in _PYTHON or _defines(block)):
            parts = [] if parse(block) is not None else bare_blocks(block)
            found += parts if any(map(_defines, parts)) else [block]
    if field := field_in_json(text, CODE):
        found += fenced_blocks(field.text) or [readable(field.text)]
    return found


def readable(block: str) -> str:
    """A block as Python: without a session's prompts, a diff's signs, Markdown's escapes, typographic characters, where
    that helps.

    A first line that is the language's name alone, as of a fence that was lost, is left out.
    """
    block = _LANGUAGE_LINE.sub("", block)
    if parse(block) is not None:
        return block
    for changed in (
        _session(block),
        _new_side(block),
        block.translate(_TYPOGRAPHY),
        _MARKDOWN_ESCAPE.sub(r"\1", block),
        html.unescape(block),
    ):
        if changed != block and parse(changed) is not None:
            return changed
    return block


def bare_blocks(text: str) -> list[str]:
    """Runs of lines that read as a program, among prose and stray fences."""
    text = _without_end(text)
    whole = readable(text.strip())
    if parse(whole) is not None:
        return [whole] if any(_LINE.match(line) for line in whole.split("\n")) else []
    runs = _Scan([_unfenced(line) for line in text.split("\n")]).runs()
    return [b for b in map(_parsing, list(runs)[-MAX_BLOCKS:]) if b]


def indented_blocks(text: str) -> list[str]:
    """Runs of indented lines under no head of their own, with and without the line before them."""
    found: list[str] = []
    head, run = "", list[str]()
    for line in [*_without_end(text).split("\n"), "."]:
        if not line.strip() or line[0].isspace():
            run.append(line)
            continue
        if any(r.strip() for r in run) and not _HEAD.match(head):
            body = "\n".join(run).strip("\n").rstrip()
            found += [f"{head}\n{body}", body]
        head, run = line, []
    return found[:16]


def own_part(text: str) -> str:
    """The text up to where it says that it has answered: models without a chat format go on with tasks of their own."""
    end = next((m.start() for m in _ANSWERED.finditer(text) if text[: m.start()].strip()), len(text))
    return text[:end] if not _OPEN_TAG.search(text, 0, end) else text


def _without_end(text: str) -> str:
    for _ in range(4):
        shorter = _END_OF_TEXT.sub("", text)
        if shorter == text:
            break
        text = shorter
    return text


def _defines(block: str) -> bool:
    tree = parse(block)
    return tree is not None and any(isinstance(s, ast.FunctionDef | ast.ClassDef) for s in tree.body)


def _session(block: str) -> str:
    """The input of an interactive session, for a block that begins like one."""
    lines = [line.lstrip() for line in block.strip().split("\n")]
    if not lines[0].startswith(">>> "):
        return block
    return "\n".join(line[4:] for line in lines if line.startswith((">>> ", "... ")) or line == "...")


def _new_side(block: str) -> str:
    """What a unified diff makes of what it shows: added lines, and those that stay."""
    lines = [line for line in block.strip("\n").split("\n") if not _DIFF_HEAD.match(line)]
    if not any(line.startswith("+") for line in lines) or any(line and line[0] not in "+- " for line in lines):
        return block
    return "\n".join(line[1:] for line in lines if not line.startswith("-"))


# Fences -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Lexer:
    """How far strings and brackets are open at the end of the lines of a program, read one after the other."""

    quote: str = ""  # of the triple-quoted string that is open
    depth: int = 0  # brackets
    goes_on: bool = False  # the line ended in a backslash

    _TOKEN = re.compile(
        r"#.*|'''|\"\"\"|'(?:[^'\\]|\\.)*+'?|\"(?:[^\"\\]|\\.)*+\"?|[(\[{]|[)\]}]|[^#'\"(){}\[\]]++",
    )

    def feed(self, line: str) -> None:
        """Take in one line."""
        at = 0
        self.goes_on = False
        while at < len(line):
            if self.quote:
                at = self._in_string(line, at)
                continue
            match = self._TOKEN.match(line, at)
            assert match is not None  # some alternative begins with any character
            token, at = match[0], match.end()
            if token in ("'''", '"""'):
                self.quote = token
            elif token in "([{":
                self.depth += 1
            elif token in ")]}":
                self.depth = max(0, self.depth - 1)
            self.goes_on = at == len(line) and token.endswith("\\")

    def _in_string(self, line: str, at: int) -> int:
        while at < len(line):
            if line[at] == "\\":
                at += 2
            elif line.startswith(self.quote, at):
                self.quote = ""
                return at + 3
            else:
                at += 1
        return at

    @property
    def open(self) -> bool:
        """Whether the next line goes on with what has begun."""
        return bool(self.quote) or self.depth > 0 or self.goes_on


@dataclass(slots=True)
class _Fence:
    mark: str
    language: str
    quoted: bool
    indented: bool
    lines: list[str] = field(default_factory=list[str])

    def text(self) -> str:
        code = "\n".join(self.lines)
        return textwrap.dedent(code) if self.indented else code


def _fences(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Language and content of each fence. A fence inside a docstring belongs to the program around it."""
    at, trust_strings = 0, True
    while at < len(lines):
        fence = _opened(lines[at])
        at += 1
        if fence is None:
            continue
        if isinstance(fence, str):
            yield "", fence
            continue
        end = _closing(lines, at, fence, trust_strings=trust_strings)
        if end is None and trust_strings:  # a string that never ends is no string
            trust_strings = False
            end = _closing(lines, at, fence, trust_strings=False)
        stop = len(lines) if end is None else end
        fence.lines += [_inner(line, fence) for line in lines[at:stop]]
        if end is not None:
            fence.lines.append(_inner(lines[end], fence).rstrip().rstrip(fence.mark[0]))
        at = stop + 1
        yield fence.language, fence.text()


def _opened(line: str) -> _Fence | str | None:
    """The fence that a line opens, or the code of one that opens and closes on it."""
    match = _START.match(line)
    if match is None:
        late = _LATE_START.search(line)
        return late and _Fence(late["fence"], (late["language"] or "").lower(), quoted=False, indented=False)
    inner = _LANGUAGE.match(match["info"])
    assert inner is not None
    language, rest = inner["language"], inner["rest"].rstrip()
    if rest.endswith(match["fence"]):
        code = rest.removesuffix(match["fence"])
        return code if language.lower() in _PYTHON else f"{language} {code}"
    quoted = bool(match["quote"])
    fence = _Fence(match["fence"], language.lower(), quoted=quoted, indented=bool(match["indent"]) or quoted)
    if _CODE_START.match(rest):
        fence.lines.append(rest)
    elif _CODE_START.match(match["info"].strip()):
        fence.language = ""
        fence.lines.append(match["info"].strip())
    return fence


def _closing(lines: list[str], at: int, fence: _Fence, *, trust_strings: bool) -> int | None:
    """The line that closes a fence."""
    lexer = Lexer()
    for number in range(at, len(lines)):
        inner = _inner(lines[number], fence)
        line = inner.strip()
        if not lexer.quote or not trust_strings:
            before = line.rstrip(fence.mark[0])
            if len(line) - len(before) >= len(fence.mark) and (not before or fence.mark[0] not in before):
                return number
        lexer.feed(inner)
    return None


def _inner(line: str, fence: _Fence) -> str:
    return re.sub(r"\A(?:[ \t]*>)+ ?", "", line) if fence.quoted else line


# Bare lines -------------------------------------------------------------------------------------------------------


def _unfenced(line: str) -> str:
    stripped = line.rstrip()
    if stripped.endswith("```"):
        stripped = stripped.rstrip("`")
    return _BREAK if stripped.lstrip().startswith(("```", "~~~")) or (not stripped and line.strip()) else stripped


class _Scan:
    """Reads lines of code among others."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._patience = 2000  # lines that may be read in vain for the end of a string or bracket that has none

    def runs(self) -> Iterator[list[str]]:
        """Maximal runs of lines that begin with a definition or an import and go on as code."""
        at = 0
        while at < len(self._lines):
            first = self._lines[at]
            if not _LINE.match(first):
                at += 1
                continue
            margin = len(first) - len(first.lstrip())
            end = self._end(at, margin)
            yield [line[margin:] for line in self._lines[at:end]]
            at = max(end, at + 1)

    def _end(self, at: int, margin: int) -> int:
        while at < len(self._lines):
            line, end = self._lines[at], self._logical(at)
            indent = len(line) - len(line.lstrip())
            if line == _BREAK or (line.strip() and indent < margin):
                break
            if line.strip() and indent == margin and not _is_code(self._lines[at:end], margin):
                break
            at = end
        return at

    def _logical(self, at: int) -> int:
        """The end of the logical line that begins here; of the line itself when that never ends."""
        lexer = Lexer()
        for number in range(at, min(len(self._lines), at + self._patience + 1)):
            lexer.feed(self._lines[number])
            if not lexer.open:
                return number + 1
        self._patience //= 2
        return at + 1


_BLOCK = re.compile(
    r"(?:if|elif|for|while|with|async|try|except|finally|else|def|class|match)\b.*:[ \t]*(?:#.*)?", re.S
)
_CALL = re.compile(r"[\w.]+\(")


def _is_code(logical: list[str], margin: int) -> bool:
    """Whether a logical line outside any block is a statement, not prose that happens to read as one."""
    text = "\n".join([logical[0][margin:], *logical[1:]])
    if text.startswith(("#", "@")) or _BLOCK.fullmatch(text):
        return True
    tree = parse(text)
    if tree is None:
        return False
    match tree.body:
        case [ast.Expr(value=ast.Call() | ast.Await())]:
            return _CALL.match(text) is not None
        case [ast.Expr(value=ast.Constant(value=str()))]:
            return True
        case [ast.Expr()] | [ast.AnnAssign(value=None)]:
            return False
        case _:
            return bool(tree.body)


def _parsing(run: list[str]) -> str | None:
    """The run as far as it parses: what comes from the statement on that cannot be read is left out."""
    for _ in range(3):
        code = readable("\n".join(run).rstrip())
        if parse(code) is not None:
            return code or None
        heads = [i for i, line in enumerate(run[: broken_line(code)]) if line and not line[0].isspace()]
        run = run[: heads[-1]] if heads else []
    return None
