r"""Ways of writing an answer that keep it, and slips that change it, for benchmarks/answer_reading.py.

A rewriting or a slip takes a right answer of MATH in LaTeX and gives texts; none where it does not apply.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

Rewriting = Callable[[str], Iterator[str]]

_INTEGER = re.compile(r"-?\d+")
_FRACTION = re.compile(r"\\frac\{(-?\d+)\}\{(\d+)\}")
_LIST = re.compile(r"[^()\[\]{}\\]+(?:,[^()\[\]{}\\]+)+")
_SUM = re.compile(r"([^-+(),\[\]{}=\\<>_^]+)\+([^-+(),\[\]{}=\\<>_^]+)")


def _replaced(pattern: str, by: str) -> Rewriting:
    """Every match replaced."""

    def rewrite(gold: str) -> Iterator[str]:
        yield re.sub(pattern, by, gold)

    return rewrite


def _around(before: str, after: str) -> Rewriting:
    def rewrite(gold: str) -> Iterator[str]:
        yield f"{before}{gold}{after}"

    return rewrite


def _where(pattern: str, rewriting: Rewriting) -> Rewriting:
    """Only for answers that are, as a whole, what the pattern says."""

    def rewrite(gold: str) -> Iterator[str]:
        if re.fullmatch(pattern, gold):
            yield from rewriting(gold)

    return rewrite


def _as_decimal(gold: str) -> Iterator[str]:
    if match := _FRACTION.fullmatch(gold):
        value = Fraction(int(match[1]), int(match[2]))
        places = next((p for p in range(1, 7) if (value * 10**p).denominator == 1), None)
        if places:
            yield f"{float(value):.{places}f}"


def _as_fraction(gold: str) -> Iterator[str]:
    if re.fullmatch(r"-?\d+\.\d+", gold):
        value = Fraction(gold)
        yield rf"{'-' if value < 0 else ''}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def _other_order(gold: str) -> Iterator[str]:
    if _LIST.fullmatch(gold) and not re.search(r"\d,\d{3}", gold):
        yield ", ".join(reversed(gold.split(",")))


def _sum_turned(gold: str) -> Iterator[str]:
    if match := _SUM.fullmatch(gold):
        yield f"{match[2]}+{match[1]}"


def _mixed(gold: str) -> Iterator[str]:
    """Improper fractions as mixed numbers."""
    match = re.fullmatch(r"\\frac\{(\d+)\}\{(\d+)\}", gold)
    if match and int(match[1]) > int(match[2]) and int(match[1]) % int(match[2]):
        whole, rest = divmod(int(match[1]), int(match[2]))
        yield rf"{whole}\frac{{{rest}}}{{{match[2]}}}"
        yield f"{whole} {rest}/{match[2]}"


def _thousands(by: str) -> Rewriting:
    def rewrite(gold: str) -> Iterator[str]:
        if re.fullmatch(r"\d{4,12}", gold):
            yield f"{int(gold):,}".replace(",", by)

    return rewrite


def _sized(gold: str, left: str = r"\left", right: str = r"\right") -> Iterator[str]:
    """Round brackets with a size command; intervals, whose brackets differ, are left alone."""
    if gold.count("(") == gold.count(")"):
        yield gold.replace("(", f"{left}(").replace(")", f"{right})")


def _other_unit(gold: str) -> Iterator[str]:
    yield re.sub(r"(?<=\{)( ?)(cm|inches|feet|miles|units|dollars|cents)", r"\1kg", gold)


_NUMBER = r"-?\d+(?:\.\d+)?"
REWRITINGS: Mapping[str, Rewriting] = {
    "spaces": _replaced(r"(?<!\^)([+=]|,(?!\\!|\d{3}))", r" \1 "),
    "no spaces": _replaced(r"(?<![a-zA-Z]) (?![a-zA-Z])", ""),
    r"\dfrac": _replaced(r"\\frac", r"\\dfrac"),
    r"\tfrac": _replaced(r"\\frac", r"\\tfrac"),
    r"\frac12": _replaced(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2"),
    "a/b": _where(r"-?\\frac\{\d+\}\{\d+\}", _replaced(r"\\frac\{(\d+)\}\{(\d+)\}", r"\1/\2")),
    r"\sqrt2": _replaced(r"\\sqrt\{(\d)\}", r"\\sqrt\1"),
    r"\left( \right)": _where(r"[^\\]*(?:\\(?!left|right)[^\\]*)*", _sized),
    r"\Big( \Big)": _where(r"[^\\]*(?:\\(?!left|right)[^\\]*)*", lambda g: _sized(g, r"\Big", r"\Big")),
    "no \\left": _replaced(r"\\(?:left|right)(?![a-z])", ""),
    "dollars": _around("$", "$"),
    r"\( \)": _around(r"\( ", r" \)"),
    r"\[ \]": _around(r"\[", r"\]"),
    "boxed": _around(r"\boxed{", "}"),
    "boxed, dollars": _around(r"$\boxed{", "}$"),
    "braces": _around("{", "}"),
    "display": _around(r"\displaystyle ", ""),
    "final period": _around("", "."),
    "thin spaces": _replaced(r"([+=])", r"\\,\1\\,"),
    "minus sign": _replaced("-", "\u2212"),
    "leading =": _where(r"[^=<>]*", _around("= ", "")),
    "x =": _where(rf"{_NUMBER}|\\frac\{{\d+\}}\{{\d+\}}", _around("x = ", "")),
    "unit": _where(_NUMBER, _around("", r"\text{ cm}")),
    "unit in words": _where(_NUMBER, _around("", " inches")),
    "unit dropped": _where(r"\d[\d,.]*\s*\\(?:text|mbox)\{.*", _replaced(r"\s*\\(?:text|mbox)\{.*", "")),
    "degrees": _where(r"\d+", _around("", r"^\circ")),
    "degrees dropped": _replaced(r"\^\{?\\circ\}?", ""),
    "dollar sign": _where(r"\d+(?:\.\d\d)?", _around(r"\$", "")),
    "percent dropped": _where(r"\d+(?:\.\d+)?\\%", _replaced(r"\\%", "")),
    "percent": _where(r"\d+\\%", lambda g: iter((str(float(Fraction(int(g[:-2]), 100))),))),
    ".0": _where(r"-?\d+", _around("", ".0")),
    "decimal": _as_decimal,
    "fraction": _as_fraction,
    "other order": _other_order,
    "sum turned": _sum_turned,
    "1,234": _thousands(","),
    "1{,}234": _thousands("{,}"),
    r"1,\!234": _thousands(r",\!"),
    r"1\,234": _thousands(r"\,"),
    "text": _where(r"[A-Za-z]{3,}", _around(r"\text{", "}")),
    "text dropped": _where(r"\\text\{[^{}]*\}", _replaced(r"\\text\{([^{}]*)\}", r"\1")),
    "bold": _where(r"\\text\{[^{}]*\}", _replaced(r"\\text", r"\\textbf")),
    r"\cdot": _replaced(r"(?<![\d.^_{/\\])(\d+)(?=[a-z](?![a-z]))", r"\1 \\cdot "),
    "pi": _replaced(r"\\pi(?![a-z])", "\u03c0"),
    "infinity": _replaced(r"\\infty", "\u221e"),
    "powers in braces": _replaced(r"\^(\d)(?!\d)", r"^{\1}"),
    "powers without": _replaced(r"\^\{(\d)\}", r"^\1"),
    r"\geq": _replaced(r"\\(ge|le)q?(?![a-z])", r"\\\1q "),
    "sign in the numerator": _replaced(r"-\\frac\{(\d+)\}", r"\\frac{-\1}"),
    "sign of the denominator": _where(r"-\\frac\{\d+\}\{\d+\}", _replaced(r"-\\frac\{(\d+)\}\{", r"\\frac{\1}{-")),
    "mixed": _mixed,
    ".5": _where(r"0\.\d+", _replaced(r"^0", "")),
    "5.00": _where(r"\d+\.\d+", _around("", "0")),
    "and": _where(r"[^,()\[\]{}\\]+,[^,()\[\]{}\\]+", _replaced(r",(?!\d{3})", " and ")),
    "or": _where(r"[^,()\[\]{}\\]+,[^,()\[\]{}\\]+", _replaced(r",(?!\d{3})", r" \\text{ or } ")),
    "set": _where(r"-?\d,-?\d", _around(r"\{", r"\}")),
    "U": _replaced(r"\\cup", "\u222a"),
    "turned equation": _where(r"[a-z] ?=[^=]+", _replaced(r"^([a-z]) ?=(.*)$", r"\2 = \1")),
    "dollars in words": _where(r"\\\$\d+(?:\.\d\d)?", _replaced(r"\\\$(.*)", r"\1\\text{ dollars}")),
    "over one": _where(r"\d+", lambda g: iter((rf"\frac{{{g}}}{{1}}",))),
    "twice over": _where(r"\d{1,3}", lambda g: iter((rf"\frac{{{2 * int(g)}}}{{2}}", f"{2 * int(g)}/2"))),
    "not reduced": _replaced(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac{\g<1>0}{\g<2>0}"),
    "times one": _where(rf"{_NUMBER}|\\frac\{{\d+\}}\{{\d+\}}", _around(r"1 \cdot ", "")),
    "root times one": _replaced(r"(?<!\d)\\sqrt\{(\d+)\}", r"1\\sqrt{\1}"),
    "sqrt()": _where(r"\d*\\sqrt\{\d+\}", _replaced(r"\\sqrt\{(\d+)\}", r"sqrt(\1)")),
    "bmatrix": _replaced(r"\{pmatrix\}", "{bmatrix}"),
}


OUTSIDE = {"dollars", r"\( \)", r"\[ \]", "boxed", "boxed, dollars", "braces", "display", "final period", "leading ="}
INSIDE = REWRITINGS.keys() - OUTSIDE


def _each(pattern: str, by: Callable[[re.Match[str]], str]) -> Rewriting:
    """Each match changed in turn, the others left as they are."""

    def slip(gold: str) -> Iterator[str]:
        for match in re.finditer(pattern, gold):
            yield f"{gold[: match.start()]}{by(match)}{gold[match.end() :]}"

    return slip


def _swapped_pair(gold: str) -> Iterator[str]:
    match = re.fullmatch(r"(?:\\left)?([(\[])([^,]+),([^,]+?)(?:\\right)?([)\]])", gold)
    if match and match[2].strip() != match[3].strip():
        yield f"{match[1]}{match[3]},{match[2]}{match[4]}"


def _other_end(gold: str) -> Iterator[str]:
    if re.fullmatch(r"(?:\\left)?[(\[][^()\[\]]+,[^()\[\]]+[)\]]", gold):
        yield gold[:-1].removesuffix(r"\right") + {")": "]", "]": ")"}[gold[-1]]


_SIGN = r"(?<=[\dA-Za-z})] )[-+](?= ?[\d\\A-Za-z(])|(?<=[\d})a-z])[-+](?=[\d\\A-Za-z(])"
SLIPS: Mapping[str, Rewriting] = {
    "one more": _each(r"\d+(?![^{}]*matrix)", lambda m: str(int(m[0]) + 1)),
    "one less": _each(r"[2-9]\d*|1\d+", lambda m: str(int(m[0]) - 1)),
    "sign of the whole": _where(r"[1-9]\d*|\\frac\{[1-9].*|\d*\\sqrt\{.*\}", _around("-", "")),
    "sign of a term": _each(_SIGN, lambda m: "+" if m[0] == "-" else "-"),
    "exponent": _each(r"(?<=\^)\d", lambda m: str((int(m[0]) + 1) % 10)),
    "digit of a long number": _each(r"(?<=\d{3})\d(?!\d)", lambda m: str((int(m[0]) + 1) % 10)),
    "tenfold": _where(r"[1-9]\d*", _around("", "0")),
    "swapped ends": _swapped_pair,
    "open for closed": _other_end,
    "case": _each(r"(?<![\\a-zA-Z{])[a-zA-Z](?![a-zA-Z])", lambda m: m[0].swapcase()),
    "factor": _where(r"[1-9]\d*", _around("", "s")),
    "base": _each(r"(?<=\d_)(\d)|(?<=\d_\{)(\d)", lambda m: str(int(m[0]) - 1)),
    "base dropped": _where(r"\d+_\{?\d+\}?", _replaced(r"_.*", "")),
    "unit": _where(r".*\\(?:text|mbox)\{ ?(?:cm|inches|feet|miles|units|dollars|cents).*", _other_unit),
    "last one dropped": _where(r"[^()\[\]{}\\]+(?:,[^()\[\]{}\\]+)+", _replaced(r",[^,]*$", "")),
    "one given twice": _where(r"[^()\[\]{}\\]+(?:,[^()\[\]{}\\]+)+", lambda g: iter((f"{g},{g.rpartition(',')[2]}",))),
    "powers of two": _where(r"[1-9]\d*", lambda g: iter((f"{g}+2^{{-{60 + int(g) % 40}}}",))),
    "words": _where(r"\\text\{[A-Za-z]{3,}\}", _replaced(r"\}$", "s}")),
}


def rewritten_twice(gold: str, tries: int, seed: str) -> Iterator[tuple[str, str]]:
    """Two ways of rewriting, one after the other, drawn by a seed."""
    draw = random.Random(f"{seed}/{gold}")
    for _ in range(tries):
        first, second = draw.sample(sorted(INSIDE), 1)[0], draw.sample(sorted(OUTSIDE), 1)[0]
        for once in REWRITINGS[first](gold):
            for twice in REWRITINGS[second](once):
                if gold not in (once, twice) and once != twice:
                    yield f"{first}, {second}", twice


def changed(gold: str, ways: Mapping[str, Rewriting]) -> Iterator[tuple[str, str]]:
    """Every way's name and text, where the text is another one."""
    for name, way in ways.items():
        for text in dict.fromkeys(way(gold)):
            if text != gold:
                yield name, text
