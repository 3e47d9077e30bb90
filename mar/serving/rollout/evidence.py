"""What the log says of a candidate and of the version beside it, in the order in which it became known.

Only outcomes that somebody gives of good answers and bad ones alike compare versions: that a question was asked again
or an answer edited is said of bad ones alone, and counts as none. Requests whose plan was drawn for what it teaches say
nothing of a version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mar.serving.money import usd
from mar.serving.store.database import Ask, Database, Row, Steps, marks
from mar.traffic.comparing import Measure, Reading
from mar.traffic.records import OutcomeKind
from mar.traffic.rollout import Rollout, Seen

TRUST: tuple[OutcomeKind, ...] = ("grader", "tests", "rating", "judge", "agreement")  # the best that there is counts
MOST = 50_000  # requests that are looked at; the first ones, so that what was shown stays shown
LEFT = 499
# Whose request it was, as far as is kept: without users and conversations all that a key asks is one unit.
UNIT = "guest || '/' || COALESCE(person, conversation, '')"


async def seen_of(db: Database, rollout: Rollout) -> Seen:
    """What was seen of a candidate in its stage.

    Raises:
        StoreUnavailable: The database gives no answer.
    """
    return await db.look(lambda: _shadow(rollout) if rollout.stage == "shadow" else _canary(rollout))


def _canary(rollout: Rollout) -> Steps[Seen]:
    both = (rollout.candidate, rollout.base)
    which = f"version IN {marks(2)} AND asked = ? AND at >= ? AND explored = 0 AND status <> {LEFT}"
    values = (*both, rollout.controller, rollout.entered)
    columns = f"id, {UNIT}, version, at, status, cost_nano, seconds"
    rows = yield Ask(f"SELECT {columns} FROM mar_requests WHERE {which} ORDER BY at + seconds, id LIMIT {MOST}", values)
    ids = f"(SELECT id FROM mar_requests WHERE {which})"
    sql = f"SELECT episode, kind, value, at FROM mar_outcomes WHERE episode IN {ids} ORDER BY at, episode LIMIT {MOST}"
    said = yield Ask(sql, values)
    requests = [_Request(*row) for row in rows]
    return Seen(
        readings={**_measured(requests, rollout.candidate), "quality": _valued(said, requests, rollout.candidate)},
        requests=sum(r.version == rollout.candidate and r.at >= rollout.since for r in requests),
    )


class _Request:
    """A row of the log."""

    __slots__ = ("at", "failed", "id", "ok", "seconds", "unit", "usd", "version")

    def __init__(self, id: str, unit: str, version: str, at: float, status: int, nano: int | None, seconds: float):
        self.id, self.unit, self.version, self.at = id, unit, version, at
        self.failed, self.ok = status >= 500, status == 200
        self.usd, self.seconds = None if nano is None else usd(nano), seconds


def _measured(requests: Iterable[_Request], candidate: str) -> dict[Measure, list[Reading]]:
    found: dict[Measure, list[Reading]] = {"failures": [], "cost": [], "seconds": []}
    for r in requests:
        new = r.version == candidate
        if r.ok or r.failed:
            found["failures"].append(Reading(unit=r.unit, new=new, value=float(r.failed)))
        if r.ok:
            found["seconds"].append(Reading(unit=r.unit, new=new, value=r.seconds))
        if r.ok and r.usd is not None:
            found["cost"].append(Reading(unit=r.unit, new=new, value=r.usd))
    return found


def _valued(said: Sequence[Row], requests: Sequence[_Request], candidate: str) -> list[Reading]:
    of = {r.id: r for r in requests}
    best: dict[str, tuple[int, list[float], float]] = {}  # by episode: rank of the kind, its values, when the last came
    for episode, kind, value, at in said:
        if kind not in TRUST or episode not in of:
            continue
        rank = TRUST.index(kind)
        known = best.get(episode)
        if known is None or rank < known[0]:
            best[episode] = (rank, [value], at)
        elif rank == known[0]:
            known[1].append(value)
    ordered = sorted(best.items(), key=lambda item: (item[1][2], item[0]))
    return [
        Reading(unit=of[episode].unit, new=of[episode].version == candidate, value=sum(values) / len(values))
        for episode, (_, values, _) in ordered
    ]


def _shadow(rollout: Rollout) -> Steps[Seen]:
    columns = "state, served_failed, served_usd, served_s, usd, s.seconds, verdict"
    rows = yield Ask(
        f"SELECT COALESCE({UNIT}, episode), {columns} FROM mar_shadows s LEFT JOIN mar_requests r ON r.id = s.episode "
        f"WHERE rollout = ? AND s.at >= ? ORDER BY s.at, episode LIMIT {MOST}",
        (rollout.id, rollout.entered),
    )
    found: Mapping[Measure, list[Reading]] = {"quality": [], "failures": [], "cost": [], "seconds": []}

    def beside(measure: Measure, unit: str, old: float | None, new: float | None) -> None:
        if old is not None and new is not None:
            found[measure].append(Reading(unit=unit, new=False, value=old))
            found[measure].append(Reading(unit=unit, new=True, value=new))

    for unit, state, served_failed, served_usd, served_s, paid, seconds, verdict in rows:
        if state in ("carried out", "failed"):
            beside("failures", unit, float(served_failed), float(state == "failed"))
        if state == "carried out" and not served_failed:
            beside("cost", unit, served_usd, paid)
            beside("seconds", unit, served_s, seconds)
        if verdict is not None:
            beside("quality", unit, (1 - verdict) / 2, (1 + verdict) / 2)
    return Seen(readings=found, requests=sum(row[1] != "skipped" for row in rows))
