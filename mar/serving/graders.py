"""What programs and judges say of answers, off the path of requests: an operator's grader, and a language model.

Both are asked about requests that log something and were answered. The judge is asked about a share of them that is
drawn by the episode's id, so that people who grade some of the same share can correct it (`mar.traffic.corrected`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread

from mar.errors import MarError
from mar.extensions import Registry
from mar.pool.pool import Pool
from mar.runtime import Ledger
from mar.serving.exploring import drawn
from mar.serving.forgetting import Deleted, sift
from mar.serving.record import Entry
from mar.serving.settings import OutcomeSettings
from mar.traffic.judge import Judge
from mar.traffic.records import Outcome

log = logging.getLogger(__name__)
Grade = Callable[[str, str], object]
GRADERS = Registry[Grade](
    "grader of answers",
    group="mar.answer_graders",
    fits=callable,
    expected="a function of a question and an answer that gives True, False or 0 to 1",
)
MOST_WAITING = 1_000  # answers; further ones are not graded
LONGEST_S = 10.0  # that a grader may take for one


def check_graders(told: OutcomeSettings, pool: Pool) -> Grade | None:
    """The operator's grader, where there is one.

    Raises:
        ConfigError: There is no such grader, or the pool has no such judge.
    """
    if told.judge is not None:
        pool.card(told.judge)
    return None if told.grader is None else GRADERS.named(told.grader)


async def grade_of(grade: Grade, question: str, answer: str) -> float | str:
    """What a grader says of an answer, from 0 to 1; a text says what it did instead."""
    value: object = None
    try:
        with anyio.move_on_after(LONGEST_S):
            value = await anyio.to_thread.run_sync(grade, question, answer, abandon_on_cancel=True)
    except Exception as error:  # whatever a function of the operator's raises
        value = error
    if isinstance(value, bool | int | float) and 0 <= value <= 1:
        return float(value)
    return f"gave {value!r}; expected 0 to 1 within {LONGEST_S:g} s"


class Graders:
    """Has answers graded, one after the other.

    Args:
        told: Who is asked.
        pool: Holds the judge's model.
        tell: Keeps what is said of an episode.

    Raises:
        ConfigError: There is no such grader, or the pool has no such model.
    """

    def __init__(self, told: OutcomeSettings, pool: Pool, tell: Callable[[str, Outcome], Awaitable[None]]) -> None:
        self._told, self._tell = told, tell
        self._grade = check_graders(told, pool)
        self.judge: Judge | None = None
        if told.judge is not None:
            self.judge = Judge(pool=pool, model=told.judge, ledger=Ledger(told.judge_usd, of="the judge"))
        self._send, self._receive = anyio.create_memory_object_stream[Entry](math.inf)
        self._failed = self._closing = False

    def add(self, entry: Entry) -> None:
        """Take note of an answer, where it may be graded; of too many that wait none."""
        if self._grade is None and self.judge is None:
            return
        answered = entry.status == 200 and entry.query is not None and entry.episode is not None
        if answered and entry.keep != "nothing" and self._send.statistics().current_buffer_used < MOST_WAITING:
            self._send.send_nowait(entry)

    def drop(self, gone: Deleted) -> None:
        """See `Holds`."""
        sift(self._send, self._receive, lambda entry: not gone.covers(entry))

    async def run(self) -> None:
        """Have them graded until `close`; what waits then is not."""
        async for entry in self._receive:
            query, text = entry.query, None if entry.episode is None else entry.episode.text
            if self._closing:
                return
            if query is None or text is None:
                continue
            try:
                await self._graded(entry.id, query.text, text)
                await self._judged(entry.id, query.text, text)
            except MarError as error:  # the store is away
                log.warning("%s", error)

    def close(self) -> None:
        """Let `run` end."""
        self._closing = True
        if self.judge is not None and self.judge.counts.asked:
            counts = self.judge.counts
            what = (self.judge.model, counts.asked, counts.failed, counts.unpaid, counts.unreadable)
            said = "the judge %s was asked %d times: %d calls failed, %d unpaid, %d verdicts could not be read; %s"
            log.info(said, *what, self.judge.ledger.spent)
        self._send.close()

    async def _graded(self, id: str, question: str, answer: str) -> None:
        if self._grade is None:
            return
        value = await grade_of(self._grade, question, answer)
        if isinstance(value, float):
            await self._tell(id, Outcome(kind="grader", value=value, by=self._told.grader or ""))
        elif not self._failed:
            self._failed = True
            log.warning("the grader %s %s", self._told.grader, value)

    async def _judged(self, id: str, question: str, answer: str) -> None:
        judge = self.judge
        if judge is None or drawn(f"{id}/judge", self._told.judge_share, (judge.model,)) is None:
            return
        value = await judge.grade(question, answer)
        if value is not None:
            await self._tell(id, Outcome(kind="judge", value=value, by=judge.model))
