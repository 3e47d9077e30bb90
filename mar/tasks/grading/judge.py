"""A model that judges.

A task scores without knowing the pool that a run asks, and a judge is no part of what is being
measured. So it opens a pool of its own: the one that its settings name, else the one that the run's `--pool` means. Its
calls stand in no episode and do not count towards an episode's cost; they do count towards `--max_cost` of the run, its
own `max_usd` limits them further, and the task's notes say what they cost. Where the run's pool is simulated nobody can
be asked: equal texts count as right, and the notes say that. A judge that fails, or whose verdict cannot be read, gives
a `Failure` that is counted as such and not learned from; it is never a wrong answer. No other prompt than the judge's
shows gold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
from jinja2 import Template

from mar.errors import CallError, LimitReached
from mar.pool.pool import Pool
from mar.pool.simulated import AnswerForm
from mar.runtime import Ledger, Meter
from mar.runtime.identity import digest
from mar.runtime.prompts.templates import render
from mar.runtime.sandbox import Sandbox
from mar.tasks.grading.base import CustomItem
from mar.tasks.grading.texts import other_texts, same_text
from mar.tasks.scoring.formats import scored
from mar.tasks.sources import Located
from mar.tasks.task import Score
from mar.types import AnswerFormat, ChatRequest, Failure, FailureKind, Message, PlainText

ABOUT_PLANS = {"context_overflow", "refused"}  # kinds that training learns from where a plan's own call fails so

_VERDICT = re.compile(r"\W*verdict\W+(right|wrong)\W*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Whatever a model of the pool says about question, gold and answer."""

    model: str
    prompt: Template
    where: str  # the prompt's file, for messages
    pool: Pool | None  # None: the run's pool is simulated, so nobody can be asked
    max_tokens: int = 512
    ledger: Ledger = field(default_factory=Ledger)  # of the judge's own calls
    opening: anyio.Lock = field(default_factory=anyio.Lock)  # held while the pool opens, which it must not do twice
    form: AnswerForm = "text"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric, and what its calls cost so far."""
        if self.pool is None:
            return {"metric": "equal texts, since a simulated pool has no judge"}
        return {"metric": f"verdict of {self.model}", "paid to the judge": str(self.ledger.spent)}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """Any text."""
        return value

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """The whole text."""
        return PlainText()

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """Other items' answers."""
        return other_texts(item.gold, golds, item.id)

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Ask for a verdict."""
        if self.pool is None:
            return scored(same_text(answer, item.gold))
        try:
            reply = await self._ask(self.pool, item, answer)
        except CallError as error:
            return _unjudged("call" if error.kind in ABOUT_PLANS else cast(FailureKind, error.kind), str(error))
        except LimitReached as error:
            return _unjudged("limit", str(error))
        verdict = read_verdict(reply)
        return _unjudged("bad_reply", "its verdict cannot be read") if verdict is None else scored(verdict)

    async def _ask(self, pool: Pool, item: CustomItem, answer: str) -> str:
        values: dict[str, Any] = {"question": item.question, "gold": item.gold, "answer": answer}
        request = ChatRequest(
            model=self.model,
            messages=(Message(speaker="user", text=render(self.prompt, self.where, values)),),
            max_tokens=self.max_tokens,
            temperature=0.0,
            sample=digest("judge", item.id),
            meter=Meter(pool.card(self.model), self.ledger),
        )
        # A copy of the pool for each call: copies share connections and limits, which open with the first of them.
        async with AsyncExitStack() as stack:
            async with self.opening:
                opened = await stack.enter_async_context(pool.restricted(allow=[self.model]))
            reply = await opened.chat(request)
        return reply.text


def read_verdict(text: str) -> bool | None:
    """What the last line says, "Verdict: right" or "Verdict: wrong"; None when it says neither."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = _VERDICT.fullmatch(lines[-1]) if lines else None
    return None if found is None else found[1].lower() == "right"


def _unjudged(kind: FailureKind, reason: str) -> Score:
    failure = Failure(kind=kind, reason=f"the judge gave no verdict: {reason}")
    return Score(value=0.0, solved=False, feedback="the answer was not judged", failure=failure)
