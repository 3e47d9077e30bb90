"""What served beside every model alone and beside a candidate in shadow, estimated from the log: nothing is learned.

The estimates are those of `mar learn` (`mar.traffic.estimates`), with less to go by: what an arm is expected to come to
is its mean, whatever the question, so that neither text nor encoder is needed and thousands of requests take a fraction
of a second. That costs some width and no validity: an estimate is right whatever is expected.

A model is compared with what served on the requests on which it could have been drawn: of others the log says nothing.
A candidate in shadow is compared on those that it planned, a share that is drawn by chance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from mar.evaluation.statistics import Interval
from mar.traffic.estimates.expected import Column
from mar.traffic.estimates.policies import Comes, Judged, more_needed
from mar.traffic.estimates.table import Floats, Ints, table_of
from mar.traffic.learn.candidates import FEWEST
from mar.traffic.learn.compared import likeliest
from mar.traffic.learn.verdict import more, points
from mar.traffic.records import Arm, Logged

SERVED = "what served"
FEWEST_ESS = 10.0  # effective sample size below which an interval holds and is too wide to say anything
_ALONE = re.compile(r"[A-Za-z]\w*\(([^(),]+)\)")  # a plan of one model, in a few words


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """USD per million tokens."""

    read: float
    written: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Another way of answering, and what it gains over what served."""

    name: str
    requests: int  # on which it is compared
    comes: Comes
    gain: Comes
    surely: Interval  # utility gained, by intervals that hold for all rows together with 95%
    more: int | None  # requests that would tell it from what served; 0: none, None: no number anybody waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What served beside others, on the same requests."""

    requests: int
    rated: int
    drawn: float  # share of requests on which something else could have been drawn
    served: Comes
    others: tuple[Other, ...]
    sentence: str


def beside(
    log: Iterable[Logged],
    models: Mapping[str, Price | None],
    *,
    cost_rate: float = 0.0,
    shadows: Mapping[str, Mapping[str, str]] | None = None,
) -> Beside | None:
    """Estimate; None: none of the requests was answered with a probability that is known.

    Args:
        log: Requests that one controller planned, the latest versions of it or several.
        models: Of the pool, with what they cost today; None: not known.
        cost_rate: Utility per USD.
        shadows: What candidates in shadow planned for requests, in a few words, by the candidate and the episode.
    """
    plans: Mapping[str, Mapping[str, str]] = {} if shadows is None else shadows
    answered = (one for one in log if one.status == 200 and one.arms and one.arm.probability > 0)
    kept = [_with_arms(_today(one, models), plans.values()) for one in answered]
    if not kept:
        return None
    judged = Judged.of(table_of(kept), cost_rate)
    table = judged.table
    rated = np.bincount(table.drawn[~np.isnan(table.worth)], minlength=len(table.arms))
    often = np.argsort(-table.probability.mean(axis=0), kind="stable").tolist()
    tried = [k for k in often if table.arms[k] in models and rated[k] >= FEWEST]
    z = NormalDist().inv_cdf(1 - 0.025 / max(1, len(tried) + len(plans)))
    others = [_alone(judged, k, z) for k in tried]
    others += [one for name, of in plans.items() if (one := _in_shadow(judged, kept, name, of, z)) is not None]
    drawn = float((table.probability.max(axis=1) < 1).mean())
    return Beside(
        requests=len(table),
        rated=table.rated,
        drawn=drawn,
        served=judged.comes(likeliest(judged.serving)),
        others=tuple(others),
        sentence=_sentence(others, table.rated, drawn),
    )


def _alone(judged: Judged, arm: int, z: float) -> Other:
    part = _rows(judged, np.flatnonzero(judged.serving[:, arm] > 0))
    does = np.zeros_like(part.serving)
    does[:, arm] = 1.0
    return _other(part, part.table.arms[arm], does, z)


def _in_shadow(judged: Judged, log: Sequence[Logged], name: str, plans: Mapping[str, str], z: float) -> Other | None:
    mine = [i for i, one in enumerate(log) if one.id in plans]
    if not mine:
        return None
    part = _rows(judged, np.array(mine, dtype=np.int64))
    place = {arm: k for k, arm in enumerate(part.table.arms)}
    does = np.zeros_like(part.serving)
    for row, i in enumerate(mine):
        does[row, place[_arm_of(plans[log[i].id], place)]] = 1.0
    return _other(part, name, does, z)


def _other(judged: Judged, name: str, does: Floats, z: float) -> Other:
    over = does - likeliest(judged.serving)
    surely = judged.comes(over, z=z).utility.interval
    return Other(
        name=name,
        requests=len(judged.table),
        comes=judged.comes(does),
        gain=judged.comes(over),
        surely=surely,
        more=more_needed(surely, len(judged.table)),
    )


def _rows(judged: Judged, at: Ints) -> Judged:
    def of(column: Column) -> Column:
        return replace(column, value=column.value[at], expected=column.expected[at], chance=column.chance[at])

    table = judged.table.rows(at)
    return replace(judged, table=table, quality=of(judged.quality), usd=of(judged.usd), seconds=of(judged.seconds))


def _today(logged: Logged, models: Mapping[str, Price | None]) -> Logged:
    """What a model's answer would cost at today's prices."""
    price, read, written = models.get(logged.arm.name), logged.prompt_tokens, logged.completion_tokens
    if price is None or read is None or written is None:
        return logged
    return replace(logged, cost_usd=(read * price.read + written * price.written) / 1e6)


def _with_arms(logged: Logged, shadows: Iterable[Mapping[str, str]]) -> Logged:
    """With what candidates would do among its arms, which nothing has drawn where it is new."""
    names = {arm.name for arm in logged.arms}
    new = {_arm_of(plans[logged.id], names) for plans in shadows if logged.id in plans} - names
    arms = (*logged.arms, *(Arm(name=name, probability=0.0) for name in sorted(new)))
    return replace(logged, arms=arms, embedding=())  # nothing is read of the question


def _arm_of(label: str, names: Iterable[str]) -> str:
    """The arm of a plan in a few words: that of its model where it is one model alone."""
    alone = _ALONE.fullmatch(label)
    return alone[1] if alone is not None and label not in names else label


def _sentence(others: Sequence[Other], rated: int, drawn: float) -> str:
    if not rated:
        return "Nobody has said what these answers were worth, so only cost and time can be compared."
    if not drawn:
        return (
            "Nothing was ever tried in place of what served, so this log cannot tell what else would have been worth: "
            "explore in serve.toml gives a share of the requests to other models."
        )
    others = [one for one in others if np.isfinite([one.surely.low, one.surely.high]).all()]
    if not others:
        return f"No model was rated {FEWEST} times alone, so this log cannot tell what one would be worth."
    best = max(others, key=lambda one: one.gain.utility.mean)
    told = points(best.surely)
    if best.surely.low > 0:
        return f"{best.name} would have been worth more than {SERVED}: {told}."
    if all(one.surely.high < 0 for one in others):
        return f"What served was worth more than all of these; the next is {best.name}: {told}."
    if best.surely.low == best.surely.high:
        return f"None of these is shown to be worth more than {SERVED}; {best.name} does the same."
    return f"This log cannot tell {best.name} from {SERVED}: {told}; {more(best.surely, best.requests)}."
