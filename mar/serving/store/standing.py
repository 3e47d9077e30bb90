"""How the servers of a pool stood, minute by minute, and which models somebody has taken out.

Each worker writes down what it knows; a page shows it of all of them. Sums of calls are elsewhere
(`mar.serving.store.summary`): here is what has no sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mar.serving.store.database import Ask, Part, Steps, Tell, insert
from mar.serving.store.summary import KEEP_MINUTES, MINUTE_S
from mar.types import Circuit, ModelTelemetry

TABLES = (
    """
CREATE TABLE mar_standing (
    minute BIGINT NOT NULL,
    worker TEXT NOT NULL,
    model TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    running BIGINT,
    waiting BIGINT,
    stale BIGINT NOT NULL,
    circuit TEXT NOT NULL,
    PRIMARY KEY (minute, worker, model)
)""",
    "CREATE TABLE mar_out (model TEXT PRIMARY KEY, source TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)",
)
WORST: tuple[Circuit, ...] = ("open", "trial", "closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a model's server stood in one minute, as the workers knew it; of several the worst."""

    minute_at: float  # seconds since 1970, when the minute began
    model: str
    at: float  # seconds since 1970, when somebody last looked
    running: int | None  # requests being computed; None: not known
    waiting: int | None
    stale: bool  # no worker has heard of it for a while
    circuit: Circuit
    workers: int  # that wrote it down


@dataclass(frozen=True, slots=True, kw_only=True)
class Out:
    """A model that somebody has taken out."""

    model: str
    by: str  # the key's id; "": nobody in particular
    at: float  # seconds since 1970


class Standings(Part):
    """Keeps and reads them. Its methods raise `StoreUnavailable` where the database gives no answer."""

    PART, VERSION, SCHEMA = "standing", 1, TABLES

    async def write(self, worker: str, telemetry: Iterable[ModelTelemetry]) -> None:
        """Write down how models stand now, in place of what this worker wrote in this minute."""
        figures = [(t.model, t.running, t.waiting, int(t.stale), t.circuit) for t in telemetry]

        def work() -> Steps[None]:
            now = float((yield Ask(f"SELECT {self.db.now}"))[0][0])
            minute = int(now // MINUTE_S)
            rows = [(minute, worker, model, now, *rest) for model, *rest in sorted(figures)]
            news = ", ".join(f"{c} = excluded.{c}" for c in ("at", "running", "waiting", "stale", "circuit"))
            yield from insert("mar_standing", rows, f"ON CONFLICT (minute, worker, model) DO UPDATE SET {news}")
            yield Tell("DELETE FROM mar_standing WHERE minute < ?", [(minute - KEEP_MINUTES,)])

        if figures:
            await self.db.do(work)

    async def read(self, since: float) -> list[Standing]:
        """How models stood since a time (seconds since 1970), the earliest first."""

        def work() -> Steps[list[Standing]]:
            ranks = " ".join(f"WHEN '{circuit}' THEN {rank}" for rank, circuit in enumerate(WORST))
            rows = yield Ask(
                "SELECT minute, model, MAX(at), MAX(running), MAX(waiting), MIN(stale), "
                f"MIN(CASE circuit {ranks} END), COUNT(*) FROM mar_standing WHERE minute >= ? "
                "GROUP BY minute, model ORDER BY minute, model",
                (int(since // MINUTE_S),),
            )
            return [
                Standing(
                    minute_at=float(minute * MINUTE_S),
                    model=model,
                    at=at,
                    running=running,
                    waiting=waiting,
                    stale=bool(stale),
                    circuit=WORST[int(rank)],
                    workers=int(workers),
                )
                for minute, model, at, running, waiting, stale, rank, workers in rows
            ]

        return await self.db.look(work)

    async def out(self) -> list[Out]:
        """The models that are taken out."""

        def work() -> Steps[list[Out]]:
            rows = yield Ask("SELECT model, source, at FROM mar_out ORDER BY model")
            return [Out(model=model, by=by, at=at) for model, by, at in rows]

        return await self.db.look(work)

    async def take_out(self, model: str, by: str) -> None:
        """Take a model out: every worker plans without it, within two seconds."""

        def work() -> Steps[None]:
            yield Tell(f"INSERT INTO mar_out VALUES (?, ?, {self.db.now}) ON CONFLICT DO NOTHING", [(model, by)])

        await self.db.do(work)

    async def take_in(self, model: str) -> None:
        """Take a model in again."""

        def work() -> Steps[None]:
            yield Tell("DELETE FROM mar_out WHERE model = ?", [(model,)])

        await self.db.do(work)
