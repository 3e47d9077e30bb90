"""Layout of a conversation as a picture: a lane per agent, a box per utterance, an arrow for what was read.

Boxes stand in columns, not to the scale of time: a box is right of everything that it read, of what its agent said
before, and of all earlier rounds; where moves were decided one after another, also of everything that had ended when
its move began. The decider comes last. Seconds are written into the boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from mar.evaluation.report.conversation import Conversation, Utterance

LEFT, TOP = 170, 34  # room for the lanes' names and for the rounds', pixels
BOX_WIDTH, BOX_HEIGHT = 178, 58
COLUMN, LANE = 222, 82  # from one box to the next
INSTANT_S = 1e-6  # times closer than this are one


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """An utterance at its place."""

    x: int
    y: int
    utterance: Utterance


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The columns of one round."""

    x: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The row of one agent."""

    y: int  # of its middle
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A picture to draw; lengths in pixels."""

    width: int
    height: int
    lanes: tuple[Lane, ...]
    bands: tuple[Band, ...]
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]  # SVG path data


def draw(conversation: Conversation) -> Graph:
    """Lay out a conversation."""
    columns = _columns(conversation.utterances, stepwise=conversation.stepwise)
    boxes = {u.number: _box(u, columns[u.number]) for u in conversation.utterances}
    arrows = [_arrow(boxes[n], box) for box in boxes.values() for n in box.utterance.read]
    starts = [(columns[u.number], _stage(u)) for u in sorted(conversation.utterances, key=lambda u: columns[u.number])]
    bands = [starts[0], *(b for a, b in pairwise(starts) if a[1] != b[1])] if starts else []
    return Graph(
        width=LEFT + COLUMN * (max(columns.values(), default=0) + 1),
        height=TOP + LANE * len(conversation.lanes) + 6,
        lanes=tuple(Lane(y=TOP + LANE * i + LANE // 2, name=name) for i, name in enumerate(conversation.lanes)),
        bands=tuple(Band(x=LEFT + COLUMN * c, name=_stage_name(stage)) for c, stage in bands),
        boxes=tuple(boxes.values()),
        arrows=tuple(arrows),
    )


def _stage(utterance: Utterance) -> tuple[int, int]:
    """Rounds in order, then the decision."""
    return (1, 0) if utterance.kind == "decider" else (0, utterance.round)


def _stage_name(stage: tuple[int, int]) -> str:
    return "decision" if stage[0] else f"round {stage[1] + 1}"


def _columns(utterances: tuple[Utterance, ...], *, stepwise: bool) -> dict[int, int]:
    """Column of each utterance, by number."""
    columns: dict[int, int] = {}
    by_lane: dict[int, int] = {}  # first free column
    floor, free, stage = 0, 0, (0, 0)
    for u in sorted(utterances, key=lambda u: (_stage(u), u.number)):
        if _stage(u) != stage:
            stage, floor = _stage(u), free
        seen = [*u.read, *(o.number for o in utterances if stepwise and o.end_s <= u.begin_s + INSTANT_S)]
        after = [columns[n] + 1 for n in seen if n in columns]
        columns[u.number] = max([floor, by_lane.get(u.lane, 0), *after])
        by_lane[u.lane] = columns[u.number] + 1
        free = max(free, columns[u.number] + 1)
    return columns


def _box(utterance: Utterance, column: int) -> Box:
    y = TOP + LANE * utterance.lane + (LANE - BOX_HEIGHT) // 2
    return Box(x=LEFT + COLUMN * column, y=y, utterance=utterance)


def _arrow(source: Box, target: Box) -> str:
    """A curve from the right side of what was read to the left side of its reader."""
    x1, y1 = source.x + BOX_WIDTH, source.y + BOX_HEIGHT // 2
    x2, y2 = target.x - 7, target.y + BOX_HEIGHT // 2
    bend = max(24, min(90, (x2 - x1) // 2))
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
