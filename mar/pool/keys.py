"""Keys: checked when they are read, and taken out of whatever is shown or kept."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from functools import lru_cache

from pydantic import SecretStr

from mar.errors import ConfigError

MASK = "[key]"
FRAGMENT = 12  # characters of a key that are taken out where the rest was cut off
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
    """A text without a key: as it stands, in other case, escaped, percent-encoded, in Base64, or cut off."""
    return _pattern(key).sub(MASK, text) if key else text


@lru_cache(maxsize=256)
def _pattern(key: str) -> re.Pattern[str]:
    return re.compile("|".join(_alternatives(key)), re.IGNORECASE)


def _alternatives(key: str) -> Iterator[str]:
    """The key, whatever escapes its characters; what is left of it where it was cut; and its Base64 and hex."""
    escaped = [_escaped(c) for c in key]
    yield "".join(escaped)
    if len(key) >= FRAGMENT:
        yield "".join(escaped[:FRAGMENT]) + _REST
        yield "".join(escaped[-FRAGMENT:])
    for form in sorted(set(_codes(key)), key=len, reverse=True):
        if len(form) < 2 * FRAGMENT:
            yield re.escape(form)
        if len(form) >= FRAGMENT:
            yield re.escape(form[:FRAGMENT]) + _REST
            yield re.escape(form[-FRAGMENT:])


def _escaped(character: str) -> str:
    """A pattern of a character as texts, addresses, programs, JSON and HTML write it."""
    number = ord(character)
    named = f"|{re.escape(name)}" if (name := html.escape(character)) != character else ""
    return (
        rf"(?:\\*{re.escape(character)}|%{number:02x}|\\+(?:u00|x){number:02x}|&\#(?:0*{number}|x0*{number:x});{named})"
    )


def _codes(key: str) -> Iterator[str]:
    data = key.encode(errors="surrogatepass")
    yield data.hex()
    for offset in range(3):  # where the key may begin within a group of three bytes: "Bearer " is before it, or a user
        coded = base64.b64encode(b"\0" * offset + data).decode().rstrip("=")
        shared = int((offset + len(data)) % 3 > 0)  # whether the last character also stands for what follows
        inner = coded[(offset * 8 + 5) // 6 : len(coded) - shared]
        if len(inner) >= 8:
            yield from (inner, inner.replace("+", "-").replace("/", "_"))
