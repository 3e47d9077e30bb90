"""Keys: checked when they are read, and taken out of whatever is shown or kept."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from pydantic import SecretStr

from mar.errors import ConfigError

MASK = "[key]"
FRAGMENT = 12  # characters of a key that are taken out where the rest was cut off
# How addresses, programs, JSON and HTML write a character; backslashes before one mean nothing here.
_ESCAPE = re.compile(
    r"\\+(?:u00|x)(?P<hex>[0-9a-f]{2})|%(?P<percent>[0-9a-f]{2})|&\#0*+(?P<html>\d{1,3}+);"
    r"|&\#x0*+(?P<html_hex>[0-9a-f]{1,2});|(?P<name>&(?:amp|lt|gt|quot|apos);)|\\+",
    re.IGNORECASE,
)
_REST = r"[\w+/=%.~\\&#;-]*"  # what may follow the first characters of a key, in any of its forms
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*_(KEY|TOKEN|SECRET|PASSWORD)|KEY|TOKEN")


def clean_key(key: SecretStr, where: str) -> SecretStr | None:
    """A key without the white space around it; None when nothing else is there.

    Raises:
        ConfigError: It holds what no key holds: a blank, a quotation mark, a character that is not printable ASCII. It
            is not quoted.
    """
    text = key.get_secret_value().strip().strip("\0\ufeff\u200b")
    wrong = next((c for c in text if not "!" <= c <= "~" or c in "\"'`"), None)
    if wrong is None:
        return SecretStr(text) if text else None
    kind = "a quotation mark" if wrong in "\"'`“”‘’„«»" else "a blank" if wrong.isspace() else f"U+{ord(wrong):04X}"
    raise ConfigError(f"{where}: the key holds {kind}; expected the key alone, of printable ASCII characters")


def shown_variable(name: str) -> str:
    """The name of a variable for a message, but not where it looks like a key that was put in its place."""
    return name if _VARIABLE.fullmatch(name) else "the variable that `key_env` names"


def scrub(text: str, key: str) -> str:
    """A text without a key: as it stands, in other case, escaped, percent-encoded, in Base64 or hex, or cut off.

    Every answer comes through here, so a text without a key costs a few searches, and one that was made to be slow
    costs time in proportion to its length.
    """
    if not key:
        return text
    forms = _forms(key)
    if forms.occur_in(text):
        text = forms.pattern.sub(MASK, text)
    if not _ESCAPE.search(text):
        return text
    plain = _ESCAPE.sub(_meant, text)
    return _masked(text, forms.pattern) if forms.occur_in(plain) else text


@dataclass(frozen=True, slots=True)
class _Forms:
    """How a key may be written, escapes aside."""

    probes: tuple[str, ...]  # in lower case; where none occurs, no form does
    pattern: re.Pattern[str]

    def occur_in(self, text: str) -> bool:
        lower = text.lower()
        return any(probe in lower for probe in self.probes)


@lru_cache(maxsize=256)
def _forms(key: str) -> _Forms:
    codes = sorted(set(_codes(key)), key=len, reverse=True)
    whole = [form for form in (key, *codes) if form is key or len(form) < 2 * FRAGMENT]
    ends = [form for form in (key, *codes) if len(form) >= FRAGMENT]
    patterns = [re.escape(form) for form in whole]
    patterns += [p for form in ends for p in (re.escape(form[:FRAGMENT]) + _REST, re.escape(form[-FRAGMENT:]))]
    probes = {form for form in whole if len(form) < FRAGMENT}
    probes |= {end for form in ends for end in (form[:FRAGMENT], form[-FRAGMENT:])}
    return _Forms(tuple(sorted(probe.lower() for probe in probes)), re.compile("|".join(patterns), re.IGNORECASE))


def _meant(escape: re.Match[str]) -> str:
    """The character that an escape stands for; nothing for backslashes before it."""
    if escape["name"]:
        return html.unescape(escape[0])
    hexadecimal = escape["hex"] or escape["percent"] or escape["html_hex"]
    number = int(hexadecimal, 16) if hexadecimal else int(escape["html"] or 0)
    return chr(number) if 0 < number < 128 else ""


def _masked(text: str, pattern: re.Pattern[str]) -> str:
    """A text without what matches once its escapes are read."""
    plain: list[str] = []
    places: list[int] = []  # where in the text each character of the plain one stands
    done = 0
    for escape in _ESCAPE.finditer(text):
        character = _meant(escape)
        plain += (text[done : escape.start()], character)
        places += [*range(done, escape.start()), *[escape.start()] * len(character)]
        done = escape.end()
    plain.append(text[done:])
    places += range(done, len(text) + 1)
    kept, done = list[str](), 0
    for found in pattern.finditer("".join(plain)):
        kept += (text[done : places[found.start()]], MASK)
        done = places[found.end()]
    return "".join([*kept, text[done:]])


def _codes(key: str) -> Iterator[str]:
    data = key.encode(errors="surrogatepass")
    yield data.hex()
    for offset in range(3):  # where the key may begin within a group of three bytes: "Bearer " is before it, or a user
        coded = base64.b64encode(b"\0" * offset + data).decode().rstrip("=")
        shared = int((offset + len(data)) % 3 > 0)  # whether the last character also stands for what follows
        inner = coded[(offset * 8 + 5) // 6 : len(coded) - shared]
        if len(inner) >= 8:
            yield from (inner, inner.replace("+", "-").replace("/", "_"))
