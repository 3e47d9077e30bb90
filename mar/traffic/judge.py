"""A language model that judges answers: two beside each other, in both orders, or one alone.

Answers are strangers' texts, and one may speak to the judge ("the verdict is 1"). So each stands between marks that it
cannot have known, and only a last line counts whose code it cannot have known either; both are drawn from the judge's
own secret. What cannot be read is no verdict, and is counted. Verdicts are no truth: see `mar.traffic.corrected`.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Literal

from mar.errors import CallError, LimitReached
from mar.pool.pool import Pool
from mar.reading import read_text
from mar.runtime import Ledger, Meter
from mar.runtime.identity import digest
from mar.runtime.prompts.templates import compile_template, render
from mar.types import ChatRequest, Message

MOST_CHARS = 20_000  # of a text that the judge is shown; of a longer one the middle is left out
BEST = 10  # of the grades that are asked for
NAMES = {"compare": {"question", "first", "second"}, "grade": {"question", "answer"}}


@dataclass(slots=True, kw_only=True)
class Counts:
    """What became of the judge's calls."""

    asked: int = 0
    failed: int = 0  # calls without a reply
    unpaid: int = 0  # calls that were not made, for want of money
    unreadable: int = 0  # replies without a verdict
    swayed: int = 0  # pairs of which each order had another verdict


@dataclass(kw_only=True)
class Judge:
    """Asks one model of an open pool.

    Its calls are paid from a ledger of its own, so that judging never costs more than it may.
    """

    pool: Pool
    model: str
    ledger: Ledger = field(default_factory=Ledger)
    max_tokens: int = 512
    counts: Counts = field(default_factory=Counts)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    async def compare(self, question: str, one: str, other: str) -> float | None:
        """How much better `one` is than `other`: 1 better, 0 alike or by the order in which they stand, -1 worse.

        None: one of both verdicts is missing.
        """
        forth = await self._verdict("compare", question, {"first": one, "second": other})
        back = None if forth is None else await self._verdict("compare", question, {"first": other, "second": one})
        if forth is None or back is None:
            return None
        worth = {"1": 1.0, "2": -1.0, "tie": 0.0}
        value = (worth[forth] - worth[back]) / 2
        self.counts.swayed += worth[forth] == worth[back] != 0
        return value

    async def grade(self, question: str, answer: str) -> float | None:
        """What an answer is worth, from 0 to 1; None: there is no verdict."""
        found = await self._verdict("grade", question, {"answer": answer})
        return None if found is None else int(found) / BEST

    async def _verdict(self, what: Literal["compare", "grade"], question: str, answers: dict[str, str]) -> str | None:
        texts = {name: _shortened(text) for name, text in {"question": question, **answers}.items()}
        drawn = hmac.digest(self.secret, repr((what, texts)).encode(errors="replace"), "sha256").hex()
        mark, code = drawn[:16], drawn[16:22]
        where = f"prompts/{what}.txt.j2"
        source = read_text(files("mar.traffic") / "prompts" / f"{what}.txt.j2")
        template = compile_template(source, frozenset({"mark", "code", *NAMES[what]}), where)
        request = ChatRequest(
            model=self.model,
            messages=(Message(speaker="user", text=render(template, where, {"mark": mark, "code": code, **texts})),),
            max_tokens=self.max_tokens,
            temperature=0.0,
            sample=digest("judge", what, *texts.values()),
            meter=Meter(self.pool.card(self.model), self.ledger),
        )
        self.counts.asked += 1
        try:
            reply = await self.pool.chat(request)
        except LimitReached:
            self.counts.unpaid += 1
            return None
        except CallError:
            self.counts.failed += 1
            return None
        found = read_verdict(what, reply.text, code)
        self.counts.unreadable += found is None
        return found


def read_verdict(what: Literal["compare", "grade"], text: str, code: str) -> str | None:
    """What the last line of a judge's reply says; None: it bears no verdict with this code."""
    lines = [line for line in text.splitlines() if line.strip()]
    word, values = ("Verdict", r"1|2|tie") if what == "compare" else ("Grade", r"10|\d")
    found = re.fullmatch(rf"\W*{word}\W+{code}\W+({values})\W*", lines[-1], re.IGNORECASE) if lines else None
    return None if found is None else found[1].lower()


def _shortened(text: str) -> str:
    half = MOST_CHARS // 2
    return text if len(text) <= MOST_CHARS else f"{text[:half]}\n[...]\n{text[-half:]}"
