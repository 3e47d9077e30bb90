"""How values of two versions become one stream, and how much of it one unit can make up."""

import numpy as np
import pytest

from mar.traffic.comparing import Reading, stream, without


def reading(unit, new, value):
    return Reading(unit=unit, new=new, value=value)


def others(new, value, count, start=0):
    return [reading(f"{new}{i}", new, value) for i in range(start, start + count)]


def test_values_are_compared_as_soon_as_both_versions_have_some():
    seen = [reading("a", False, 1.0), reading("b", False, 0.0), reading("c", True, 1.0), reading("d", True, 0.0)]
    assert stream(seen, "quality", 0.0).tolist() == [0.5]  # 1 less the mean of 1 and 0; d waits for another old one
    assert stream(seen, "failures", 0.0).tolist() == [-0.5]


def test_one_unit_gets_one_place_of_twenty_and_what_he_said_meanwhile_counts_as_its_mean():
    liar = [reading("liar", True, float(i == 0)) for i in range(100)]  # 1 once, then 0
    seen = [x for i in range(100) for x in (liar[i], *others(True, 1.0, 1, i), *others(False, 0.0, 1, i))]
    values = stream(seen, "quality", 0.0)
    assert len(values) == 100  # the old version has so many
    # He sits first, and again each time 20 others more have sat: with nothing but zeros to tell.
    alone = stream([x for x in seen if x.new is False or x.unit == "liar"], "quality", 0.0)
    assert len(alone) == 1
    assert without(seen, "liar") == [x for x in seen if x.unit != "liar"]


def test_cost_is_compared_in_sums_of_ten_against_what_the_margin_allows():
    old, new = others(False, 1.0, 10), others(True, 1.1, 10)
    assert stream([*old, *new], "cost", 0.1) == pytest.approx([0.0])
    assert stream([*old, *new[:9]], "cost", 0.1).size == 0
    twice = stream([*old, *others(True, 3.3, 10)], "cost", 0.1)
    assert twice == pytest.approx([-0.5])  # (1.1 - 3.3) / (1.1 + 3.3)


def test_models_that_cost_nothing_are_equally_dear():
    assert stream([*others(False, 0.0, 10), *others(True, 0.0, 10)], "cost", 0.1).tolist() == [0.0]


def test_where_versions_are_alike_the_mean_is_none_whatever_the_shares_and_however_heavy_the_tail():
    random = np.random.default_rng(0)
    seen = [reading(str(i), bool(random.random() < 0.05), random.lognormal(0, 2)) for i in range(60_000)]
    for measure in ("cost", "seconds"):
        values = stream(seen, measure, 0.0)
        assert abs(values.mean()) < 3 * values.std() / len(values) ** 0.5
