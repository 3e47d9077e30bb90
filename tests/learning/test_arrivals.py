"""Arrival processes: what rates mean, that means are right, that draws repeat themselves."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mar.errors import ConfigError
from mar.learning.arrivals import PATTERNS, Arrivals, parse_rate


@pytest.mark.parametrize(
    ("text", "per_second"),
    [
        ("2", 2.0),
        ("2/s", 2.0),
        ("0.5/sec", 0.5),
        ("120/min", 2.0),
        (" 30 / m ", 0.5),
        ("7200/h", 2.0),
        ("1e-1", 0.1),
    ],
)
def test_rates_are_read_per_second_minute_and_hour(text, per_second):
    assert parse_rate(text) == pytest.approx(per_second)


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "nan", "inf", "2/day", "2//s", "/s", "1e", "1e999", "2 3"])
def test_nonsense_is_no_rate(text):
    with pytest.raises(ConfigError) as error:
        parse_rate(text)
    assert "--arrival_rate" in str(error.value)
    assert repr(text) in str(error.value)
    assert "120/min" in str(error.value)


@pytest.mark.parametrize(
    "wrong", [{"rate": 0}, {"rate": math.nan}, {"burst_duration": -1}, {"spike_period": math.inf}, {"pattern": "tidal"}]
)
def test_processes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError):
        Arrivals(**{"rate": 1.0, **wrong})


def test_constant_arrivals_are_evenly_spaced():
    assert Arrivals(rate=4.0, pattern="constant").times(4, seed=9) == [0.0, 0.25, 0.5, 0.75]


# A count over time T with mean m has standard deviation sqrt(m): all checks below allow four of them.


def test_poisson_arrivals_come_at_the_rate_with_exponential_gaps():
    times = Arrivals(rate=2.0).times(20_000, seed=1)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    # 20,000 arrivals at 2/s take 10,000 s, standard deviation sqrt(20,000) / 2 = 71 s
    assert times[-1] == pytest.approx(10_000, abs=4 * 71)
    # P(gap > 1 s) = exp(-2) = 0.1353, standard deviation sqrt(0.1353 * 0.8647 / 20,000) = 0.0024
    assert sum(g > 1.0 for g in gaps) / len(gaps) == pytest.approx(math.exp(-2), abs=4 * 0.0024)


def test_sustained_arrivals_come_at_three_times_the_rate():
    times = Arrivals(rate=2.0, pattern="sustained").times(20_000, seed=1)
    assert times[-1] == pytest.approx(20_000 / 6, abs=4 * math.sqrt(20_000) / 6)


def test_microbursts_multiply_the_rate_while_a_spike_lasts():
    arrivals = Arrivals(rate=1.0, pattern="microburst", burst_duration=3.0, spike_intensity=10.0, spike_period=20.0)
    # A period of 20 s expects 3 s at 10/s and 17 s at 1/s: 30 in the spike, 17 outside, 47 together.
    times = arrivals.times(9_400, seed=3)  # about 200 periods, 4,000 s
    inside = sum(t % 20.0 < 3.0 for t in times)
    assert times[-1] == pytest.approx(4_000, rel=4 / math.sqrt(9_400))
    assert inside / len(times) == pytest.approx(30 / 47, abs=4 * math.sqrt(30 * 17 / 47**2 / 9_400))


def test_spikes_weaker_than_the_base_rate_thin_it_out():
    arrivals = Arrivals(rate=10.0, pattern="microburst", burst_duration=10.0, spike_intensity=0.1, spike_period=20.0)
    # A period expects 10 s at 1/s and 10 s at 10/s: a share of 10 / 110 in the spike.
    times = arrivals.times(5_500, seed=3)
    inside = sum(t % 20.0 < 10.0 for t in times)
    assert inside / len(times) == pytest.approx(1 / 11, abs=4 * math.sqrt(10 / 121 / 5_500))


@given(pattern=st.sampled_from(PATTERNS), n=st.integers(0, 60), seed=st.integers(0, 100))
def test_times_ascend_and_repeat_and_a_shorter_run_is_the_start_of_a_longer_one(pattern, n, seed):
    arrivals = Arrivals(rate=3.0, pattern=pattern)
    times = arrivals.times(n, seed=seed)
    assert len(times) == n
    assert times == sorted(times)
    assert all(t >= 0 for t in times)
    assert arrivals.times(n + 5, seed=seed)[:n] == times


def test_another_seed_draws_other_times():
    assert Arrivals(rate=3.0).times(5, seed=1) != Arrivals(rate=3.0).times(5, seed=2)
