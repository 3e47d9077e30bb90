r"""LaTeX written in one way: what makes no difference to an answer's value is taken away or written alike.

Spaces, sizes of brackets, \dfrac and \tfrac, dollar signs, degrees, colours, a box around the whole, a final period,
the minus signs of typographers, thousands separators, and "pi" or "sqrt(2)" written without a backslash make none.
"""

from __future__ import annotations

import re
from fractions import Fraction

from mar.tasks.scoring.numerals import VULGAR, spelled_number

_SIGNS = str.maketrans(
    {
        **{"−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ", "≤": r"\leq "},
        **{
            "≥": r"\geq ",
            "≠": r"\neq ",
            "≡": r"\equiv ",
            "∪": r"\cup ",
            "°": "",
            "\u00a0": " ",
            "’": "'",
            "∅": r"\emptyset ",
            "\x00": "",
            "²": "^2 ",
            "³": "^3 ",
            **{sign: rf"\frac{{{top}}}{{{bottom}}} " for sign, top, bottom in VULGAR},
        },
    }
)
_DEGREES = r"\^\s?(?:\\circ|\{\s?\\circ\s?\})"
_MOD = r"(?:\\(?:[pb]?mod|pod)|\\text\s?\{\s?mod\s?\}|(?<![a-zA-Z\\])mod(?:ulo)?)(?![a-zA-Z])"
_ALIKE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), plainly)
    for pattern, plainly in (
        (r"\\(?:left|right|[bB]igg?[lrm]?)\s?(?=[()\[\]{}|.\\/<>])(?:\.)?", ""),
        (r"\\(?:displaystyle|textstyle|limits|hphantom\{[^{}]*\}|phantom\{[^{}]*\})", ""),
        (r"(?<=\d)(?:\{,\}|,\\!|\\,|\\!)\s?(?=\d{3}(?!\d))", ""),
        (r"\\!", ""),
        (r"(?<!\\)\\[,;:> ]|~|\\q?quad(?![a-zA-Z])|\\(?:hspace|vspace)\{[^{}]*\}", " "),
        (r"\\[dtc]frac", r"\\frac"),
        (r"\\[dt]binom", r"\\binom"),
        (r"\{\s?(\w+)\s?\\choose\s?(\w+)\s?\}", r"\\binom{\1}{\2}"),
        (r"\\langle(?![a-z])", "("),
        (r"\\rangle(?![a-z])", ")"),
        (r"\\(?:mbox|textrm|textnormal|textbf|textit|emph|hbox)(?=\s?\{)", r"\\text"),
        (r"\\(?:mathrm|mathbf|mathit|mathsf|boldsymbol|bm|operatorname)\s?\{\s?([A-Za-z])\s?\}", r"\1"),
        (r"\\(?:mathrm|mathbf|operatorname)(?=\s?\{)", r"\\text"),
        (r"\\text\s?\{\s*([-+]?[\d.,/]+)\s*\}", r"\1"),
        (r"\\(?:color|textcolor)\{[^{}]*\}|\\underline(?=\s?\{)", ""),
        (r"√\s?(?=[\d(a-z{])", r"\\sqrt"),
        (r"\\mathbb\s?\{?\s?R\s?\}?|ℝ", r"(-\\infty,\\infty)"),
        (rf"(\\(?:sin|cos|tan|cot|sec|csc)) ?\(?(\d+(?:\.\d+)?) ?{_DEGREES}\)?", r"\1(\\frac{\2\\pi}{180})"),
        (r"\s?\^\s?(?:\\circ|\{\s?\\circ\s?\})|\\degree|\\text\s?\{\s?degrees?\s?\}|(?<=\d)\s?degrees?\b", ""),
        (r"\\\$|\$|\\dollar", ""),
        (r"\\(?:varnothing|empty(?![a-z]))|\\\{\s?\\\}", r"\\emptyset"),
        (r"\\le(?![a-z])|<=", r"\\leq "),
        (r"\\ge(?![a-z])|>=", r"\\geq "),
        (r"\\ne(?![a-z])|!=", r"\\neq "),
        (r"\\lt(?![a-z])", "<"),
        (r"\\gt(?![a-z])", ">"),
        (r"\\text\s?\{\s*(\(?\s?mod\s?\w+\s?\)?)\s*\}", r" \1"),
        (rf"\(?\s?{_MOD}\s?\{{?\s?([^{{}}()]+?)\s?\}}?\s?\)?[.$\s]*$", r"\\pmod{\1}"),
        (r"\*\*", "^"),
        (r"(?<![\\a-zA-Z])(pi|infty|theta|alpha|beta|sin|cos|tan|log|ln)(?![a-z])", r"\\\1 "),
        (r"(?<![\\a-zA-Z])infinity(?![a-z])", r"\\infty "),
        (r"(?<![\\a-zA-Z])exp\s?\(([^()]*)\)", r"e^{\1}"),
        (r"\\?(?<![a-zA-Z])sqrt\s?\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\\sqrt\s?([0-9a-zA-Z])", r"\\sqrt{\1}"),
        (r"\\frac\s?(\d)\s?(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s?(\{[^{}]*\}|[0-9a-zA-Z])\s?([0-9a-zA-Z])", r"\\frac{\1}{\2}"),
        (r"\\frac\s?([0-9a-zA-Z])\s?\{", r"\\frac{\1}{"),
        (r"\\frac\s?\{\{([^{}]*)\}\}", r"\\frac{\1}"),
        (r"\s+", " "),
    )
)
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,]|, ?\d)")
_EDGES = (
    re.compile(r"^(?:=|\\approx|\\Rightarrow|\\implies)\s?"),
    re.compile(r"(?:\\\\|[.,;]|\s)+$"),
)
_WRAPPED = (
    re.compile(r"\\(?:boxed|fbox|framebox)\s?\{(.*)\}", re.DOTALL),
    re.compile(r"\\\((.*)\\\)", re.DOTALL),
    re.compile(r"\\\[(.*)\\\]", re.DOTALL),
    re.compile(r"\{(.*)\}", re.DOTALL),
    re.compile(r"'([^']*)'|\"([^\"]*)\""),
)
_NUMBER = r"-?(?:\d+(?:\.\d*)?|\.\d+)"
_PLAIN = re.compile(rf"\+?({_NUMBER})(?:[eE]([-+]?\d{{1,2}})|(?:\\times|\\cdot|\*)10\^(?:\{{(-?\d{{1,2}})\}}|(\d)))?")
_FRACTION = re.compile(rf"(-?)(?:\\frac\{{({_NUMBER})\}}\{{({_NUMBER})\}}|\(?({_NUMBER})\)?/\(?({_NUMBER})\)?)")
_MIXED = re.compile(r"(-?)(\d+)(?:\\frac\{(\d+)\}\{(\d+)\}| (\d+)/(\d+))")
_REPEATING = re.compile(r"(-?)(\d+)\.(\d*)\\(?:overline|bar)\{(\d+)\}")
_TEXT = re.compile(r"\\text\s?\{([^{}]*)\}")
MAX_DIGITS = 1_000  # digits of a number that is read; the longest of a published answer has 100


def tidy(expression: str) -> str:
    """An expression in the one way; equal texts then mean equal answers."""
    text = expression.translate(_SIGNS).strip()
    for pattern, plainly in _ALIKE:
        text = pattern.sub(plainly, text)
    before = None
    while before != text:
        before = text
        for edge in _EDGES:
            text = edge.sub("", text).strip()
        for wrapped in _WRAPPED:
            match = wrapped.fullmatch(text)
            inner = next((g for g in match.groups() if g is not None), "") if match else ""
            if inner.strip() and balanced(inner):
                text = inner.strip()
    if not text.startswith(("(", "[", "\\{")):
        text = _THOUSANDS.sub(lambda m: m[0].replace(",", ""), text)
    return text


def squeezed(text: str) -> str:
    """A tidy text without the spaces that end no command."""
    return re.sub(r"(?<!\\)(?<![a-zA-Z])\s+|\s+(?![a-zA-Z])", "", text)


def balanced(text: str) -> bool:
    """Whether no brace closes that was not opened, and none stays open."""
    depth = 0
    for at, c in enumerate(text):
        if c in "{}" and text[at - 1 : at] != "\\":
            depth += 1 if c == "{" else -1
            if depth < 0:
                return False
    return depth == 0


def exact(text: str) -> Fraction | None:
    """The value of a tidy text that is a number: whole, decimal, repeating, a fraction or a mixed number."""
    if len(text) > MAX_DIGITS:
        return None
    plain = squeezed(text)
    if match := _PLAIN.fullmatch(plain):
        exponent = int(match[2] or match[3] or match[4] or 0)
        return Fraction(match[1].removesuffix(".")) * Fraction(10) ** exponent
    if match := _MIXED.fullmatch(re.sub(r"(?<=\d)\s(?=\\frac)", "", text)):
        top, bottom = int(match[3] or match[5]), int(match[4] or match[6])
        size = int(match[2]) + Fraction(top, bottom) if 0 < top < bottom else None
        return -size if size is not None and match[1] else size
    if " " in text and re.search(r"\d \d", text):
        return None
    if match := _FRACTION.fullmatch(plain):
        top, bottom = Fraction(match[2] or match[4]), Fraction(match[3] or match[5])
        return (-top if match[1] else top) / bottom if bottom else None
    if match := _REPEATING.fullmatch(plain):
        whole = Fraction(int(match[2] + match[3]), 10 ** len(match[3]))
        size = whole + Fraction(int(match[4]), (10 ** len(match[4]) - 1) * 10 ** len(match[3]))
        return -size if match[1] else size
    return None


def words(text: str) -> str | None:
    """The words that a tidy text is, in lower case; None where it is no word. One letter keeps its case."""
    plain = " ".join(_TEXT.sub(r" \1 ", text).split()).strip("()'\" ")
    if not re.fullmatch(r"[A-Za-z][A-Za-z .'-]*", plain) or (
        "\\text" not in text and not re.search(r"[a-zA-Z]{3}", plain)
    ):
        return plain if re.fullmatch(r"[A-Za-z]", plain) and text != plain else None
    return plain if len(plain) == 1 else re.sub(r"^(?:the|an?) ", "", plain.lower()).strip(". ")


def spelled(text: str) -> Fraction | None:
    """The value of a tidy text that spells a number."""
    said = words(text)
    return spelled_number(said) if said else None
