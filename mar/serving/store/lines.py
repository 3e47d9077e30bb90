"""Lists of requests from a database: a part of them by index, without reading what was said.

A filter that has no index of its own is looked for in a bounded number of requests, then the list says where it goes
on: a filter that fits nothing would otherwise read all there are each time, and be asked again every second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mar.serving.lines import Came, Line, Part, Place, Sieve
from mar.serving.money import usd
from mar.serving.store.database import Ask, Row, Steps, among
from mar.serving.store.rows import outcome_of, storable
from mar.traffic.records import Outcome
from mar.types import Plan

DEPTH = 5000  # requests that one look goes through
COLUMNS = (
    "id, at, guest, person, opening, asked, controller, mode, label, explored, status, reason, cost_nano, models, "
    "attempts, seconds, deadline_s"
)
_RATED = "EXISTS (SELECT 1 FROM mar_outcomes WHERE episode = id AND kind = 'rating' AND value {})"
_CAME: Mapping[Came, str] = {
    "answered": "status = 200",
    "failed": "status <> 200 AND status <> 499",
    "left": "status = 499",
    "late": "deadline_s IS NOT NULL AND seconds > deadline_s",
    "liked": _RATED.format(">= 0.5"),
    "disliked": _RATED.format("< 0.5"),
    "explored": "explored = 1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What rows must be."""

    sql: str
    values: tuple[Any, ...] = ()


def latest(sieve: Sieve, before: Place | None, most: int, depth: int = DEPTH) -> Steps[Part]:
    """The latest requests of a sieve; see `mar.serving.record.Record`."""
    by_id = yield from _by_id(sieve, before)
    if by_id:
        return Part(lines=tuple(by_id), on=None)
    indexed, others = _indexed(sieve, before), _others(sieve)
    end = (yield from _end(indexed, depth)) if others else None
    within = [] if end is None else [_from(end)]
    lines = yield from _lines([*indexed, *others, *within], most + 1)
    if len(lines) > most:
        return Part(lines=tuple(lines[:most]), on=lines[most - 1].place)
    return Part(lines=tuple(lines), on=end)


def _by_id(sieve: Sieve, before: Place | None) -> Steps[list[Line]]:
    """The request whose id was given as text, however long ago it was."""
    if not sieve.text:
        return []
    wanted = _is("id = ?", storable(sieve.text))
    return (yield from _lines([wanted, *_indexed(sieve, before), *_others(replace(sieve, text=""))], 1))


def _end(conditions: Sequence[Condition], depth: int) -> Steps[Place | None]:
    """The last of so many requests; None: there are no more than that."""
    where, values = _where(conditions)
    sql = f"SELECT at, id FROM mar_requests {where} ORDER BY at DESC, id DESC LIMIT 2 OFFSET ?"
    rows = yield Ask(sql, (*values, depth - 1))
    return Place(at=rows[0][0], id=rows[0][1]) if len(rows) == 2 else None


def _lines(conditions: Sequence[Condition], most: int) -> Steps[list[Line]]:
    where, values = _where(conditions)
    rows = yield Ask(f"SELECT {COLUMNS} FROM mar_requests {where} ORDER BY at DESC, id DESC LIMIT ?", (*values, most))
    if not rows:
        return []
    ids, values = among([row[0] for row in rows])
    plans = yield Ask(f"SELECT id, plan FROM mar_details WHERE id IN {ids}", values)
    sql = f"SELECT kind, source, value, at, note, episode FROM mar_outcomes WHERE episode IN {ids}"
    worth: dict[str, list[Outcome]] = {}
    for *outcome, episode in (yield Ask(sql, values)):
        worth.setdefault(episode, []).append(outcome_of(tuple(outcome)))
    texts: dict[str, str | None] = {row[0]: row[1] for row in plans}
    return [_line(row, texts.get(row[0]), worth.get(row[0], ())) for row in rows]


def _where(conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
    if not conditions:
        return "", []
    return f"WHERE {' AND '.join(c.sql for c in conditions)}", [value for c in conditions for value in c.values]


def _is(sql: str, *values: Any) -> Condition:
    return Condition(sql=sql, values=values)


def _indexed(sieve: Sieve, before: Place | None) -> list[Condition]:
    """What an index finds."""
    wanted: list[Condition] = []
    if sieve.guest is not None:
        wanted.append(_is("guest = ?", storable(sieve.guest)))
    if sieve.person:
        wanted.append(_is("person = ?", storable(sieve.person)))
    if before is not None:
        wanted.append(_is("(at, id) < (?, ?)", before.at, storable(before.id)))
    return wanted


def _from(place: Place) -> Condition:
    return _is("(at, id) >= (?, ?)", place.at, place.id)


def _others(sieve: Sieve) -> list[Condition]:
    """What takes a look at each request."""
    wanted: list[Condition] = []
    if sieve.model:
        wanted.append(_is(r"models LIKE ? ESCAPE '\'", f"%{_literal(json.dumps(sieve.model))}%"))
    if sieve.mode is not None:
        wanted.append(_is("mode = ?", storable(sieve.mode)))
    if sieve.text:
        wanted.append(_is(r"LOWER(opening) LIKE LOWER(?) ESCAPE '\'", f"%{_literal(storable(sieve.text))}%"))
    if sieve.came is not None:
        wanted.append(_is(_CAME[sieve.came]))
    return wanted


def _literal(text: str) -> str:
    """A text for LIKE that means itself."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _line(row: Row, plan: str | None, worth: Sequence[Outcome]) -> Line:
    id, at, guest, person, opening, asked, controller, mode, label, explored, status, reason, cost, models = row[:14]
    attempts, seconds, deadline_s = row[14:]
    return Line(
        id=id,
        at=at,
        guest=guest,
        person=person,
        opening=opening,
        asked=asked,
        controller=controller,
        mode=mode,
        label=label,
        explored=bool(explored),
        status=status,
        reason=reason,
        cost_usd=None if cost is None else usd(cost),
        models=tuple(json.loads(models)),
        attempts=attempts,
        seconds=seconds,
        deadline_s=deadline_s,
        plan=None if plan is None else Plan.from_json(json.loads(plan)),
        worth=tuple(worth),
    )
