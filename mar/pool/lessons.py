"""What a refusal teaches about a model's server.

A server that refuses a request and names what it does not take would refuse every request of that shape, for ever. So
a lesson is drawn: the next body leaves out, renames, merges or shortens what was named. Only what was sent can be
learned about, each lesson changes the body, and a lesson is never drawn from words that name nothing.

Two kinds differ in how long they hold. What a server takes is remembered for the model. How much room a prompt leaves
for the answer holds for that one call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mar.pool.decoded import items, mapping
from mar.pool.dialect import OPTIONAL, Dialect, LimitName, Optional
from mar.pool.server_words import Said

LEAST_ROOM = 64  # tokens: with less room than this an answer is of no use, and the prompt has to be trimmed
TEACHING = (None, 400, 403, 404, 422, 500, 501)  # statuses that refusals of parameters and roles come with
LIMITS: tuple[LimitName, ...] = ("max_tokens", "max_completion_tokens")


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_REFUSES = _any(
    r"unsupported", r"unrecogni[sz]ed", r"unknown", r"unexpected", r"deprecated", r"disabled", r"forbidden", r"invalid",
    r"(?:not|n't|no longer) (?:\w+ )?(?:support|allow|permit|enabl|accept|available|implement)", r"cannot (?:both )?be",
    r"extra (?:inputs|fields)", r"extra_forbidden", r"only (?:the default|supports?|one|user)", r"use only one",
    r"must alternate", r"must be one of", r"should be 'user'",
)  # fmt: skip
_OUT_OF_RANGE = _any(
    r"(?:less|greater) than", r"between \S+ and", r"range", r"at (?:least|most)\b", r"(?:mini|maxi)mum"
)
_ROLES = _any(
    r"system[ _](?:role|message|prompt|instruction)", r"developer instruction", r"roles?\W.{0,40}\bsystem\b",
    r"\bsystem\b.{0,30}\brole", r"only user(?:,| and) .{0,40}roles", r"roles must alternate", r"should be 'user'",
    r"must be one of .{0,20}'user'",
)  # fmt: skip
# Of tools, servers speak under many names: "... does not support tools", "No endpoints found that support tool use",
# '"auto" tool choice requires --enable-auto-tool-choice', "tools param requires --jinja flag".
_TOOLS = _any(r"\btools?\b", r"\bfunction[ -]?call(?:s|ing)?\b")
_TOOLS_REFUSED = _any(r"requires? --", r"no endpoints? found that support")
_SCHEMA = _any(r"schema", r"\btools?[.\[]\d", r"'tools'.{0,3}\d")  # what is wrong with one tool says nothing of all
_LIMIT_WORDS = _any(r"max_(?:completion_|new_|output_)?tokens", r"maxOutputTokens", r"(?:completion|output) tokens")
_CONTEXT_WORDS = _any(r"context", r"max_new_tokens", r"max_model_len", r"total (?:number of )?tokens")
_NUMBER = re.compile(r"(?<![\w.-])\d{1,9}(?![\w.]*\w)")
_THOUSANDS = re.compile(r"(?<=\d)(?<!\[\d),(?=\d{3}\b)")  # 8,192, and not [1,819]
_SUM = re.compile(r"(\d+) \+ (\d+) > (\d+)")
_CONTEXT = re.compile(r"(?:context[^.\d]{0,40}?|<= ?)(\d+)", re.IGNORECASE)
_REQUESTED = re.compile(r"requested[^.\d]{0,20}(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a refusal teaches."""

    dialect: Dialect  # what the server takes, as far as is known now
    room: int | None = None  # tokens that this call's prompt leaves for the answer
    text: str  # in words, for people


def learn(said: Said, body: Mapping[str, Any], dialect: Dialect) -> Lesson | None:
    """The lesson of a refusal; None when it teaches nothing.

    Args:
        said: The server's words.
        body: What was sent.
        dialect: What is known of the server.
    """
    if said.status not in TEACHING or said.generated or said.page:
        return None
    return (
        _room(said, body, dialect)
        or _roles(said, body, dialect)
        or _tools(said, body, dialect)
        or _parameter(said, body, dialect)
    )


def _tools(said: Said, body: Mapping[str, Any], dialect: Dialect) -> Lesson | None:
    if "tools" not in body or not _TOOLS.search(said.everything) or _SCHEMA.search(said.everything):
        return None
    if _OUT_OF_RANGE.search(said.words) or not (_TOOLS_REFUSED.search(said.words) or _REFUSES.search(_refusal(said))):
        return None
    return _without("tools", dialect)


def _roles(said: Said, body: Mapping[str, Any], dialect: Dialect) -> Lesson | None:
    speakers = [mapping(message).get("role") for message in items(body.get("messages"))]
    if "system" not in speakers and "developer" not in speakers:
        return None
    if not (_ROLES.search(said.words) and _REFUSES.search(_refusal(said))):
        return None
    return Lesson(dialect=dialect.changed(system_role=False), text="no system messages: their text goes to the user's")


def _parameter(said: Said, body: Mapping[str, Any], dialect: Dialect) -> Lesson | None:
    if not _REFUSES.search(_refusal(said)) or _OUT_OF_RANGE.search(said.words):
        return None
    for name in ("top_p", *OPTIONAL):  # of two that exclude each other the less usual one goes
        if name != "tools" and name in body and _named(name, said):
            return _without(name, dialect)
    for name, other in (LIMITS, LIMITS[::-1]):
        if name in body and _named(name, said):
            text = f"no `{name}`: the limit is sent as `{other}`"
            return Lesson(dialect=dialect.changed(output_limit=other), text=text)
    return None


def _without(name: Optional, dialect: Dialect) -> Lesson:
    leave_out = tuple(n for n in OPTIONAL if n in dialect.leave_out or n == name)
    return Lesson(dialect=dialect.changed(leave_out=leave_out), text=f"no `{name}`: it is left out")


def _refusal(said: Said) -> str:
    """Words and codes, but for types that stand with any wrong request, such as invalid_request_error."""
    return " ".join((said.words, *(code for code in said.codes if "error" not in code.lower())))


def _named(name: str, said: Said) -> bool:
    """Whether a server names a parameter as what it refuses."""
    if said.param:
        return name in re.split(r"\W+", said.param)
    if "_" in name or name == "logprobs":
        return re.search(rf"\b{name}\b", said.words, re.IGNORECASE) is not None
    # An ordinary word counts where it is marked as a name.
    marked = _any(
        rf"[`'\"]{name}[`'\"]",
        rf"(?:parameters?|arguments?|fields?|supplied|got|support\w*)\W{{1,3}}{name}\b",
        rf"\b{name}\W{{1,3}}(?:parameter|argument|field|setting)",
        rf"^\W*{name}\b",
    )
    return marked.search(said.words) is not None


def _room(said: Said, body: Mapping[str, Any], dialect: Dialect) -> Lesson | None:
    """Less output: as much as this prompt leaves room for, or as much as the server takes at all."""
    sent, words = body.get(dialect.output_limit), _THOUSANDS.sub("", said.words)
    if sent is None:
        return None
    if _CONTEXT_WORDS.search(words) and (room := _context_room(words, sent)) is not None:
        text = f"this prompt leaves room for {room} tokens of output instead of {sent}"
        return Lesson(dialect=dialect, room=room, text=text) if min(LEAST_ROOM, sent) <= room < sent else None
    if not _LIMIT_WORDS.search(words):
        return None
    exclusive = int("exclusive" in words)
    most = max((n - exclusive for n in _numbers(words) if LEAST_ROOM < n < sent), default=None)
    if most is None:
        return None
    text = f"at most {most} tokens of output instead of {sent}"
    return Lesson(dialect=dialect.changed(most_output_tokens=most), text=text)


def _context_room(words: str, sent: int) -> int | None:
    """Tokens that a prompt leaves in a context that it overflows only together with the `sent` ones of output."""
    if (total := _SUM.search(words)) is not None:
        prompt, context = int(total[1]), int(total[3])
        return context - prompt if prompt < context else None
    if (stated := _CONTEXT.search(words)) is None:
        return None
    context = int(stated[1])
    numbers = _numbers(words)
    if sent in numbers:
        numbers.remove(sent)
    prompts = [n for n in numbers if n < context < n + sent]
    if not prompts and (requested := _REQUESTED.search(words)) is not None:
        prompts = [n for n in [int(requested[1]) - sent] if 0 < n < context < n + sent]
    return context - max(prompts) if prompts else None


def _numbers(words: str) -> list[int]:
    return [int(number) for number in _NUMBER.findall(words)]
