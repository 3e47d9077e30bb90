"""A pool: model cards, and one model that answers for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Protocol, Self

from mar.errors import ConfigError
from mar.pool.asking import RecordsTimes, ReportsTelemetry, StatesCosts, ask, embed
from mar.pool.cards import ModelCard
from mar.pool.costs import reply_usage
from mar.pool.openai_form import in_form
from mar.types import ChatModel, ChatReply, ChatRequest, DeltaHandler, ModelTelemetry, Usage

PoolKind = Literal["live", "simulated", "replay", "scripted"]
Reach = Literal[
    "anything",  # whatever is asked
    "alone",  # only an agent's first call, before it has read anybody: what was recorded
    "single",  # the same, and what it says stands for a score alone: no two of its answers can be compared
]
"""What a pool can answer; plans are cut to it (`mar.controllers.base.PlanSpace`)."""


class FindsPool(Protocol):
    """Finds the pool that is configured."""

    def __call__(
        self, pool_file: str | Path | None = None, *, env_file: str | Path = ".env", cache: bool = False
    ) -> Pool:
        """The pool that a pool file, .env or the environment configure; when nothing does, the simulated one.

        Args:
            pool_file: A pool file; None: the usual places.
            env_file: File of variables beside the process's own.
            cache: Whether a request that was answered before is answered from the response cache (docs/money.md).

        Raises:
            ConfigError: A file, a variable or one of their values cannot be used.
        """
        ...


class Pool:
    """The models that agents can run on.

    Use it as an asynchronous context manager: `async with pool:` opens what its chat model needs (connections, a
    scheduler) in the running event loop and closes it again; a model has its own in each loop, so threads may share a
    pool. `kind` says where answers come from and stands in every table made with it, `reach` what can be asked. Models
    that make vectors of texts are no part of `cards`, which plans are made of, but of `embedders`.
    """

    from_env: ClassVar[FindsPool]  # set by `mar.pool`: what finds pools is built on this class

    def __init__(
        self,
        cards: Iterable[ModelCard],
        model: ChatModel,
        *,
        kind: PoolKind,
        virtual_time: bool = False,
        reach: Reach = "anything",
    ) -> None:
        self.cards: dict[str, ModelCard] = {}
        self.embedders: dict[str, ModelCard] = {}
        for card in cards:
            if card.name in self.cards or card.name in self.embedders:
                raise ConfigError(f"the pool names model {card.name!r} twice; names must differ")
            (self.embedders if card.embeddings else self.cards)[card.name] = card
        if not self.cards:
            raise ConfigError("the pool has no models; at least one is needed")
        self.model = model
        self.kind: PoolKind = kind
        self.virtual_time = virtual_time
        self.reach: Reach = reach
        self._reports = model if isinstance(model, ReportsTelemetry) else None  # asked once: the check is slow

    @property
    def simulated(self) -> bool:
        """Whether answers are made up by a simulator."""
        return self.kind == "simulated"

    @property
    def free(self) -> bool:
        """Whether nobody is paid or asked: answers are made up or recorded."""
        return self.kind in {"simulated", "replay"}

    @property
    def timed(self) -> bool:
        """Whether its answers take the time that they take, or took."""
        return not isinstance(self.model, RecordsTimes) or self.model.timed

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models, in the pool's order."""
        return tuple(self.cards)

    def card(self, name: str) -> ModelCard:
        """The card of a model.

        Raises:
            ConfigError: The pool has no such model.
        """
        try:
            return self.cards[name]
        except KeyError:
            raise ConfigError(f"unknown model {name!r}; the pool has: {', '.join(self.cards)}") from None

    def without_price(self) -> tuple[str, ...]:
        """Models whose calls have an unknown cost."""
        stated = self.model.stated_costs() if isinstance(self.model, StatesCosts) else frozenset[str]()
        return tuple(name for name, card in self.cards.items() if not card.has_price and name not in stated)

    def restricted(self, *, allow: Iterable[str] | None = None, deny: Iterable[str] = ()) -> Pool:
        """The same pool with fewer models.

        Raises:
            ConfigError: A name is unknown, or nothing is left.
        """
        denied = {self.card(name).name for name in deny}
        allowed = set(self.cards) if allow is None else {self.card(name).name for name in allow}
        keep = [card for name, card in self.cards.items() if name in allowed - denied]
        return Pool(
            [*keep, *self.embedders.values()],
            self.model,
            kind=self.kind,
            virtual_time=self.virtual_time,
            reach=self.reach,
        )

    async def __aenter__(self) -> Self:
        if isinstance(self.model, AbstractAsyncContextManager):
            await self.model.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self.model, AbstractAsyncContextManager):
            await self.model.__aexit__(kind, error, trace)

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request.

        Raises:
            ConfigError: The pool has no such model.
            CallError: The call failed for good.
            LimitReached: The request's meter allows no further try.
        """
        self.card(request.model)
        if request.verbatim is None:
            return await ask(self.model, request, on_delta)
        return await in_form(partial(ask, self.model, request), on_delta, request.model)

    async def embed(self, request: ChatRequest) -> ChatReply:
        """Pass a client's own request for vectors of texts, its `verbatim`, on; the reply's is the server's own.

        Raises:
            ConfigError: The pool has no such model, or it makes no vectors.
            CallError: The call failed for good.
            LimitReached: The request's meter allows no further try.
        """
        if request.model not in self.embedders:
            offered = ", ".join(self.embedders) or "none"
            raise ConfigError(f"model {request.model!r} makes no vectors of texts; of this pool do: {offered}")
        return await embed(self.model, request)

    def usage(self, reply: ChatReply) -> Usage:
        """What one answer used and cost, the failed tries before it included."""
        card = self.embedders.get(reply.model) or self.card(reply.model)
        return reply_usage(reply, card) + reply.lost

    def telemetry(self) -> Mapping[str, ModelTelemetry]:
        """The latest figures of every model; unknown where the chat model does not report them."""
        if self._reports is None:
            return {name: ModelTelemetry(model=name) for name in self.cards}
        known = self._reports.telemetry()
        return {name: known.get(name) or ModelTelemetry(model=name) for name in self.cards}
