"""A plan as a picture the size of a word: a dot for each agent, a line for whom it reads, a ring for who decides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from mar.errors import ConfigError
from mar.runtime import get_mode
from mar.types import Plan

STEP, LANE, EDGE = 18.0, 12.0, 5.0  # from dot to dot, across and down, and to the edge; pixels
TALLEST = 24.0  # between the first dot and the last one below it
RADIUS = 3.6
MOST_AGENTS = 12  # that are drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """An agent, or who decides."""

    x: float
    y: float
    decides: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A picture to draw; lengths in pixels."""

    width: float
    height: float
    radius: float
    dots: tuple[Dot, ...]
    lines: tuple[tuple[Dot, Dot], ...]
    rounds: int


@lru_cache(maxsize=1024)
def shape_of(plan: Plan) -> Shape:
    """A plan's picture; of a mode that is not known here the agents alone."""
    agents = len(plan.agents[:MOST_AGENTS])
    try:
        mode = get_mode(plan.mode)
        first, rounds = mode.graph(agents, plan.mode)[0], mode.n_rounds(plan.mode)
        waves, reads = first.waves(), first.reads_now
        decides = agents > 1 and not mode.votes and plan.decision in ("final", "agreed")
    except ConfigError:
        waves, reads, rounds, decides = tuple(range(agents)), ((),) * agents, 1, False
    columns = [[i for i in range(agents) if waves[i] == wave] for wave in range(max(waves) + 1)]
    tallest = max(map(len, columns))
    lane = min(LANE, TALLEST / max(1, tallest - 1))
    dots = {
        i: Dot(x=EDGE + STEP * wave, y=round(EDGE + lane * (place + (tallest - len(column)) / 2), 1))
        for wave, column in enumerate(columns)
        for place, i in enumerate(column)
    }
    lines = [(dots[source], dots[i]) for i in range(agents) for source in reads[i]]
    if decides:
        last = Dot(x=EDGE + STEP * len(columns), y=round(EDGE + lane * (tallest - 1) / 2, 1), decides=True)
        lines += [(dot, last) for i, dot in dots.items() if not any(i in sources for sources in reads)]
        dots[agents] = last
    return Shape(
        width=EDGE + max(dot.x for dot in dots.values()),
        height=round(2 * EDGE + lane * (tallest - 1), 1),
        radius=round(min(RADIUS, 0.36 * lane), 1),
        dots=tuple(dots.values()),
        lines=tuple(lines),
        rounds=rounds,
    )
