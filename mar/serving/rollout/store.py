"""Rollouts in a database: versions by their content, candidates on their way, what was promoted, who decides, and why.

Every change is one transaction that writes what holds from now on and the event that says why, with its evidence. It is
made only if things still stand as whoever decided saw them, so two who decide at once make one change.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from mar.errors import ConfigError
from mar.serving.rollout.versions import Version
from mar.serving.store.database import Ask, Database, Part, Row, Steps, Tell, insert
from mar.traffic.rollout import Rollout, Stage, Verdict

TABLES = (
    """
CREATE TABLE mar_versions (
    id TEXT PRIMARY KEY,
    label TEXT NOT NULL,
    cost_rate DOUBLE PRECISION,
    weights BYTEA,
    at DOUBLE PRECISION NOT NULL
)""",
    """
CREATE TABLE mar_rollouts (
    id TEXT PRIMARY KEY,
    controller TEXT NOT NULL,
    candidate TEXT NOT NULL REFERENCES mar_versions (id),
    told TEXT NOT NULL,
    base TEXT NOT NULL,
    stage TEXT NOT NULL,
    share DOUBLE PRECISION NOT NULL,
    began DOUBLE PRECISION NOT NULL,
    entered DOUBLE PRECISION NOT NULL,
    since DOUBLE PRECISION NOT NULL,
    because TEXT NOT NULL
)""",
    # What answers under a name in place of the version that the settings tell, as long as they tell that one.
    """
CREATE TABLE mar_promoted (
    controller TEXT PRIMARY KEY,
    told TEXT NOT NULL,
    version TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL
)""",
    """
CREATE TABLE mar_events (
    at DOUBLE PRECISION NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    what TEXT NOT NULL,
    because TEXT NOT NULL,
    evidence TEXT NOT NULL
)""",
    "CREATE INDEX mar_events_at ON mar_events (at)",
    # The pool as it was when it was last looked at.
    "CREATE TABLE mar_models (name TEXT PRIMARY KEY, price_in DOUBLE PRECISION, price_out DOUBLE PRECISION)",
    "CREATE TABLE mar_leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, ends DOUBLE PRECISION NOT NULL)",
    "CREATE TABLE mar_rollout_revision (number BIGINT NOT NULL)",
    "INSERT INTO mar_rollout_revision VALUES (0)",
    """
CREATE TABLE mar_shadows (
    episode TEXT PRIMARY KEY,
    rollout TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    label TEXT NOT NULL,
    served_failed BIGINT NOT NULL,
    served_usd DOUBLE PRECISION,
    served_s DOUBLE PRECISION NOT NULL,
    usd DOUBLE PRECISION,
    seconds DOUBLE PRECISION,
    verdict DOUBLE PRECISION,
    judge TEXT NOT NULL
)""",
    "CREATE INDEX mar_shadows_rollout ON mar_shadows (rollout, at)",
)
EventKind = Literal["rollout", "drift"]
COLUMNS = "id, controller, candidate, told, base, stage, share, began, entered, since, because"
KEEP_S = 90 * 86400.0  # how long what was seen in shadow is kept
LATEST = 20  # rollouts that are over and still shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that changed, or was noticed."""

    at: float  # seconds since 1970
    kind: EventKind
    subject: str  # a rollout's id, or what drifted
    what: str  # in a word or two
    because: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """What answers in place of the version that the settings tell."""

    told: str  # the version that the settings tell; with another one this is void
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that workers go by, as of one revision."""

    revision: int
    under_way: tuple[Rollout, ...]
    promoted: Mapping[str, Promoted]  # by controller


class RolloutStore(Part):
    """Rollouts of a database."""

    PART, VERSION, SCHEMA = "rollouts", 1, TABLES

    # What holds -------------------------------------------------------------------------------------------------

    async def known(self, revision: int | None = None) -> Known | None:
        """What workers go by; None: nothing has changed since a revision."""
        return await self.db.do(lambda: _known(revision))

    async def version(self, id: str) -> Version:
        """A version with its weights.

        Raises:
            ConfigError: There is none.
        """

        def work() -> Steps[Version]:
            rows = yield Ask("SELECT id, label, weights, cost_rate FROM mar_versions WHERE id = ?", (id,))
            if not rows:
                raise ConfigError(f"{self.db.where} holds no version {id}")
            id_, label, weights, rate = rows[0]
            return Version(id=id_, label=label, weights=None if weights is None else bytes(weights), cost_rate=rate)

        return await self.db.do(work)

    async def rollouts(self) -> list[Rollout]:
        """Those under way and the latest of the others, the newest first."""

        def work() -> Steps[list[Rollout]]:
            rows = yield Ask(f"SELECT {COLUMNS} FROM mar_rollouts ORDER BY began DESC LIMIT {LATEST}")
            return [_rollout(row) for row in rows]

        return await self.db.do(work)

    async def labels(self) -> Mapping[str, str]:
        """What people call versions, by id."""

        def work() -> Steps[dict[str, str]]:
            return {row[0]: row[1] for row in (yield Ask("SELECT id, label FROM mar_versions"))}

        return await self.db.do(work)

    async def events(self, limit: int = 50) -> list[Event]:
        """The latest, the newest first."""

        def work() -> Steps[list[Event]]:
            sql = "SELECT at, kind, subject, what, because, evidence FROM mar_events ORDER BY at DESC LIMIT ?"
            rows = yield Ask(sql, (limit,))
            return [Event(**dict(zip(_EVENT, (*r[:5], json.loads(r[5])), strict=True))) for r in rows]

        return await self.db.do(work)

    # Changes ----------------------------------------------------------------------------------------------------

    async def start(self, version: Version, controller: str) -> Rollout:
        """Let a candidate begin its way to a controller's place.

        Raises:
            ConfigError: Another one is on its way there.
        """

        def work() -> Steps[Rollout]:
            now = yield from _now(self.db)
            yield from self._turn()
            others = yield Ask(f"SELECT {COLUMNS} FROM mar_rollouts WHERE controller = ?", (controller,))
            for other in map(_rollout, others):
                if not other.over:
                    raise ConfigError(f"{other.id} is on its way to {controller}; end it first: mar rollout rollback")
            yield Tell("DELETE FROM mar_shadows WHERE at < ?", [(now - KEEP_S,)])
            stored = (version.id, version.label, version.cost_rate, version.weights, now)
            yield from insert("mar_versions", [stored], "ON CONFLICT DO NOTHING")
            rollout = Rollout(
                id=f"ro-{secrets.token_hex(4)}",
                controller=controller,
                candidate=version.id,
                told="",
                base="",
                stage="shadow",
                share=0.0,
                began=now,
                entered=now,
                since=now,
                because="started",
            )
            yield from insert("mar_rollouts", [_row(rollout)])
            yield from _event(self.db, "rollout", rollout.id, "shadow", f"started: {version.label}", {})
            return rollout

        return await self.db.do(work, alone=True)

    async def take_up(self, rollout: Rollout, *, told: str, base: str) -> None:
        """Say beside which version a candidate is watched; only the first to say so is heard."""

        def work() -> Steps[None]:
            yield from self._turn()
            sql = "UPDATE mar_rollouts SET told = ?, base = ? WHERE id = ? AND base = ''"
            yield Tell(sql, [(told, base, rollout.id)])

        await self.db.do(work, alone=True)

    async def move(self, rollout: Rollout, stage: Stage, share: float, verdict: Verdict) -> bool:
        """Let a rollout go on, or end; gives whether it still stood as it was seen.

        Raises:
            ConfigError: It is to be promoted, and no worker has taken it up yet.
        """

        def work() -> Steps[bool]:
            yield from self._turn()
            found = yield Ask(f"SELECT {COLUMNS} FROM mar_rollouts WHERE id = ?", (rollout.id,))
            if not found or _rollout(found[0]) != rollout:
                return False
            now = yield from _now(self.db)
            entered = rollout.entered if stage == rollout.stage else now
            new = replace(rollout, stage=stage, share=share, entered=entered, since=now, because=verdict.because)
            sql = "UPDATE mar_rollouts SET stage = ?, share = ?, entered = ?, since = ?, because = ? WHERE id = ?"
            yield Tell(sql, [(stage, share, entered, now, verdict.because, rollout.id)])
            if stage == "promoted":
                if not rollout.base:
                    raise ConfigError(f"{rollout.id}: no gateway has taken it up yet; start one on this store")
                yield from _promote(rollout.controller, rollout.told, rollout.candidate, now)
            what = f"canary {share:.0%}" if stage == "canary" else stage
            evidence = {"findings": [f.to_json() for f in verdict.findings], "rollout": asdict(new)}
            yield from _event(self.db, "rollout", rollout.id, what, verdict.because, evidence)
            return True

        return await self.db.do(work, alone=True)

    async def take_back(self, controller: str, because: str) -> Rollout:
        """Put the version that the latest promotion replaced back in its place.

        Raises:
            ConfigError: Nothing was promoted.
        """

        def work() -> Steps[Rollout]:
            yield from self._turn()
            sql = f"SELECT {COLUMNS} FROM mar_rollouts WHERE controller = ? AND stage = ? ORDER BY since DESC LIMIT 1"
            found = yield Ask(sql, (controller, "promoted"))
            if not found:
                raise ConfigError(f"{controller}: nothing is on its way and nothing was promoted")
            rollout, now = _rollout(found[0]), (yield from _now(self.db))
            yield from _promote(controller, rollout.told, rollout.base, now)
            sql = "UPDATE mar_rollouts SET stage = ?, share = ?, entered = ?, since = ?, because = ? WHERE id = ?"
            yield Tell(sql, [("rolled back", 0.0, now, now, because, rollout.id)])
            yield from _event(self.db, "rollout", rollout.id, "rolled back", because, {})
            return replace(rollout, stage="rolled back", share=0.0, because=because)

        return await self.db.do(work, alone=True)

    async def noticed(self, subject: str, what: str, because: str, evidence: Mapping[str, Any]) -> None:
        """Keep something that has drifted."""
        await self.db.do(lambda: _event(self.db, "drift", subject, what, because, evidence))

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Whether somebody is the one of all workers who does something, for so many seconds more."""

        def work() -> Steps[bool]:
            now = yield from _now(self.db)
            sql = (
                "INSERT INTO mar_leases VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                "holder = excluded.holder, ends = excluded.ends "
                "WHERE mar_leases.holder = excluded.holder OR mar_leases.ends < ?"
            )
            yield Tell(sql, [(name, holder, now + seconds, now)])
            found = yield Ask("SELECT holder FROM mar_leases WHERE name = ?", (name,))
            return bool(found[0][0] == holder)

        return await self.db.do(work)

    def _turn(self) -> Steps[None]:
        """Take the turn of whoever changes something, and say that something has changed."""
        yield Tell("UPDATE mar_rollout_revision SET number = number + 1", [()])


_EVENT = tuple(f.name for f in fields(Event))


def _known(revision: int | None) -> Steps[Known | None]:
    number = int((yield Ask("SELECT number FROM mar_rollout_revision"))[0][0])
    if number == revision:
        return None
    rows = yield Ask(f"SELECT {COLUMNS} FROM mar_rollouts WHERE stage IN ('shadow', 'canary') ORDER BY began")
    promoted = yield Ask("SELECT controller, told, version FROM mar_promoted")
    return Known(
        revision=number,
        under_way=tuple(_rollout(row) for row in rows),
        promoted={controller: Promoted(told=told, version=version) for controller, told, version in promoted},
    )


def _promote(controller: str, told: str, version: str, now: float) -> Steps[None]:
    yield from insert(
        "mar_promoted",
        [(controller, told, version, now)],
        "ON CONFLICT (controller) DO UPDATE SET told = excluded.told, version = excluded.version, at = excluded.at",
    )


def _event(
    db: Database, kind: EventKind, subject: str, what: str, because: str, evidence: Mapping[str, Any]
) -> Steps[None]:
    now = yield from _now(db)
    yield from insert("mar_events", [(now, kind, subject, what, because, json.dumps(evidence))])


def _now(db: Database) -> Steps[float]:
    return float((yield Ask(f"SELECT {db.now}"))[0][0])


def _row(rollout: Rollout) -> Sequence[Any]:
    return [getattr(rollout, name.strip()) for name in COLUMNS.split(",")]


def _rollout(row: Row) -> Rollout:
    return Rollout(**{name.strip(): value for name, value in zip(COLUMNS.split(","), row, strict=True)})
