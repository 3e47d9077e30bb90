"""The one place where what a server says in place of an answer becomes one of mar's errors.

The status decides, unless the words know better: servers agree on the status of a wrong key and on little else. A
prompt that does not fit comes as 400, 413, 422 or 500, a rate limit as 413, a spent account as 429, a filtered prompt
as 400 or 403, a country that is not served as 403, a data policy as 404.

A message names the model and its host, quotes the server in one line that is free of the key, and says what to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, cast

from mar.errors import (
    BadKey,
    BadReply,
    BadRequest,
    CallError,
    CallTimeout,
    Charge,
    ContextOverflow,
    ModelLoading,
    RateLimited,
    Refused,
    ServerFault,
    UnknownModel,
)
from mar.pool.keys import scrub
from mar.pool.server_words import Said

SECRET_CHARS = 16  # of a key that no answer holds by chance
QUOTE_CHARS = 300  # of a server's own words, at most


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_TOO_MANY = _any(
    r"rate[-_ ]?limit", r"too many (?:requests|tokens per)", r"\b(?:tokens|requests)[ _]per[ _](?:minute|day|second)",
    r"\b[TR]P[MD]\b", r"throttl", r"resource_exhausted", r"quota exceeded", r"concurren\w+ (?:limit|requests)",
)  # fmt: skip
_SPENT = _any(
    r"insufficient[_ ](?:quota|balance|credit|funds)", r"billing_hard_limit", r"credit balance is too low",
    r"payment required", r"exceeded your current quota", r"out of credits", r"not enough (?:balance|credits)",
    r"requires more credits", r"arrearage", r"(?:spending|usage) limit (?:reached|exceeded)",
)  # fmt: skip
_FILTERED = _any(
    r"content[_ ](?:filter|policy|management)", r"responsible ai policy", r"safety system", r"content_policy_violation",
    r"data_?inspection_?failed", r"moderation", r"inappropriate content", r"content exists risk", r"prohibited_content",
    r"was flagged",
)  # fmt: skip
_OVERFLOW = _any(
    r"context_length_exceeded", r"exceed_context_size", r"maximum context length", r"model'?s? context length",
    r"max_model_len", r"context[_ ]window", r"context size", r"context[_ ]limit",
    r"(?:greater|longer|larger|more) than the (?:model'?s? )?context", r"(?:prompt|input) (?:is )?too long",
    r"input is too long", r"too many (?:input |prompt |total )?tokens(?! per)", r"maximum prompt length",
    r"input token count", r"decoder prompt .{0,80} is longer", r"prompt .{0,30}max(?:imum)? length",
    r"prompt token count", r"range of input length", r"input length .{0,60}exceed", r"model token limit",
    r"\bmax_new_tokens\b.{0,10} must be <=",
    r"must be at least 1, got -", r"reduce the length of (?:the|your) (?:messages|prompt|input)",
    r"(?:prompt|input|messages?|request)\b.{0,60}exceed\w* .{0,40}(?:token|length|context|limit of \d+)",
    r"tokens? .{0,40}exceed\w* .{0,40}(?:maximum|context|limit of \d+)", r"string_above_max_length",
)  # fmt: skip
_LOADING = _any(
    r"loading (?:the )?model", r"model .{0,120}(?:is|still)(?: currently| being)? (?:loading|loaded|starting|warming)",
    r"is (?:currently|still) loading", r"warming up", r"model is not (?:ready|loaded) yet", r"still being loaded",
)  # fmt: skip
_UNKNOWN_MODEL = _any(
    r"model_not_found", r"model .{0,120}(?:does not exist|not found|is not available|isn't available)",
    r"(?:unknown|invalid|no such|unrecognized|could not find) model", r"model .{0,80}not (?:supported|exist)\b",
    r"not a valid model",
)  # fmt: skip
_KEY = _any(
    r"api[-_ ]?key", r"\bkey\b", r"unauthori[sz]ed", r"authenticat", r"credential", r"\btoken\b", r"not authorized",
)  # fmt: skip
_LIMIT = re.compile(r"limit:?\s+(\d+)\b.{0,40}\brequested:?\s+(\d+)", re.IGNORECASE)
# An error inside a reply or a stream often has no status but a type that stands for one.
_STATUS_BY_CODE = {
    "invalid_request_error": 400, "badrequesterror": 400, "invalid_argument": 400, "authentication_error": 401,
    "unauthenticated": 401, "permission_error": 403, "permission_denied": 403, "not_found_error": 404,
    "not_found": 404, "notfounderror": 404, "rate_limit_error": 429, "rate_limit_exceeded": 429,
    "resource_exhausted": 429, "overloaded_error": 529, "unavailable": 503,
}  # fmt: skip
_FINAL_5XX = (501, 505)


_WHAT: dict[type[CallError], str] = {
    RateLimited: "too many requests",
    ServerFault: "the server failed",
    ModelLoading: "the server still loads the model",
    CallTimeout: "no answer in time",
    ContextOverflow: "the prompt does not fit the model's context",
    Refused: "the content filter refused",
}
# Servers like to repeat a key that they refuse, in part or with stars.
_LIKE_A_KEY = re.compile(r"\b(?:sk|pk|gsk|xai|hf|nvapi|AIza|r8|tgp|fw|key)[-_][\w.*-]{4,}|[\w.-]*\*{3,}[\w.*-]*")


class NoServer(BadReply):
    """What answers is no inference server but a web page: no retry will change that."""

    retryable: ClassVar[bool] = False
    usually_charged = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Who was asked, for messages."""

    model: str
    host: str
    key: str = ""  # in use: no message repeats it

    def __str__(self) -> str:
        return f"{self.model} at {self.host}"

    def free_of_key(self, text: str) -> str:
        """An answer, which is kept, without the key; one too short to be secret may be a word of the answer."""
        return text if len(self.key) < SECRET_CHARS else scrub(text, self.key)

    def free_of_key_within(self, value: object, text: str) -> object:
        """The same of decoded JSON.

        Args:
            value: What was decoded.
            text: What it was decoded from: where that is free of the key, so is all in it.
        """
        return value if self.free_of_key(text) == text else self._walked(value)

    def _walked(self, value: object) -> object:
        if isinstance(value, str):
            return self.free_of_key(value)
        if isinstance(value, list):
            return [self._walked(item) for item in cast("list[object]", value)]
        if isinstance(value, dict):
            return {self.free_of_key(k): self._walked(v) for k, v in cast("dict[str, object]", value).items()}
        return value

    def quote(self, text: str) -> str:
        """Words of others in one short line without control characters, free of the key and of what looks like one."""
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        line = scrub(line, self.key)
        line = _LIKE_A_KEY.sub("[key]", line)
        return line if len(line) <= QUOTE_CHARS else line[:QUOTE_CHARS] + "…"


def fault(said: Said, where: Where, *, charge: Charge | None = None) -> CallError:
    """The error that a server's words stand for.

    Args:
        said: The words.
        where: Who said them.
        charge: What the try may have cost; None: nothing, since nothing was generated.
    """
    kind = classify(said)
    code = "" if said.status is None else f" ({said.status})"
    codes = [f"[{code}]" for code in said.codes if code != str(said.status)]
    words = where.quote(" ".join((said.words, *codes)))
    return kind(
        f"{where}: {_what(kind, said)[0]}{code}" + (f": {words}" if words else "") + _what(kind, said)[1],
        retry_after_s=said.retry_after_s,
        charge=charge or Charge(charged="no"),
    )


def _what(kind: type[CallError], said: Said) -> tuple[str, str]:
    """What happened, and what to do about it."""
    if kind is BadKey and _status(said) in (401, 403, 407):
        return "the server refused the key", "; check the key that is set for this model"
    if kind is BadKey:
        return "the account's quota is spent", "; no retry will help"
    if kind is UnknownModel:
        return "the server does not know this model or path", "; check `served_name` and the base URL"
    if kind is BadRequest and _never_fits(said.words):
        return "one request asks for more than the rate limit ever lets through", "; lower max_output_tokens"
    if kind is NoServer:
        return "what answers is no inference server", "; check the base URL, which mostly ends in /v1"
    if kind is BadRequest and said.status == 403:
        return "the server forbids the request", ""
    return _WHAT.get(kind, "the server rejects the request"), ""


def classify(said: Said) -> type[CallError]:
    """Which error a server's words stand for."""
    status, text = _status(said), said.everything
    if said.page:
        return _page(status)
    if status in (401, 407):
        return BadKey
    if status == 402 or (status in (400, 403, 429, None) and _SPENT.search(text) and not _passes(said)):
        return BadKey
    if status == 429 or (status not in (404, 408) and _TOO_MANY.search(text)):
        return BadRequest if _never_fits(text) else RateLimited
    if _FILTERED.search(text) and (status is None or status < 500):
        return Refused
    if _OVERFLOW.search(text) or status == 413:
        return ContextOverflow
    if _LOADING.search(text):
        return ModelLoading
    return _by_status(status, text)


def _by_status(status: int | None, text: str) -> type[CallError]:
    if status == 403:
        return BadKey if _KEY.search(text) or not text.strip() else BadRequest
    if status == 404:
        worded = re.search(r"[a-z] [a-z]", text.replace("Not Found", ""), re.IGNORECASE)
        return UnknownModel if _UNKNOWN_MODEL.search(text) or not worded else BadRequest
    if status == 408:
        return CallTimeout
    if status is None or status in (409, 425) or (status >= 500 and status not in _FINAL_5XX):
        return ServerFault
    return UnknownModel if _UNKNOWN_MODEL.search(text) else BadRequest


def _page(status: int | None) -> type[CallError]:
    if status == 429:
        return RateLimited
    return ServerFault if status is not None and status >= 500 else NoServer


def _status(said: Said) -> int | None:
    if said.status is not None:
        return said.status
    return next((s for code in said.codes if (s := _STATUS_BY_CODE.get(code.lower())) is not None), None)


def _passes(said: Said) -> bool:
    """Whether a quota is one of a minute: some servers word both alike, and only that one comes with a wait."""
    return said.retry_after_s is not None


def _never_fits(text: str) -> bool:
    """Whether one request asks for more than a rate limit ever lets through."""
    stated = _LIMIT.search(text)
    return stated is not None and int(stated[2]) > int(stated[1])
