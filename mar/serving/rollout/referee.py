"""Who says which of two answers is better, the served one or the one in shadow, without being told which is which.

Equal texts tie. Of others the operator's grader gives each a value, where there is one; else a model is asked, in both
orders (`mar.traffic.judge`), about requests whose texts may be kept and for which it may be asked. Whoever gives no
verdict is a reason that is kept and counted, and no verdict is made up.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

import anyio

from mar.pool.pool import Pool
from mar.runtime import Ledger, Purse
from mar.serving.graders import check_graders, grade_of
from mar.serving.settings import OutcomeSettings
from mar.traffic.judge import Counts, Judge
from mar.traffic.records import Keep

LONGEST_S = 120.0  # that a judge may take for both orders
SAME = "equal texts"

Missing = Literal[
    "nobody to ask",
    "texts are not kept",
    "this model may not be asked",
    "the grader failed",
    "the call failed",
    "the call was not paid",
    "unreadable",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What is said of two answers."""

    value: float | None = None  # how much better the second is than the first, from -1 to 1; None: nobody can tell
    by: str = ""  # who says so, or was asked
    reason: Missing | Literal["", "by the order"] = ""  # why there is no value, or why it is a tie

    @property
    def word(self) -> str:
        """In a word or two, for counting."""
        if self.reason or self.value is None:
            return self.reason
        return "better" if self.value > 0 else "worse" if self.value < 0 else "alike"


UNCOMPARED = Compared()


class Referee:
    """Compares answers.

    Args:
        pool: Holds the judge's model.
        judge: Its name; None: no model is asked.
        told: Name the operator's grader.

    Raises:
        ConfigError: There is no such grader, or the pool has no such model.
    """

    def __init__(self, pool: Pool, judge: str | None, told: OutcomeSettings) -> None:
        self._pool, self._judge = pool, judge
        self._grade, self._grader = check_graders(told, pool), told.grader
        if judge is not None:
            pool.card(judge)

    async def compare(
        self, question: str, served: str, other: str, *, keep: Keep, may: Container[str], purse: Purse
    ) -> Compared:
        """How much better another answer is than the one that was served.

        Args:
            question: What both answer.
            served: The one.
            other: The other.
            keep: What may be kept of the request.
            may: The models that may be asked.
            purse: A judge is paid from it.
        """
        if " ".join(served.split()) == " ".join(other.split()):
            return Compared(value=0.0, by=SAME)
        if self._grade is None and self._judge is None:
            return Compared(reason="nobody to ask")
        if keep != "text":
            return Compared(reason="texts are not kept")
        if self._grade is not None:
            return await self._graded(question, served, other)
        return await self._judged(question, served, other, may, purse)

    async def _graded(self, question: str, served: str, other: str) -> Compared:
        assert self._grade is not None
        by = f"grader {self._grader}"
        values = [await grade_of(self._grade, question, answer) for answer in (served, other)]
        old, new = values
        if isinstance(old, str) or isinstance(new, str):
            return Compared(by=by, reason="the grader failed")
        return Compared(value=new - old, by=by)

    async def _judged(self, question: str, served: str, other: str, may: Container[str], purse: Purse) -> Compared:
        assert self._judge is not None
        by = f"judge {self._judge}"
        if self._judge not in may:
            return Compared(by=by, reason="this model may not be asked")
        # A judge of its own for each pair, so that what became of its calls is known of this pair.
        judge = Judge(pool=self._pool, model=self._judge, ledger=Ledger(of="the judge in shadow", within=purse))
        value = None
        with anyio.move_on_after(LONGEST_S):
            value = await judge.compare(question, other, served)
        if value is None:
            return Compared(by=by, reason=_missing(judge.counts))
        return Compared(value=value, by=by, reason="by the order" if judge.counts.swayed else "")


def _missing(counts: Counts) -> Missing:
    return "unreadable" if counts.unreadable else "the call was not paid" if counts.unpaid else "the call failed"
