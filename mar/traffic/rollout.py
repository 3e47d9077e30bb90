"""A candidate's way to all requests: what is decided of it, from what was seen of it and of the version that serves.

    shadow        it plans a share of requests beside the version that serves; some of its plans are carried out, too
    canary        it answers a share of the users, which grows step by step
    promoted      it answers all
    rolled back   it answers nobody

It is rolled back as soon as it is shown to be worse in anything by more than a margin, and promoted once it has been
shown not to be worse in quality by more than the margin, while nothing else is shown to be. Both are read off bounds
that hold at every moment (`mar.traffic.confidence`), so it does not matter how often that is decided: a candidate that
is no worse is rolled back with probability `alpha` at the most, one that is worse in quality by more than the margin
promoted likewise. What cannot be told within `days` is rolled back, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mar.traffic.comparing import MEASURES, Measure, Reading, stream, without

if TYPE_CHECKING:
    from mar.traffic.confidence import Bounds

Stage = Literal["shadow", "canary", "promoted", "rolled back"]
Step = Literal["stay", "go on", "promote", "roll back"]
OVER: frozenset[Stage] = frozenset({"promoted", "rolled back"})
TESTS = 2 * len(MEASURES)  # that may each raise a false alarm: of every measure, in shadow and in canary
LEFT_OUT = 20  # units, those with the most readings, without each of which a decision must stand
DAY_S = 86400.0

Part = Annotated[float, Field(gt=0, lt=1)]
Margin = Annotated[float, Field(ge=0, le=1)]


class Rules(BaseModel):
    """How careful rollouts are."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    quality: Margin = 0.05  # that the candidate may be worse, on the scale from 0 to 1 of outcomes
    failures: Margin = 0.02  # share of requests that may fail beyond those that do already
    cost: Margin = 0.1  # share that requests may cost more
    seconds: Margin = 0.25  # share that they may take longer
    alpha: Part = 0.05  # probability of rolling back a candidate that is no worse
    shares: tuple[Part, ...] = (0.01, 0.1, 0.5)  # of users that it answers, one after the other; then all
    least: Annotated[int, Field(ge=1)] = 50  # requests that it answers with each share
    shadow: Annotated[float, Field(ge=0, le=1)] = 0.2  # share of requests that it plans in shadow
    shadow_run: Annotated[float, Field(ge=0, le=1)] = 0.25  # share of these that is carried out
    shadow_usd_day: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0  # that all workers may spend on that
    judge: str | None = None  # a model of the pool that compares answers in shadow; paid from the same
    shadow_least: Annotated[int, Field(ge=0)] = 50  # plans in shadow before it answers anybody
    days: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 14.0  # within which it must be shown what it is

    @field_validator("shares")
    @classmethod
    def _growing(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if list(shares) != sorted(set(shares)):
            raise ValueError(f"shares are {shares}; expected each larger than the one before")
        return shares

    def tolerance(self, measure: Measure) -> float:
        """How far below 0 the mean of a measure's stream may lie; the other margins are part of the stream."""
        return {"quality": self.quality, "failures": self.failures}.get(measure, 0.0)

    def margin(self, measure: Measure) -> float:
        """The share by which the candidate may cost or take more; see `stream`."""
        return {"cost": self.cost, "seconds": self.seconds}.get(measure, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A candidate on its way."""

    id: str
    controller: str  # whom it is to replace, as clients ask for it
    candidate: str  # its version
    told: str  # the version that the settings tell, in whose place it is to answer; "": nobody has taken it up yet
    base: str  # the version that answers at present, with which it is compared; "": likewise
    stage: Stage
    share: float  # of users that it answers
    began: float  # seconds since 1970
    entered: float  # when its stage began
    since: float  # when stage or share changed
    because: str  # why it did

    @property
    def over(self) -> bool:
        """Whether nothing more is decided."""
        return self.stage in OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of a candidate and the version that serves, in one stage."""

    readings: Mapping[Measure, Sequence[Reading]]  # in the order in which they became known
    requests: int  # that the candidate planned (shadow), or answered with this share (canary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one measure says: bounds of the mean of its stream, in which more is better for the candidate."""

    measure: Measure
    bounds: Bounds
    tolerance: float  # how far below 0 it may lie
    worse: bool  # it is shown to be worse by more than that
    fine: bool  # it is shown not to be

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, for JSON."""
        plain = asdict(self)
        plain["bounds"]["mean"] = self.bounds.mean if self.bounds.n else None
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is done next, and why."""

    step: Step
    because: str
    findings: tuple[Finding, ...] = ()
    share: float = field(default=0.0)  # of users, from now on


def decide(rollout: Rollout, seen: Seen, rules: Rules, now: float) -> Verdict:
    """What is done with a candidate.

    Args:
        rollout: The candidate.
        seen: Of it, in its stage.
        rules: How careful to be.
        now: Seconds since 1970.
    """
    findings = tuple(found(measure, seen.readings.get(measure, ()), rules) for measure in MEASURES)
    for finding in findings:
        if finding.worse and _stands(finding.measure, seen.readings[finding.measure], rules, worse=True):
            return Verdict(step="roll back", because=f"{finding.measure}: {_words(finding)}", findings=findings)
    if now - rollout.began > rules.days * DAY_S:
        return Verdict(step="roll back", because=f"nothing was shown in {rules.days:g} days", findings=findings)
    if rollout.stage == "shadow":
        return _in_shadow(seen, rules, findings)
    return _in_canary(rollout, seen, rules, findings)


def found(measure: Measure, readings: Sequence[Reading], rules: Rules) -> Finding:
    """What a measure says."""
    from mar.traffic.confidence import above, bounds  # NumPy, of a gateway with a rollout

    values, tolerance, alpha = stream(readings, measure, rules.margin(measure)), rules.tolerance(measure), _each(rules)
    return Finding(
        measure=measure,
        bounds=bounds(values, alpha),
        tolerance=tolerance,
        worse=above(-values, tolerance, alpha),
        fine=above(values, -tolerance, alpha),
    )


def _in_shadow(seen: Seen, rules: Rules, findings: tuple[Finding, ...]) -> Verdict:
    if seen.requests < rules.shadow_least:
        return Verdict(step="stay", because=f"{seen.requests} of {rules.shadow_least} plans", findings=findings)
    because = f"{seen.requests} plans, and nothing shows it to be worse"
    if not rules.shares:
        return Verdict(step="promote", because=because, findings=findings, share=1.0)
    return Verdict(step="go on", because=because, findings=findings, share=rules.shares[0])


def _in_canary(rollout: Rollout, seen: Seen, rules: Rules, findings: tuple[Finding, ...]) -> Verdict:
    larger = [share for share in rules.shares if share > rollout.share]
    if seen.requests < rules.least:
        because = f"{seen.requests} of {rules.least} requests with this share"
        return Verdict(step="stay", because=because, findings=findings, share=rollout.share)
    if larger:
        because = f"{seen.requests} requests with this share, and nothing shows it to be worse"
        return Verdict(step="go on", because=because, findings=findings, share=larger[0])
    quality = findings[MEASURES.index("quality")]
    if quality.fine and _stands("quality", seen.readings["quality"], rules, worse=False):
        return Verdict(step="promote", because=f"quality: {_words(quality)}", findings=findings, share=1.0)
    because = "its quality is not yet shown to be no worse"
    return Verdict(step="stay", because=because, findings=findings, share=rollout.share)


def _stands(measure: Measure, readings: Sequence[Reading], rules: Rules, *, worse: bool) -> bool:
    """Whether what a measure shows stands without the word of any one unit."""
    from mar.traffic.confidence import above

    tolerance, margin, alpha = rules.tolerance(measure), rules.margin(measure), _each(rules)
    for unit, _ in Counter(reading.unit for reading in readings).most_common(LEFT_OUT):
        values = stream(without(readings, unit), measure, margin)
        if not (above(-values, tolerance, alpha) if worse else above(values, -tolerance, alpha)):
            return False
    return True


def _each(rules: Rules) -> float:
    return rules.alpha / TESTS


def _words(finding: Finding) -> str:
    of, b = finding.measure, finding.bounds
    what = "difference" if of in ("quality", "failures") else "advantage after the margin"
    return f"{what} {b.mean:+.3f}, between {b.low:+.3f} and {b.high:+.3f} by {b.n} comparisons"
