"""The simulated chat model: a model of how well language models answer and of how fast they are served.

Nothing here is a language model. Answers come from the world that an experiment built, right or wrong by an
item-response model (`author`, `skill`, `outcome`); their time comes from simulated servers (`serving`, `scheduler`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager

import anyio

from mar.clock import ticks
from mar.concurrency import OpensPerLoop, beside
from mar.errors import CallTimeout, Charge, ConfigError, ServerFault
from mar.pool.cards import ModelCard
from mar.pool.pool import Pool
from mar.pool.simulated import texts
from mar.pool.simulated.assumptions import DEFAULT, Assumptions
from mar.pool.simulated.author import Author, Draft
from mar.pool.simulated.catalogue import ModelProfile, profiles_of, simulated_cards
from mar.pool.simulated.scheduler import Scheduler, Ticket
from mar.pool.simulated.serving import Job
from mar.pool.simulated.world import World
from mar.types import ChatReply, ChatRequest, Delta, DeltaHandler, ModelTelemetry

_PIECES = 4  # parts of a streamed reply


class SimulatedModel(OpensPerLoop[Scheduler]):
    """Answers for every model of a pool, simulated.

    Use it inside `async with` (a `Pool` does): its scheduler lives in a task group of its own.

    Args:
        world: What the models can be asked. An item that it does not know gets a fixed text that says so, with
            `finish_reason` "simulated_unknown".
        cards: The models; prices and limits are theirs.
        assumptions: All constants.
        seed: Of every hash draw and of every residual.
        profiles: Skills and speeds by model; by default the packaged catalogue's.

    Raises:
        ConfigError: A card names a model that has no profile.
    """

    def __init__(
        self,
        world: World,
        cards: Iterable[ModelCard],
        assumptions: Assumptions = DEFAULT,
        seed: int = 0,
        *,
        profiles: Mapping[str, ModelProfile] | None = None,
    ) -> None:
        self.world = world
        self.cards = {card.name: card for card in cards}
        self.assumptions = assumptions
        self.seed = seed
        self._profiles = profiles_of(self.cards) if profiles is None else dict(profiles)
        missing = [name for name in self.cards if name not in self._profiles]
        if missing:
            raise ConfigError(f"no profile (skills and speeds) for simulated model {missing[0]!r}")
        self._author = Author(world, self.cards, self._profiles, assumptions, seed)
        super().__init__("simulated servers")

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Scheduler]:
        speeds = {name: self._profiles[name].serving for name in self.cards}
        scheduler = Scheduler(speeds, contention=self.assumptions.gpu_contention)
        async with beside(scheduler.run):
            yield scheduler

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request.

        Raises:
            ConfigError: The pool has no such model, or was not entered.
            ContextOverflow: The prompt leaves no room in the model's context.
            CallTimeout: The simulated server took longer than the request's (or the card's) time limit, or a fault
                was drawn.
            ServerFault: A fault was drawn.
        """
        scheduler = self._open_scheduler(request.model)
        draft = self._author.draft(request)
        limit = request.timeout_s or self.cards[request.model].timeout_s
        await self._fail_by_chance(draft.chance, limit)
        job = Job(
            id=draft.message_id or request.sample,
            model=request.model,
            priority=request.priority,
            arrival=anyio.current_time(),
            prompt_tokens=draft.prompt_tokens,
            completion_tokens=draft.completion_tokens,
            pieces=1 if on_delta is None else _PIECES,
        )
        await self._serve(scheduler, job, draft.text, limit, on_delta)
        self._author.remember(draft)
        return self._reply(job, draft, streamed=on_delta is not None)

    def recall(self, request: ChatRequest) -> None:
        """Remember the message that a request produces, without serving it.

        For a cache in front of the simulator: outcomes are functions of the request, so a reply that came from a
        cache can be remembered as if it had been computed, and later messages that read it draw the same.
        """
        self._author.remember(self._author.draft(request))

    def telemetry(self) -> Mapping[str, ModelTelemetry]:
        """Load of every model, as its server would report it now; unknown before the pool is entered."""
        scheduler = self._here.get()
        if scheduler is None:
            return {name: ModelTelemetry(model=name) for name in self.cards}
        return scheduler.telemetry()

    def _open_scheduler(self, model: str) -> Scheduler:
        if model not in self.cards:
            raise ConfigError(f"unknown model {model!r}; the simulator has: {', '.join(self.cards)}")
        scheduler = self._here.get()
        if scheduler is None:
            raise ConfigError("the simulated pool is not open; use it inside `async with pool:`")
        return scheduler

    async def _fail_by_chance(self, chance: float, limit: float) -> None:
        if chance >= self.assumptions.fault_rate:
            return
        if chance < self.assumptions.fault_rate / 2:
            raise ServerFault("simulated fault: the server answered 500")
        await anyio.sleep(ticks(limit))
        raise CallTimeout(f"simulated fault: no answer within {limit:g} s")

    async def _serve(
        self, scheduler: Scheduler, job: Job, text: str, limit: float, on_delta: DeltaHandler | None
    ) -> None:
        ticket = scheduler.submit(job, timeout=limit)
        try:
            await _receive(ticket, text, on_delta)
        finally:
            scheduler.forget(job)
        if ticket.timed_out:
            tokens = {"prompt_tokens": job.prompt_tokens, "completion_tokens": job.completion_tokens}
            charge = Charge(charged="yes", **tokens)  # a server goes on with what nobody waits for
            raise CallTimeout(f"the simulated server of {job.model} gave no answer within {limit:g} s", charge=charge)

    def _reply(self, job: Job, draft: Draft, *, streamed: bool) -> ChatReply:
        overhead = ticks(self._profiles[job.model].serving.overhead_s)
        return ChatReply(
            text=draft.text,
            model=job.model,
            prompt_tokens=draft.prompt_tokens,
            completion_tokens=draft.completion_tokens,
            finish_reason=draft.finish_reason,
            calls=draft.calls,
            mean_logprob=draft.mean_logprob,
            latency_s=job.finish - job.arrival + overhead,
            ttft_s=job.first - job.arrival + overhead if streamed else None,
        )


async def _receive(ticket: Ticket, text: str, on_delta: DeltaHandler | None) -> None:
    if on_delta is None:
        await ticket.wait()
        return
    parts = texts.pieces(text, ticket.job.pieces)
    shown = 0
    while ticket.pieces < ticket.job.pieces:
        await ticket.wait()
        if ticket.timed_out:
            return
        ready = len(parts) if ticket.pieces == ticket.job.pieces else min(ticket.pieces, len(parts))
        for part in parts[shown:ready]:
            on_delta(Delta(text=part))
        shown = max(shown, ready)


def simulated_pool(
    world: World, *, cards: Iterable[ModelCard] | None = None, assumptions: Assumptions = DEFAULT, seed: int = 0
) -> Pool:
    """A pool of simulated models, labelled so, that runs on virtual time.

    Args:
        world: What the models can be asked.
        cards: The models; by default the whole catalogue.
        assumptions: All constants of the simulator.
        seed: Of every draw.

    Raises:
        ConfigError: A card names a model that the catalogue does not have.
    """
    chosen = simulated_cards() if cards is None else list(cards)
    model = SimulatedModel(world, chosen, assumptions, seed)
    return Pool(chosen, model, kind="simulated", virtual_time=True)
