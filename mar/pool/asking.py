"""What chat models can do beside answering, each told by a protocol, and how they are asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol, runtime_checkable

from mar.errors import BrokenOff, CallError, ConfigError
from mar.types import ChatModel, ChatReply, ChatRequest, Delta, DeltaHandler, ModelTelemetry


@runtime_checkable
class ReportsTelemetry(Protocol):
    """A chat model that knows the load of its models."""

    def telemetry(self) -> Mapping[str, ModelTelemetry]:
        """The latest figures of every model, by name."""
        ...


@runtime_checkable
class StatesCosts(Protocol):
    """A chat model whose replies carry their own cost, so that no price is needed."""

    def stated_costs(self) -> frozenset[str]:
        """Names of the models whose every reply has `cost_usd`."""
        ...


@runtime_checkable
class RecordsCosts(Protocol):
    """A chat model that can say before a request is answered what its answer costs."""

    def recorded_cost(self, request: ChatRequest) -> float | None:
        """USD; None: not recorded."""
        ...


@runtime_checkable
class RecordsTimes(Protocol):
    """A chat model that may not know how long answers took."""

    timed: bool  # whether it knows of all of them


@runtime_checkable
class Embeds(Protocol):
    """A chat model that also passes requests for vectors of texts on."""

    async def embed(self, request: ChatRequest) -> ChatReply:
        """The server's own reply to a client's own request for vectors, in `verbatim`."""
        ...


async def embed(model: ChatModel, request: ChatRequest) -> ChatReply:
    """Ask a model for vectors.

    Raises:
        ConfigError: It makes none.
        CallError: The call failed for good.
    """
    if not isinstance(model, Embeds):
        raise ConfigError(f"model {request.model!r} makes no vectors of texts: it answers chats only")
    return await model.embed(request)


async def ask(model: ChatModel, request: ChatRequest, on_delta: DeltaHandler | None) -> ChatReply:
    """Ask a model; what it does is one try for the request's meter.

    One whose `books_tries` is true may make several tries for an answer, and takes each through the meter itself.

    Raises:
        CallError: The call failed for good.
        LimitReached: The request's meter allows no try.
    """
    if getattr(model, "books_tries", False):
        return await model.chat(request, on_delta)
    return await unbroken(partial(_try, model, request), on_delta)


async def unbroken(
    answer: Callable[[DeltaHandler | None], Awaitable[ChatReply]], on_delta: DeltaHandler | None
) -> ChatReply:
    """An answer that does not begin anew once a part of it was shown.

    It lies around everything that makes one try (the meter, the breaker and the model's limits learn what really
    happened) and within everything that makes another one.

    Args:
        answer: Answers, and hands pieces on.
        on_delta: Takes the pieces.

    Raises:
        BrokenOff: It failed when a part of it had been shown.
        CallError: It failed before.
    """
    if on_delta is None:
        return await answer(None)
    shown = False

    def show(delta: Delta) -> None:
        nonlocal shown
        shown = True
        on_delta(delta)

    try:
        return await answer(show)
    except CallError as error:
        if not shown:
            raise
        raise BrokenOff(f"the answer broke off: {error}", charge=error.charge) from error


async def _try(model: ChatModel, request: ChatRequest, on_delta: DeltaHandler | None) -> ChatReply:
    if request.meter is None:
        return await model.chat(request, on_delta)
    recorded = model.recorded_cost(request) if isinstance(model, RecordsCosts) else None
    attempt = partial(model.chat, replace(request, meter=None), on_delta)
    return await request.meter(request, attempt, worst_usd=recorded)
