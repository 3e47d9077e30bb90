r"""Numbers as people and models write them, with their exact values.

A number may carry thousands separators, a sign, a currency, a unit or a percent sign, and may be a fraction, a mixed
number, a power, in scientific notation, or of words: "$1,234.50", "-3/4", "2 1/2 hours", "50%", "1.2e3", "10^3",
"$2.5 million", "\frac{3}{4}", "twenty-five". Units and the percent sign are dropped. A number of more than `MAX_DIGITS`
digits is none: no answer is that long, and a power may have more digits than there is memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

MAX_DIGITS = 40

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?: \d{3})+(?![\d/])|\d+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{{1,2}}(?![\w.]))?"
_NUMBER = re.compile(
    rf"(?<![A-Za-z0-9_.])(?:(?<![A-Za-z0-9_)])(?P<sign>[-+]?)(?P<currency>[$€£¥]\s?)?(?P<sign2>[-+]?)|)"
    rf"(?:(?P<whole>\d+)[ ](?P<top>\d+)/(?P<bottom>\d+)"
    rf"|(?P<a>{_DECIMAL})(?:\s?/\s?(?P<b>{_DECIMAL}))?"
    r"(?:\s?(?:×|x|\*|·)\s?10\s?\^\s?\{?(?P<exponent>[-+]?\d{1,2})\}?|\s?\^\s?\{?(?P<power>\d{1,3})\}?)?)(?!\d|[eE]\d)"
    r"(?:\s(?P<scale>thousand|million|billion|trillion)\b|(?(currency)(?P<short>[kKM])\b|(?!)))?"
)
_SHORT_SCALES = {"k": 10**3, "K": 10**3, "M": 10**6}  # of money: "$5k"
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MINUS = re.compile("[\u2212\u2013](?=[$€£¥]?[\\d.])")
_WIDE = str.maketrans("０１２３４５６７８９．，＋－％＄", "0123456789.,+-%$")
VULGAR = (("½", 1, 2), ("⅓", 1, 3), ("⅔", 2, 3), ("¼", 1, 4), ("¾", 3, 4), ("⅕", 1, 5), ("⅛", 1, 8))
_LATEX = (
    (re.compile(r"\\\$"), "$"),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"(-?)\s?\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r" \1\2/\3 "),
    (re.compile(r"(-?)\s?\\[dt]?frac\s*(\d)\s*(\d)"), r" \1\2/\3 "),
    (re.compile(r"(?<=\d)(?:\{,\}|\\,|\\!|,\\!|[\u00a0\u2009\u202f'’_])(?=\s?\d{3}(?!\d))"), ","),
    (re.compile(r"(?<=\d)\*\*(?=\d)"), "^"),
    (re.compile(r"\\(?:times|cdot)\b|(?<=\d)\s?\*\s?(?=[$\d])"), "×"),
    (re.compile(r"[*`~](?!\s?10)|_|(?<!\d)\*"), " "),
    (re.compile(r"\\[()\[\]]"), " "),
    (re.compile(r"(?i:\bnegative|^\s?minus)\s(?=[$€£¥]?\d)"), "-"),
    *((re.compile(sign), f" {top}/{bottom} ") for sign, top, bottom in VULGAR),
)
_SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_TEENS = "seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ONES = {word: n for n, word in enumerate(f"{_SMALL} {_TEENS}".split())} | {
    word: 10 * n for n, word in enumerate(_TENS.split(), start=2)
}
_WORD = "|".join((*_ONES, "hundred", *_SCALES))
_WORDS = re.compile(
    rf"(?:{_WORD})(?:(?:[\s-]|\sand\s)(?:{_WORD})){{0,12}}\b(?!\s(?:of|more|another|that)\b)", re.IGNORECASE
)


def plain_signs(text: str) -> str:
    """A text as long as before, with ASCII digits and with "-" for the minus signs of typographers."""
    return _MINUS.sub("-", text if text.isascii() else text.translate(_WIDE))


def without_latex(text: str) -> str:
    """A text with LaTeX's numbers written plainly."""
    for pattern, plainly in _LATEX:
        text = pattern.sub(plainly, text)
    return text


def first_number(text: str) -> Fraction | None:
    """The first number of a text without LaTeX."""
    return next(iter(_values(_NUMBER.finditer(text))), None)


def last_number(text: str) -> Fraction | None:
    """The last number of a text without LaTeX."""
    return next(iter(_values(reversed(list(_NUMBER.finditer(text))))), None)


def spelled_number(text: str) -> Fraction | None:
    """The number that a text starts with in words: "twelve", "one hundred and five"."""
    match = _WORDS.match(text.lstrip())
    if match is None:
        return None
    total, part = 0, 0
    for word in re.split(r"[\s-]+", match[0].lower()):
        if word == "hundred":
            part = max(part, 1) * 100
        elif word in _SCALES:
            total, part = total + max(part, 1) * _SCALES[word], 0
        elif word != "and":
            part += _ONES[word]
    return Fraction(total + part)


def plain(value: Fraction) -> str:
    """A whole number, a decimal where it is exact in a few places, else a fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    places = decimal_places(value)
    if places is None or places > 20:
        return f"{value.numerator}/{value.denominator}"
    digits = f"{abs(value.numerator) * 10**places // value.denominator:0{places + 1}d}"
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def decimal_places(value: Fraction) -> int | None:
    """How many places a value has as a decimal; None when it does not end."""
    places = rest = 0
    denominator = value.denominator
    for prime in (2, 5):
        power = 0
        while denominator % prime == 0:
            denominator, power = denominator // prime, power + 1
        places = max(places, power)
    rest = denominator
    return places if rest == 1 else None


def _values(matches: Iterator[re.Match[str]]) -> Iterator[Fraction]:
    return (value for match in matches if (value := _value(match)) is not None)


def _value(match: re.Match[str]) -> Fraction | None:
    if len(match[0]) > 2 * MAX_DIGITS:
        return None
    negative = "-" in ((match["sign"] or "") + (match["sign2"] or ""))
    try:
        if match["whole"] is not None:
            size = int(match["whole"]) + Fraction(int(match["top"]), int(match["bottom"]))
        else:
            size = _scaled(_decimal(match["a"]) / _decimal(match["b"] or "1"), match)
    except ZeroDivisionError:
        return None
    return None if size is None else (-size if negative else size) * _scale(match)


def _scale(match: re.Match[str]) -> int:
    return _SHORT_SCALES[match["short"]] if match["short"] else _SCALES.get(match["scale"] or "", 1)


def _scaled(size: Fraction, match: re.Match[str]) -> Fraction | None:
    """A number times a power of ten, or raised to a power, if that has not too many digits."""
    if match["exponent"] is not None:
        return size * Fraction(10) ** int(match["exponent"])
    if match["power"] is None:
        return size
    power = int(match["power"])
    digits = len(str(max(size.numerator, size.denominator)))
    return size**power if digits * power <= MAX_DIGITS else None


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", "").replace(" ", ""))
