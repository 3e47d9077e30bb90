"""When queries arrive: open-loop patterns, so that slow answers do not slow arrivals."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast, get_args

from mar.errors import ConfigError

Pattern = Literal["poisson", "constant", "microburst", "sustained"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
SUSTAINED_FACTOR = 3.0  # "sustained" is three times the base rate, as published


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """An arrival process."""

    rate: float  # requests per second
    pattern: Pattern = "poisson"
    burst_duration: float = 3.0  # microburst: seconds that a spike lasts
    spike_intensity: float = 10.0  # microburst: what the rate is multiplied by
    spike_period: float = 20.0  # microburst: seconds from spike to spike

    def __post_init__(self) -> None:
        if self.pattern not in PATTERNS:
            raise ConfigError(f"--arrival_pattern is {self.pattern!r}; expected one of {', '.join(PATTERNS)}")
        for name in ("rate", "burst_duration", "spike_intensity", "spike_period"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"the arrivals' {name} is {value}; a positive number is expected")

    def rate_at(self, t: float) -> float:
        """Requests per second at second `t`."""
        if self.pattern == "sustained":
            return SUSTAINED_FACTOR * self.rate
        if self.pattern == "microburst" and t % self.spike_period < self.burst_duration:
            return self.spike_intensity * self.rate
        return self.rate

    @property
    def name(self) -> str:
        """For tables: the rate per minute and the pattern."""
        return f"{60 * self.rate:g}/min {self.pattern}"

    def times(self, n: int, *, seed: int) -> list[float]:
        """The first `n` arrival times in seconds, ascending; the same for the same seed.

        A non-homogeneous Poisson process by thinning (Lewis and Shedler 1979); "constant" is evenly spaced.
        """
        if self.pattern == "constant":
            return [i / self.rate for i in range(n)]
        rng = random.Random(f"arrivals/{seed}")
        most = max(self.rate_at(0.0), self.rate)
        t, times = 0.0, list[float]()
        while len(times) < n:
            t += rng.expovariate(most)
            if rng.random() * most <= self.rate_at(t):
                times.append(t)
        return times


def parse_rate(text: str) -> float:
    """Requests per second from "2", "2/s" or "120/min".

    Raises:
        ConfigError: The text is no positive rate.
    """
    match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(?:/\s*(s|sec|min|m|h))?\s*", text)
    try:
        value = float(match.group(1)) if match else math.nan
    except ValueError:
        value = math.nan
    if match is None or not (math.isfinite(value) and value > 0):
        raise ConfigError(f"--arrival_rate is {text!r}; expected a positive number like 2, 2/s or 120/min")
    return value / {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600}[cast(str, match.group(2) or "s")]


class ArrivalOptions(Protocol):
    """The options that scripts have for arrivals."""

    @property
    def arrival_rate(self) -> str | None: ...  # noqa: D102
    @property
    def arrival_rates(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def arrival_pattern(self) -> Pattern: ...  # noqa: D102
    @property
    def arrival_patterns(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def burst_duration(self) -> float: ...  # noqa: D102
    @property
    def spike_intensity(self) -> float: ...  # noqa: D102
    @property
    def spike_period(self) -> float: ...  # noqa: D102


def sweep(options: ArrivalOptions, otherwise: Sequence[float] = ()) -> tuple[Arrivals, ...]:
    """Every rate with every pattern that options name.

    Args:
        options: One rate or several, one pattern or several; the lists go before the single ones.
        otherwise: Rates per second where the options name none.

    Raises:
        ConfigError: A rate or a pattern cannot be used.
    """
    o = options
    given = o.arrival_rates or (() if o.arrival_rate is None else (o.arrival_rate,))
    return tuple(
        Arrivals(
            rate=rate,
            pattern=cast(Pattern, pattern),
            burst_duration=o.burst_duration,
            spike_intensity=o.spike_intensity,
            spike_period=o.spike_period,
        )
        for pattern in o.arrival_patterns or (o.arrival_pattern,)
        for rate in [parse_rate(r) for r in given] or otherwise
    )
