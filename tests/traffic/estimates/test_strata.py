"""A policy's worth from another's log: values derived by hand, and intervals where little is known."""

from __future__ import annotations

import numpy as np
import pytest

from mar.evaluation.statistics import Z95, wilson
from mar.traffic.estimates.expected import Column
from mar.traffic.estimates.strata import effective, estimate, share_interval
from mar.traffic.estimates.table import Table


def table(drawn: list[int], chances: tuple[float, ...], person: list[int] | None = None) -> Table:
    n = len(drawn)
    return Table(
        arms=tuple("abc"[: len(chances)]),
        drawn=np.array(drawn),
        probability=np.tile(np.array(chances), (n, 1)),
        worth=np.zeros(n),
        usd=np.zeros(n),
        seconds=np.zeros(n),
        vectors=np.zeros((n, 1), dtype=np.float32),
        person=np.arange(n) if person is None else np.array(person),
    )


def column(value: list[float], expected: float, arms: int, *, share: bool = True) -> Column:
    n = len(value)
    return Column(value=np.array(value), expected=np.full((n, arms), expected), chance=np.ones(n), share=share)


def always(arm: int, of: Table) -> np.ndarray:
    return np.tile(np.eye(len(of.arms))[arm], (len(of), 1))


def test_an_arms_worth_is_the_mean_over_the_requests_on_which_it_was_drawn():
    # b was drawn twice, right once: 0.5, whatever was expected of it.
    log = table([0, 0, 1, 1], (0.9, 0.1))
    found = estimate(log, always(1, log), column([1.0, 0.0, 1.0, 0.0], 0.2, 2))
    assert found.mean == pytest.approx(0.5)
    assert found.ess == pytest.approx(2.0)


def test_an_arm_that_was_never_drawn_may_be_anything():
    log = table([0] * 50, (0.98, 0.02))
    found = estimate(log, always(1, log), column([1.0] * 50, 0.6, 2))
    assert (found.interval.low, found.interval.high) == (pytest.approx(0.0), pytest.approx(1.0))
    assert found.ess < 1


def test_requests_on_which_an_arm_could_not_be_drawn_say_nothing_of_it_there():
    log = table([0, 1] * 50, (0.5, 0.5))
    chance = log.probability.copy()
    chance[50:] = (1.0, 0.0)
    half = Table(
        arms=log.arms,
        drawn=np.where(np.arange(100) < 50, log.drawn, 0),
        probability=chance,
        worth=log.worth,
        usd=log.usd,
        seconds=log.seconds,
        vectors=log.vectors,
        person=log.person,
    )
    values = column([1.0] * 100, 0.5, 2)
    # Right whenever it was drawn; on the other half of the requests it is somewhere between 0 and 1.
    whole, known = estimate(half, always(1, half), values), estimate(log, always(1, log), values)
    assert whole.interval.low < 0.55
    assert known.interval.low > 0.85


def test_a_policy_that_does_the_same_differs_by_nothing():
    log = table([0, 1, 0], (0.5, 0.5))
    found = estimate(log, always(0, log) - always(0, log), column([1.0, 0.0, 1.0], 0.3, 2))
    assert (found.mean, found.interval.low, found.interval.high) == (0.0, 0.0, 0.0)


def test_a_difference_is_that_of_the_two_means():
    # a: right on 3 of 4, b: on 1 of 2.
    log = table([0, 0, 0, 0, 1, 1], (0.7, 0.3))
    values = column([1.0, 1.0, 1.0, 0.0, 1.0, 0.0], 0.4, 2)
    found = estimate(log, always(1, log) - always(0, log), values)
    assert found.mean == pytest.approx(0.5 - 0.75)
    assert not found.interval.excludes_zero


def test_what_people_have_in_common_widens_the_interval():
    drawn, right = [1] * 40, [1.0, 1.0, 0.0, 0.0] * 10
    alone, together = table(drawn, (0.5, 0.5)), table(drawn, (0.5, 0.5), [i // 2 for i in range(40)])
    values = column(right, 0.5, 2)
    narrow, wide = (estimate(t, always(1, t), values).interval for t in (alone, together))
    # Pairs agree: 40 requests say what 20 do.
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)


def test_missing_values_weigh_by_how_probably_they_were_seen():
    log = table([1, 1, 1, 1], (0.5, 0.5))
    values = Column(
        value=np.array([1.0, 0.0, np.nan, np.nan]),
        expected=np.full((4, 2), 0.5),
        chance=np.array([0.25, 0.75, 0.5, 0.5]),
        share=True,
    )
    # Weights 1/0.25 and 1/0.75, so the first counts three times: 3/4.
    assert estimate(log, always(1, log), values).mean == pytest.approx(0.75)


def test_costs_of_an_arm_that_was_never_drawn_are_unknown():
    log = table([0] * 9, (0.9, 0.1))
    found = estimate(log, always(1, log), column([0.1] * 9, 0.1, 2, share=False))
    assert np.isinf(found.interval.high)


def test_a_share_has_wilsons_interval_at_least():
    exact = wilson(45, 50)
    down, up = share_interval(0.9, 50, Z95)
    assert 0.9 - down <= exact.low + 1e-12
    assert 0.9 + up >= exact.high - 1e-12
    assert share_interval(0.3, 0, Z95) == (0.3, 0.7)


def test_equal_weights_count_as_they_are_many():
    assert effective(np.array([2.0, 2.0, 2.0])) == pytest.approx(3.0)
    assert effective(np.array([1.0, 0.0])) == pytest.approx(1.0)
    assert effective(np.zeros(3)) == 0.0
