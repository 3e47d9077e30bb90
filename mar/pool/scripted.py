"""A chat model that answers from a function: the double that tests of everything above use."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable

import anyio

from mar.clock import ticks
from mar.pool.cards import ModelCard
from mar.pool.pool import Pool
from mar.types import ChatReply, ChatRequest, Delta, DeltaHandler

Script = Callable[[ChatRequest], str | ChatReply | Awaitable[str | ChatReply]]


class ScriptedModel:
    """Answers every request from a function, and remembers what it was asked.

    Args:
        fn: Takes a request and gives a text or a whole reply, at once or awaited; it may raise `CallError`.
        latency_s: Seconds that each call takes on the event loop's clock.
    """

    def __init__(self, fn: Script, *, latency_s: float = 0.0) -> None:
        self._fn = fn
        self._latency_s = latency_s
        self.requests: list[ChatRequest] = []

    @property
    def calls(self) -> int:
        """How many requests came in."""
        return len(self.requests)

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request.

        Raises:
            CallError: Whatever the function raises.
        """
        self.requests.append(request)
        await anyio.sleep(ticks(self._latency_s))
        answer = self._fn(request)
        if inspect.isawaitable(answer):
            answer = await answer
        reply = self._reply(request, answer) if isinstance(answer, str) else answer
        if on_delta is not None:
            on_delta(Delta(text=reply.text))
        return reply

    def _reply(self, request: ChatRequest, text: str) -> ChatReply:
        """A reply whose token counts are words: exact enough to add up, and easy to derive by hand."""
        return ChatReply(
            text=text,
            model=request.model,
            prompt_tokens=sum(len(m.text.split()) for m in request.messages),
            completion_tokens=len(text.split()),
            latency_s=self._latency_s,
        )


def scripted_pool(
    fn: Script,
    names: Iterable[str] = ("a", "b"),
    *,
    latency_s: float = 0.0,
    price_in: float | None = 1.0,
    price_out: float | None = 2.0,
    virtual_time: bool = False,
) -> Pool:
    """A pool whose models all answer from one function; `pool.model` is its `ScriptedModel`.

    Args:
        fn: See `ScriptedModel`.
        names: Names of the models.
        latency_s: Seconds that each call takes.
        price_in: USD per million prompt tokens (words) of every model; None with `price_out` None: unknown.
        price_out: USD per million completion tokens (words) of every model.
        virtual_time: Whether the pool is meant for virtual time.
    """
    cards = [ModelCard(name=n, description=f"Scripted {n}.", price_in=price_in, price_out=price_out) for n in names]
    return Pool(cards, ScriptedModel(fn, latency_s=latency_s), kind="scripted", virtual_time=virtual_time)
