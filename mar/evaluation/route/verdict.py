# pyright: basic
"""What a validation means: how much cheaper at the accuracy of a model, how much better at its cost.

For each fold a way is chosen by what it did on the others: the cheapest of those as accurate as the model, and the most
accurate of those that cost no more. What the chosen ways did on the folds they were chosen for is what is said. As
accurate is who is at most one standard error of the difference below, and at most a point (the one-standard-error rule
of Breiman et al. 1984): without it, which of two equal ways counts is a matter of luck. How far below is said, too.

Beside one model there are others, and mixtures of them by chance, which reach every point of the convex hull of their
costs and accuracies. What is learned is worth its trouble only if it lies above that hull.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mar.evaluation.route.calls import Floats
from mar.evaluation.route.play import Played
from mar.evaluation.route.validation import Outcomes, Validated, Way
from mar.evaluation.routereval.trade_off import hull
from mar.evaluation.statistics import Interval

WORSE = 0.01  # accuracy that a way may lack and still count as equal
NOTHING = 1e-9  # differences below this are rounding
DRAWS = 1000
Choose = Callable[[Outcomes, Way], Way]


def reference_of(outcomes: Outcomes, name: str | None = None) -> Way:
    """The model that others are compared with: the one named, else the most accurate; of equals the cheapest."""
    singles = [way for way in outcomes if not way.kind]
    if name is not None:
        return next(way for way in singles if way.model == name)
    return max(singles, key=lambda w: (outcomes[w].quality.mean(), -outcomes[w].usd.mean()))


def cheapest(outcomes: Outcomes, reference: Way) -> Way:
    """The cheapest way that is as accurate as the reference; of equals the more accurate."""
    fitting = [way for way, played in outcomes.items() if _as_accurate(played, outcomes[reference])]
    return min([*fitting, reference], key=lambda w: (outcomes[w].usd.mean(), -outcomes[w].quality.mean()))


def best(outcomes: Outcomes, reference: Way) -> Way:
    """The most accurate way that costs no more than the reference; of equals the cheaper."""
    most = outcomes[reference].usd.mean() * (1 + 1e-9)
    fitting = [way for way, played in outcomes.items() if played.usd.mean() <= most]
    return max(fitting, key=lambda w: (outcomes[w].quality.mean(), -outcomes[w].usd.mean()))


def _as_accurate(played: Played, reference: Played) -> bool:
    lack = reference.quality - played.quality
    error = lack.std(ddof=1) / np.sqrt(len(lack)) if len(lack) > 1 else 0.0
    return bool(lack.mean() <= min(error, WORSE) + 1e-12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Ways chosen fold by fold, on the rows that they were chosen without."""

    ways: tuple[Way, ...]  # by fold
    accuracy: float
    usd: float  # mean
    calls: float  # mean
    saving: Interval  # share of the reference's cost that is saved
    gain: Interval  # in accuracy over the reference
    above: Interval  # accuracy over the hull of the single models at the same cost

    @property
    def names(self) -> str:
        """What was chosen, the most frequent first."""
        counts = Counter(way.kind or way.model for way in self.ways)
        return ", ".join(
            name if count == len(self.ways) else f"{name} x {count}" for name, count in counts.most_common()
        )

    @property
    def worth(self) -> bool:
        """Whether it is beyond chance above what single models reach at its cost."""
        return self.above.low > NOTHING


def chosen(validated: Validated, reference: Way, choose: Choose, kinds: Sequence[str] | None = None) -> Choice:
    """Choose for each fold, among all ways or among controllers of some kinds, and see what comes of it."""
    folds = [validated.fold == k for k in range(validated.folds)]
    ways = tuple(choose(_among(validated.within(~fold), reference, kinds), reference) for fold in folds)
    parts = [validated.outcomes[way].rows(np.flatnonzero(fold)) for way, fold in zip(ways, folds, strict=True)]
    order = np.argsort(np.concatenate([np.flatnonzero(fold) for fold in folds]))
    played = Played.joined(parts).rows(order)
    against = validated.outcomes[reference]
    singles = [played for way, played in validated.outcomes.items() if not way.kind]
    return Choice(
        ways=ways,
        accuracy=float(played.quality.mean()),
        usd=float(played.usd.mean()),
        calls=float(played.calls.mean()),
        **_intervals(played, against, singles),
    )


def _among(outcomes: Outcomes, reference: Way, kinds: Sequence[str] | None) -> Outcomes:
    if kinds is None:
        return outcomes
    return {way: played for way, played in outcomes.items() if way.kind in kinds or way == reference}


def _intervals(played: Played, against: Played, singles: Sequence[Played]) -> dict[str, Interval]:
    """Paired bootstraps over rows."""
    n = len(played.quality)
    quality, usd = np.stack([s.quality for s in singles]), np.stack([s.usd for s in singles])

    def figures(rows: np.ndarray) -> tuple[float, float, float]:
        accuracy, cost = played.quality[rows].mean(), played.usd[rows].mean()
        xs, ys = hull(usd[:, rows].mean(axis=1), quality[:, rows].mean(axis=1))
        saving = 1 - cost / max(against.usd[rows].mean(), 1e-300)
        return saving, accuracy - against.quality[rows].mean(), accuracy - float(np.interp(cost, xs, ys))

    rng = np.random.default_rng(0)
    drawn = np.array([figures(rng.integers(0, n, n)) for _ in range(DRAWS)])
    exact, (low, high) = figures(np.arange(n)), np.quantile(drawn, [0.025, 0.975], axis=0)
    names = ("saving", "gain", "above")
    return {name: Interval(mean=exact[i], low=float(low[i]), high=float(high[i])) for i, name in enumerate(names)}


def oracle(outcomes: Outcomes) -> tuple[float, float]:
    """Accuracy and mean cost of whoever knows which models are right, and asks the cheapest of the best."""
    singles = [played for way, played in outcomes.items() if not way.kind]
    quality, usd = np.stack([s.quality for s in singles]), np.stack([s.usd for s in singles])
    top = quality.max(axis=0)
    cost: Floats = np.where(quality >= top - 1e-9, usd, np.inf).min(axis=0)
    return float(top.mean()), float(cost.mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a run found out."""

    reference: Way
    accuracy: float  # of the reference
    usd: float  # of the reference, mean
    same: Choice  # cheapest at its accuracy
    better: Choice  # best at its cost
    single: Way  # the cheapest model that is as accurate by all rows
    measure: str = "accuracy"  # what is meant by that

    @property
    def worth(self) -> bool:
        """Whether anything learned is better than single models, beyond chance."""
        cheaper = self.same.worth and self.same.saving.low > 0
        return cheaper or (self.better.worth and self.better.gain.low > 0)

    @property
    def sentence(self) -> str:
        """The last line."""
        same, better, name = self.same, self.better, self.reference.model
        lost = same.gain.high < 0 or same.gain.mean < -WORSE
        below = f"{-100 * same.gain.mean:.1f} points below" if lost else "at"
        cheaper = "cheaper" if same.saving.mean >= 0 else "dearer"
        sign = 1 if same.saving.mean >= 0 else -1
        low, high = sorted((100 * sign * same.saving.low, 100 * sign * same.saving.high))
        text = (
            f"{below} the {self.measure} of {name} ({100 * self.accuracy:.1f}%): {100 * abs(same.saving.mean):.0f}% "
            f"{cheaper} (95% interval {low:.0f}% to {high:.0f}%; {self.measure} {points(same.gain)}); "
            f"at its cost: {points(better.gain)}"
        )
        if self.worth:
            return text[0].upper() + text[1:]
        use = name if self.single == self.reference else f"{self.single.model}, as accurate and cheaper"
        return f"Nothing that was learned beats a single model beyond chance: use {use} ({text})"


def verdict_of(validated: Validated, name: str | None, measure: str = "accuracy") -> Verdict:
    """Choose, test and compare."""
    outcomes = validated.outcomes
    reference = reference_of(outcomes, name)
    return Verdict(
        reference=reference,
        accuracy=float(outcomes[reference].quality.mean()),
        usd=float(outcomes[reference].usd.mean()),
        same=chosen(validated, reference, cheapest),
        better=chosen(validated, reference, best),
        single=cheapest(_among(outcomes, reference, [""]), reference),
        measure=measure,
    )


def kept_way(outcomes: Outcomes, reference: Way) -> Way:
    """The controller and price that are kept: the cheapest as accurate as the reference, else the most accurate."""
    learned = {way: played for way, played in outcomes.items() if way.kind}
    way = cheapest({**learned, reference: outcomes[reference]}, reference)
    return way if way.kind else max(learned, key=lambda w: (learned[w].quality.mean(), -learned[w].usd.mean()))


def points(interval: Interval) -> str:
    """A difference of accuracies with its interval."""
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.mean:+.1f} points ({low:+.1f} to {high:+.1f})"
