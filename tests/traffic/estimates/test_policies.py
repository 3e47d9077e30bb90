"""What policies come to: intervals hold on made-up logs, and what is not known is said."""

from __future__ import annotations

import numpy as np
import pytest

from mar.evaluation.statistics import Interval
from mar.traffic.estimates.plain import ESTIMATORS
from mar.traffic.estimates.policies import Judged, more_needed
from mar.traffic.estimates.table import Table


def log(seed: int, n: int = 600, *, rated: float = 0.3) -> Table:
    """Three arms, right on 0.7, 0.6 and 0.4; the first is drawn nine times of ten; only some requests are rated."""
    rng = np.random.default_rng(seed)
    chance = np.tile([0.9, 0.05, 0.05], (n, 1))
    drawn = rng.choice(3, n, p=chance[0])
    right = (rng.random(n) < np.array([0.7, 0.6, 0.4])[drawn]).astype(float)
    return Table(
        arms=("a", "b", "c"),
        drawn=drawn,
        probability=chance,
        worth=np.where(rng.random(n) < rated, right, np.nan),
        usd=np.array([0.01, 0.002, 0.001])[drawn] * rng.uniform(0.5, 1.5, n),
        seconds=rng.uniform(1, 2, n),
        vectors=rng.normal(size=(n, 4)).astype(np.float32),
        person=np.arange(n),
    )


def test_intervals_hold_where_normal_ones_do_not():
    ours, plain = 0, 0
    for seed in range(60):
        table = log(seed, 300)
        judged = Judged.of(table)
        does = np.tile([0.0, 0.0, 1.0], (len(table), 1))
        found = judged.quality_of(does).interval
        ours += found.low <= 0.4 <= found.high
        found = ESTIMATORS["inverse propensity"](table, does, judged.quality)
        plain += found.low <= 0.4 <= found.high
    assert ours >= 55  # about 4 rated requests on the arm
    assert plain < ours


def test_money_is_subtracted_at_its_price():
    judged = Judged.of(log(0), cost_rate=10.0)
    served = judged.comes(judged.serving)
    assert served.utility.mean == pytest.approx(served.quality.mean - 10 * served.usd.mean)
    assert served.usd.mean == pytest.approx(float(np.mean(judged.table.usd)), rel=0.02)
    cheaper = judged.comes(np.tile([0.0, 0.0, 1.0], (600, 1)) - judged.serving)
    assert cheaper.usd.interval.high < 0


def test_how_many_more_requests_follows_the_square_root():
    # Half the width is 2 times the difference: four times as many requests, so 300 more than 100.
    assert more_needed(Interval(mean=0.1, low=-0.1, high=0.3), 100) == 300
    assert more_needed(Interval(mean=-0.1, low=-0.3, high=0.1), 100) == 300
    assert more_needed(Interval(mean=0.1, low=0.05, high=0.2), 100) == 0
    assert more_needed(Interval(mean=0.0, low=-0.1, high=0.1), 100) is None
    assert more_needed(Interval(mean=1e-9, low=-0.1, high=0.1), 100) is None


def test_nobodys_requests_are_learned_from_and_tested_on():
    table = log(1)
    table = Table(
        arms=table.arms,
        drawn=table.drawn,
        probability=table.probability,
        worth=table.worth,
        usd=table.usd,
        seconds=table.seconds,
        vectors=table.vectors,
        person=np.arange(600) // 7,
    )
    fold = table.folds(5)
    assert all(len(set(fold[table.person == who])) == 1 for who in range(86))
