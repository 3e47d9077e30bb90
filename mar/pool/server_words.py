"""What a server says in place of an answer: any error body, in one small record.

Servers agree on nothing but that an error is said somewhere: {error: {message, code}}, {error: "text"}, {detail},
{message}, {errors: [...]}, a list of them, plain text, a web page, an error nested as text in another's metadata, an
error inside a reply of status 200. So the body is walked: words, codes and stated waits are gathered by the names
that they go by, in the order of the walk.
"""

from __future__ import annotations

import email.utils
import html
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

MOST_CHARS = 2000  # of a body that are looked at
MOST_DEPTH = 6  # of a body that is walked
WORDS = (
    "message", "msg", "detail", "details", "error_message", "errorMessage", "error_msg", "error_description",
    "status_msg", "reason", "title", "description", "Message", "raw",
)  # fmt: skip
NESTED = ("error", "errors", "metadata", "innererror", "base_resp", "failure", "body", "response")
CODES = ("code", "type", "status", "error_code", "status_code", "error_type", "errorCode")
WAITS_S = ("retry_after", "retryAfter", "retry_after_seconds", "retryDelay", "retry_delay", "estimated_time")
WAITS_MS = ("retry_after_ms", "retryAfterMs")

_DURATION = (
    r"(?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|h(?:ours?|rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)(?![a-z])[\s,]*)+"
)
_WAIT = re.compile(
    r"\b(?:try(?:ing)?(?: your request)? again|retry(?:ing)?(?:[-_ ]after)?|wait(?:ing)?|available again|resets?)\b"
    rf"(?:\s+(?:again|in|after|for|about|at least|approximately|another))*[\s:=]*({_DURATION}|\d+(?:\.\d+)?\b)",
    re.IGNORECASE,
)
_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milli|h|m|s|\Z)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "milli": 0.001, "h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
_PAGE = re.compile(r"\s*(?:<!doctype html|<html\b|<head\b|<\?xml[^>]*>\s*<html\b)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A server's error."""

    status: int | None = None  # of HTTP, or the code that an error inside a reply states in its place
    words: str = ""  # as they stand: they may repeat the key
    codes: tuple[str, ...] = ()  # codes and types, as texts
    param: str = ""  # the parameter that it names as the culprit
    retry_after_s: float | None = None  # how long it asks us to wait
    page: bool = False  # it is a web page: whatever answered is no API
    generated: bool = False  # part of an answer had come before

    @property
    def everything(self) -> str:
        """Words and codes, for looking things up in."""
        return " ".join((self.words, *self.codes, self.param))


def read_error(body: object, *, status: int | None = None, headers: Mapping[str, str] | None = None) -> Said:
    """Read an error body, decoded or as text."""
    body = _decoded(body)
    if isinstance(body, str):
        page = _PAGE.match(body) is not None
        words = _page_words(body) if page else body[:MOST_CHARS]
        return Said(status=status, words=words, page=page, retry_after_s=_asked_wait(headers or {}, words))
    found = _Found()
    found.walk(body, 0)
    words = ": ".join(found.words)[:MOST_CHARS]
    stated = (int(code) for code in found.codes if re.fullmatch(r"[45]\d\d", code))
    wait = _asked_wait(headers or {}, words)
    return Said(
        status=next(stated, None) if status is None else status,
        words=words,
        codes=tuple(dict.fromkeys(found.codes)),
        param=found.param,
        retry_after_s=found.wait_s if wait is None else wait,
    )


def error_in(payload: Mapping[str, Any]) -> Said | None:
    """The error inside what came as a reply, or as a part of one; None when it holds none."""
    if payload.get("choices"):
        errors = {name: payload[name] for name in ("error", "errors") if payload.get(name)}
        if not errors:
            return None
        said = read_error(errors)
    elif isinstance(payload.get("base_resp"), dict) and not payload["base_resp"].get("status_code"):
        return None  # MiniMax states its successes in the same place
    else:
        said = read_error(payload)
    return said if said.words or said.status else None


def wait_in_words(words: str) -> float | None:
    """Seconds that a text asks to wait: "try again in 1m2.5s", "retry after 20 seconds", "wait 250ms"."""
    match = _WAIT.search(words)
    return None if match is None else duration_s(match[1])


def duration_s(text: str) -> float | None:
    """Seconds in "26s", "1m2.5s", "250 ms", "2 minutes"; a bare number is seconds."""
    parts = _UNIT.findall(text)
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts) if parts else None


class _Found:
    """What a walk over an error body has come across."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.codes: list[str] = []
        self.param = ""
        self.wait_s: float | None = None

    def walk(self, value: object, depth: int) -> None:
        value = _decoded(value)
        if depth > MOST_DEPTH or value is None:
            return
        if isinstance(value, str):
            self._say(_page_words(value) if _PAGE.match(value) else value)
        elif isinstance(value, list):
            for item in cast("list[object]", value)[:8]:
                self.walk(item, depth + 1)
        elif isinstance(value, dict):
            self._walk_fields(cast("dict[str, Any]", value), depth)

    def _walk_fields(self, fields: dict[str, Any], depth: int) -> None:
        if isinstance(loc := fields.get("loc"), list):  # pydantic's: where, then what
            where = [str(part) for part in cast("list[object]", loc) if part != "body"]
            self.param = self.param or ".".join(where)
            self._say(".".join(where))
        self.codes += [str(fields[name]) for name in CODES if isinstance(fields.get(name), str | int)]
        if isinstance(fields.get("param"), str):
            self.param = self.param or fields["param"]
        if (wait := _stated_wait(fields)) is not None:
            self.wait_s = wait
        for name in (*WORDS, *NESTED):
            if name in fields:
                self.walk(fields[name], depth + 1)

    def _say(self, text: str) -> None:
        text = " ".join(text.split())[:MOST_CHARS]
        if text and not any(text in said for said in self.words):
            self.words.append(text)


def decode(text: str) -> object:
    """The value of a JSON text, whatever Python's own parser takes for one; a text that is none as it stands."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _decoded(value: object) -> object:
    """A text that holds JSON as what it holds, since errors are passed on as texts within errors."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    return decode(value)


def _page_words(page: str) -> str:
    title = _TITLE.search(page[:20_000])
    return f"a web page, {html.unescape(title[1]).strip()!r}" if title else "a web page"


def _stated_wait(fields: Mapping[str, Any]) -> float | None:
    waits = [(_number(fields.get(name)), 1.0) for name in WAITS_S]
    waits += [(_number(fields.get(name)), 0.001) for name in WAITS_MS]
    return next((number * scale for number, scale in waits if number is not None), None)


def _number(value: object) -> float | None:
    if isinstance(value, dict):  # Google's protobuf Duration
        value = cast("dict[str, object]", value).get("seconds")
    if isinstance(value, str):
        return duration_s(value)
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e9 else None


def _asked_wait(headers: Mapping[str, str], words: str) -> float | None:
    return next((wait for wait in (*_header_waits(headers), wait_in_words(words)) if wait is not None), None)


def _header_waits(headers: Mapping[str, str]) -> Iterator[float | None]:
    """Retry-After as seconds or as a date, and retry-after-ms."""
    yield _number_text(headers.get("retry-after-ms"), 0.001)
    value = headers.get("retry-after")
    yield _number_text(value, 1.0)
    try:
        yield max(0.0, email.utils.parsedate_to_datetime(value or "").timestamp() - time.time())
    except ValueError:
        yield None


def _number_text(text: str | None, scale: float) -> float | None:
    return float(text) * scale if text and re.fullmatch(r"\s*\d{1,9}(\.\d{1,9})?\s*", text) else None
