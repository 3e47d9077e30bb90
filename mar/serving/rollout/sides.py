"""What came of a candidate in shadow, in sums: beside the answers that were served, request by request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mar.evaluation.statistics import Interval
from mar.serving.store.database import Ask, Database, Row, Steps
from mar.serving.store.sums import mean_of

MOST_REASONS = 8  # of failures that are named, the most frequent ones
REASON = 200  # characters of a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one source said of answers in shadow beside those that were served."""

    by: str  # "equal texts", "grader NAME", "judge NAME"; "": nobody was asked
    better: int
    alike: int
    worse: int
    missing: Mapping[str, int]  # by why there is no verdict, or why it is a tie


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Requests that a candidate planned in shadow, and its plans that were carried out beside what served them."""

    states: Mapping[str, int]  # requests by what became of them
    pairs: int  # both were answered
    usd: tuple[Interval, Interval]  # of these a request's, served and in shadow; NaN: not known
    seconds: tuple[Interval, Interval]
    tried: int  # carried out, well or not
    failed: tuple[int, int]  # of those, served and in shadow
    judged: Sequence[Judged]
    reasons: Sequence[tuple[str, int]]  # why it failed or was skipped, the most frequent first


async def sides_of(db: Database, rollout: str) -> Sides:
    """What came of a rollout in shadow.

    Args:
        db: A store.
        rollout: Its id.

    Raises:
        StoreUnavailable: The store gives no answer.
    """
    return await db.look(lambda: _read(rollout))


def plans_of(rollout: str, most: int) -> Steps[dict[str, str]]:
    """What a candidate planned in shadow for the latest requests, in a few words, by episode."""
    sql = "SELECT episode, label FROM mar_shadows WHERE rollout = ? AND label <> '' ORDER BY at DESC LIMIT ?"
    rows = yield Ask(sql, (rollout, most))
    return {str(episode): str(label) for episode, label in rows}


def _read(rollout: str) -> Steps[Sides]:
    which, values = "FROM mar_shadows WHERE rollout = ?", (rollout,)
    states = yield Ask(f"SELECT state, COUNT(*), SUM(served_failed) {which} GROUP BY state ORDER BY state", values)
    both = f"{which} AND state = 'carried out' AND served_failed = 0"
    sums = ", ".join(f"SUM({c}), SUM({c} * {c})" for c in ("served_usd", "usd"))
    (usd,) = yield Ask(f"SELECT COUNT(*), {sums} {both} AND usd IS NOT NULL AND served_usd IS NOT NULL", values)
    sums = ", ".join(f"SUM({c}), SUM({c} * {c})" for c in ("served_s", "seconds"))
    (seconds,) = yield Ask(f"SELECT COUNT(*), {sums} {both}", values)
    signs = "SUM(CASE WHEN verdict > 0 THEN 1 ELSE 0 END), SUM(CASE WHEN verdict < 0 THEN 1 ELSE 0 END)"
    said = yield Ask(
        f"SELECT judge, reason, COUNT(*), COUNT(verdict), {signs} {both} GROUP BY judge, reason ORDER BY judge, reason",
        values,
    )
    why = f"substr(reason, 1, {REASON})"
    reasons = yield Ask(
        f"SELECT {why}, COUNT(*) {which} AND state IN ('failed', 'skipped') GROUP BY {why} ORDER BY 2 DESC, 1 LIMIT ?",
        (rollout, MOST_REASONS),
    )
    tried = [row for row in states if row[0] in ("carried out", "failed")]
    return Sides(
        states={row[0]: int(row[1]) for row in states},
        pairs=int(seconds[0]),
        usd=_means(usd),
        seconds=_means(seconds),
        tried=sum(int(row[1]) for row in tried),
        failed=(sum(int(row[2]) for row in tried), sum(int(row[1]) for row in tried if row[0] == "failed")),
        judged=_judged(said),
        reasons=[(row[0], int(row[1])) for row in reasons],
    )


def _means(row: Row) -> tuple[Interval, Interval]:
    n, old, old2, new, new2 = row
    return mean_of(n, old or 0.0, old2 or 0.0), mean_of(n, new or 0.0, new2 or 0.0)


def _judged(rows: Sequence[Row]) -> list[Judged]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return [
        Judged(
            by=by,
            better=sum(int(row[4]) for row in mine),
            alike=sum(int(row[3] - row[4] - row[5]) for row in mine),
            worse=sum(int(row[5]) for row in mine),
            missing={row[1]: int(row[2]) for row in mine if row[1]},
        )
        for by, mine in found.items()
    ]
