"""What of a comparison a log can tell, in one sentence; what it cannot tell is not ranked."""

from __future__ import annotations

from dataclasses import dataclass

from mar.evaluation.statistics import Interval
from mar.traffic.estimates.policies import more_needed
from mar.traffic.learn.candidates import ONE
from mar.traffic.learn.compared import ALONE, SERVING, Compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is kept, and what is said."""

    kept: str  # one model for all, unless the log can tell that a router is worth more; see `_kept`
    better: bool  # whether it is worth more than what served, beyond chance
    equals: tuple[str, ...]  # candidates that the log cannot tell from it
    sentence: str


def verdict_of(compared: Compared, measure: str) -> Verdict:
    """Choose and say.

    Args:
        compared: The table.
        measure: What is meant by worth.
    """
    requests = len(compared.judged.table)
    kept = _kept(compared)
    line = compared.line(kept)
    equals = tuple(
        other for other in compared.candidates if other != kept and not compared.apart(kept, other).excludes_zero
    )
    singles = [one for one in compared.lines if one.part == ALONE]
    single = max(singles, key=lambda one: one.comes.utility.mean)
    return Verdict(
        kept=kept,
        better=line.surely.low > 0,
        equals=equals,
        sentence=_sentence(
            kept,
            line.surely,
            requests,
            measure,
            single.name,
            compared.apart(kept, single.name),
        ),
    )


def _kept(compared: Compared) -> str:
    """The candidate of the highest estimate. One model for all, where it is a candidate, gives way only to those that
    are worth more beyond chance: the best of several noisy estimates flatters, and a router errs in more ways.
    """
    able = compared.candidates
    if ONE in able:
        able = tuple(name for name in able if name != ONE and compared.apart(name, ONE).low > 0) or (ONE,)
    return max(able, key=lambda name: compared.line(name).gain.utility.mean)


def _sentence(kept: str, gain: Interval, requests: int, measure: str, single: str, over: Interval) -> str:
    if gain.low > 0:
        alone = f"; it is not told from {single} alone ({points(over)}; {more(over, requests)})"
        beside = "" if over.low > 0 or over.low == over.high else alone  # equal: it is that model
        return f"{kept} is worth more than {SERVING}, in {measure} {points(gain)}{beside}: try it with mar rollout"
    if gain.high < 0:
        return f"Nothing that was learned is worth as much as {SERVING}: {kept}, the best of it, {points(gain)}"
    if gain.low == gain.high:
        return f"Nothing that was learned is shown to be worth more than {SERVING}; {kept} does the same"
    told = f"{points(gain)}; {more(gain, requests)}"
    return f"This log cannot tell {kept}, the best that was learned, from {SERVING}: {told}"


def more(difference: Interval, requests: int) -> str:
    """How many more requests would tell."""
    count = more_needed(difference, requests)
    if count is None:
        return "no number of requests that anybody waits for would"
    return f"about {_rounded(count):,} more requests like these would"


def points(interval: Interval) -> str:
    """A difference with its interval, in points."""
    return f"{100 * interval.mean:+.1f} points ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def _rounded(count: int) -> int:
    """Two figures: it is a guess."""
    scale = 10 ** max(0, len(str(count)) - 2)
    return -(-count // scale) * scale
