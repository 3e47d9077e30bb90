"""Answers that real LLMs once gave: a pool that replays recordings.

A recording is the answer of one LLM to one item, asked alone. So only an agent's first call that has read nobody is
answered; a discussion, a revision or a decider needs answers that nobody recorded, and fails as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import anyio

from mar.clock import ticks
from mar.errors import NoRecording
from mar.pool.cards import ModelCard
from mar.pool.pool import Pool, Reach
from mar.types import CallContext, ChatReply, ChatRequest, Delta, DeltaHandler


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One LLM's recorded answer to one item. None: not recorded."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    score: float | None = None  # as its publisher graded it, 0 to 1
    latency_s: float | None = None
    chars: int | None = None  # length of the answer as it was given, where `text` is not all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingKey:
    """Which item, answered by which model."""

    item: str  # Query.id
    model: str  # name of the model card


class ReplayModel:
    """Answers from recordings; a recorded latency passes on the event loop's clock."""

    def __init__(self, recordings: Mapping[RecordingKey, Recording]) -> None:
        self._recordings = dict(recordings)
        known = {key.model for key in self._recordings}
        self._stated = frozenset(known - {k.model for k, r in self._recordings.items() if r.cost_usd is None})
        self.timed = all(r.latency_s is not None for r in self._recordings.values())

    def stated_costs(self) -> frozenset[str]:
        """Models with a recorded cost for every item."""
        return self._stated

    def recorded_cost(self, request: ChatRequest) -> float | None:
        """What the answer cost when it was recorded; nothing where there is none to replay."""
        try:
            return self._find(request).cost_usd
        except NoRecording:
            return 0.0

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request.

        Raises:
            NoRecording: Nobody recorded an answer to this.
        """
        recording = self._find(request)
        await anyio.sleep(ticks(recording.latency_s or 0.0))
        if on_delta is not None:
            on_delta(Delta(text=recording.text))
        return ChatReply(
            text=recording.text,
            model=request.model,
            prompt_tokens=recording.prompt_tokens,
            completion_tokens=recording.completion_tokens,
            latency_s=recording.latency_s or 0.0,
            cost_usd=recording.cost_usd,
        )

    def _find(self, request: ChatRequest) -> Recording:
        context = request.context
        if context is None:
            raise NoRecording(f"{request.model}: the request does not say which item it is about; recordings need it")
        if not _asks_alone(context):
            raise NoRecording(
                f"{request.model}: item {context.item!r}, {context.kind} call of round {context.round} that reads "
                f"{len(context.read)} messages; recordings answer an agent's first call that reads none"
            )
        if request.tools:
            raise NoRecording(f"{request.model}: item {context.item!r}; recordings are of answers without tools")
        recording = self._recordings.get(RecordingKey(item=context.item, model=request.model))
        if recording is None:
            raise NoRecording(f"{request.model}: no recorded answer to item {context.item!r}")
        return recording


def _asks_alone(context: CallContext) -> bool:
    return context.kind == "agent" and context.round == 0 and not context.read


def replay_pool(
    recordings: Mapping[RecordingKey, Recording], cards: Iterable[ModelCard] | None = None, *, reach: Reach = "alone"
) -> Pool:
    """A pool that replays recordings, on virtual time.

    Args:
        recordings: The answers.
        cards: The models; None: a bare card for every model that was recorded, in alphabetical order.
        reach: "single" where the texts only stand for scores.
    """
    if cards is None:
        cards = [ModelCard(name=name) for name in sorted({key.model for key in recordings})]
    return Pool(cards, ReplayModel(recordings), kind="replay", virtual_time=True, reach=reach)
