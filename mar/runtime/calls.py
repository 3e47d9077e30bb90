"""The calls of one move: prompts that fit the model's context, each call held to the limits and written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, cast

import anyio

from mar.errors import CallError, ContextOverflow, LimitReached
from mar.runtime.ledger import Meter, estimate_tokens
from mar.runtime.prompts import AgentAsk, DecideAsk, Role
from mar.runtime.state import EpisodeState
from mar.runtime.tool_use import ToolUse
from mar.runtime.toolkit import ToolReport
from mar.types import (
    SIMULATED_UNKNOWN,
    ZERO_USAGE,
    Binding,
    CallAnswered,
    CallContext,
    CallFailed,
    CallKind,
    ChatReply,
    ChatRequest,
    DeltaHandler,
    Failure,
    FailureKind,
    Feedback,
    Message,
    Move,
    PromptTrimmed,
    Query,
    Said,
    ServerAdapted,
    Usage,
)

MOST_FITS = 4  # forms of a prompt that are tried, each shorter than the one before
SHRINK = 0.75  # how much of the tokens of a prompt that did not fit, by the estimate, the next form may have
Ask = TypeVar("Ask", AgentAsk, DecideAsk)


def as_failure(error: CallError, *, prefix: str = "") -> Failure:
    """A failed call as data."""
    return Failure(
        kind=cast(FailureKind, error.kind),
        reason=prefix + str(error),
        attempts=error.attempts,
        retry_after_s=error.retry_after_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted(Generic[Ask]):
    """A prompt that fits its model's context."""

    ask: Ask  # what is still asked
    messages: tuple[Message, ...]
    read: tuple[str, ...]  # ids of the agents' messages that it shows


@dataclass(frozen=True, slots=True)
class Heard:
    """What tools found out about the messages read."""

    feedback: Feedback
    read: tuple[str, ...]  # ids of the messages read; the one that the feedback is about stands last


def spoken(query: Query) -> tuple[Message, ...]:
    """The texts of a conversation as messages, with nothing of ours."""
    system = (Message(speaker="system", text=query.instructions),) if query.instructions else ()
    turns = (
        (Message(speaker="user", text=t.query), Message(speaker="assistant", text=t.answer)) for t in query.history
    )
    return (*system, *(message for turn in turns for message in turn), Message(speaker="user", text=query.text))


def ids(said: Sequence[Said]) -> tuple[str, ...]:
    """Ids of messages; one that was passed on goes by the id it was written under."""
    return tuple(s.source or s.id for s in said)


def heard(said: Sequence[Said], reports: Sequence[ToolReport | None], read: tuple[str, ...]) -> Heard:
    """The latest message that passed the shown tests, else the latest that failed them, decides the feedback."""
    found: dict[Feedback, str] = {}
    for message, report in zip(said, reports, strict=True):
        feedback = (report.feedback if report is not None else "") or message.feedback
        (identity,) = ids([message])
        if feedback and identity in read:
            found[feedback] = identity
    for feedback in ("passed", "failed"):
        if feedback in found:
            others = tuple(i for i in read if i != found[feedback])
            return Heard(feedback, (*others, found[feedback]))
    return Heard("", read)


@dataclass(slots=True, kw_only=True)
class Calls:
    """Makes the calls of one move."""

    state: EpisodeState
    move: Move
    role: Role
    revised: bool = False  # whether a revise call may follow the first
    usage: Usage = ZERO_USAGE  # of the calls so far, failed ones included
    _samples: dict[CallKind, str] = field(default_factory=dict["CallKind", str])

    async def forward(self, binding: Binding) -> ChatReply:
        """Send the client's own request on, to be answered as it is.

        Raises:
            CallError: The call failed for good.
            LimitReached: A limit in USD forbids the call.
        """
        query = self.state.query
        asked = self._request("agent", binding, spoken(query), Heard("", ()), verbatim=query.verbatim)
        return await self._send("agent", asked, final=True)

    async def say(
        self,
        kind: CallKind,
        binding: Binding,
        ask: Ask,
        read: tuple[str, ...],
        render: Callable[[Ask], tuple[Message, ...]],
        hear: Callable[[tuple[str, ...]], Heard],
    ) -> tuple[Fitted[Ask], ChatReply]:
        """Ask the model, with fewer peer messages each time its server says that the prompt does not fit.

        The estimate of tokens can be wrong, and the card, too; so the server has the last word. The last try shows
        no peer messages at all.

        Raises:
            CallError: The call failed for good.
            LimitReached: A limit in USD forbids the call.
        """
        card = self.state.means.pool.card(binding.model)
        limit = card.context_tokens - card.max_output_tokens
        for left in reversed(range(MOST_FITS)):
            fitted = self._fit(ask, read, limit, render)
            final = not left or not fitted.ask.peers
            try:
                return fitted, await self._answer(kind, binding, fitted.messages, hear(fitted.read), final=final)
            except ContextOverflow:
                if final:
                    raise
            ask, read = fitted.ask, fitted.read
            limit = int(estimate_tokens(fitted.messages) * SHRINK) if left > 1 else 0
        raise AssertionError("unreachable: the last try answers or raises")

    def _fit(
        self, ask: Ask, read: tuple[str, ...], limit: int, render: Callable[[Ask], tuple[Message, ...]]
    ) -> Fitted[Ask]:
        """A prompt with as many peer messages as fit a limit in tokens: they are left out oldest first.

        The first of the ids in `read` are those of `ask.peers`.
        """
        messages, dropped = render(ask), 0
        while ask.peers and estimate_tokens(messages) > limit:
            dropped += 1
            ask = replace(ask, peers=ask.peers[1:])
            messages = render(ask)
        if dropped:
            self.state.recorder.add(
                PromptTrimmed(
                    t=self.now(),
                    index=self.move.index,
                    round=self.move.round,
                    dropped=read[:dropped],
                    limit_tokens=limit,
                )
            )
        return Fitted(ask=ask, messages=messages, read=read[dropped:])

    async def _answer(
        self, kind: CallKind, binding: Binding, messages: tuple[Message, ...], known: Heard, *, final: bool
    ) -> ChatReply:
        """Ask until the model answers, with what the tools found that it has called.

        All calls of one message share its draw, so it is the same draw with tools and without.
        """
        use = ToolUse(state=self.state, move=self.move, names=self.role.tools)
        request = use.begin(self._request(kind, binding, messages, known))
        while True:
            try:
                reply = await self._send(kind, request, final=final and not use.can_shorten)
            except ContextOverflow:
                if not use.can_shorten:
                    raise
                request = use.shortened(request)
                continue
            if not (reply.calls and request.tools):
                return reply
            if not self.state.afford():
                raise LimitReached(f"the episode's budget of {self.state.over} is spent")
            request = await use.carry_out(request, reply, self.usage.cost_usd)

    async def _send(self, kind: CallKind, request: ChatRequest, *, final: bool) -> ChatReply:
        """One call. A prompt that does not fit is no failure unless this was the `final` form of it."""
        pool = self.state.means.pool
        meter = Meter(pool.card(request.model), self.state.ledger)
        began = self.now()
        try:
            reply = await pool.chat(replace(request, meter=meter), self._shown(kind, request))
        except CallError as error:
            error.attempts = meter.tries  # those that were made: a server that is left alone was not asked
            if final or not isinstance(error, ContextOverflow):
                self._failed(kind, request.model, as_failure(error), began, meter.lost)
            raise
        except LimitReached:
            if meter.lost != ZERO_USAGE:
                refused = Failure(kind="limit", reason="no money is left for another try", attempts=meter.tries)
                self._failed(kind, request.model, refused, began, meter.lost)
            raise
        except anyio.get_cancelled_exc_class():
            self._failed(kind, request.model, self._cut(meter.tries), began, meter.lost)
            raise
        tries = meter.tries or reply.attempts  # of what nobody was asked for now, as many as it took then
        self._answered(kind, request, reply, pool.usage(reply), tries)
        return reply

    def _shown(self, kind: CallKind, request: ChatRequest) -> DeltaHandler | None:
        """Who is shown the reply while it is written: only where it is certain to be the answer."""
        hidden = not self.move.final or (kind == "agent" and self.revised) or request.tools
        return None if hidden else self.state.on_delta

    def _cut(self, tries: int) -> Failure:
        if self.state.settled:
            return Failure(kind="called_off", reason="the answer was settled without it", attempts=tries)
        return Failure(kind="limit", reason="cut off while under way", attempts=tries)

    def _request(
        self,
        kind: CallKind,
        binding: Binding,
        messages: tuple[Message, ...],
        known: Heard,
        *,
        verbatim: Mapping[str, Any] | None = None,
    ) -> ChatRequest:
        means, move = self.state.means, self.move
        strategy = means.prompts.strategies.get(binding.strategy or "")
        client = self.state.query.verbatim or {}  # whose wishes hold where its request is not sent on, too
        wished = client.get("max_completion_tokens") or client.get("max_tokens") if move.final else None
        limits = (means.max_tokens, None if strategy is None else strategy.max_tokens, wished)
        return ChatRequest(
            model=binding.model,
            messages=messages,
            max_tokens=min((n for n in limits if n is not None), default=None),
            temperature=means.temperature if (wanted := client.get("temperature")) is None else wanted,
            top_p=client.get("top_p"),
            logprobs=move.logprobs,
            priority=binding.priority,
            timeout_s=means.request_timeout_s,
            longest_wait_s=means.longest_wait_s,
            sample=self.sample(kind),
            verbatim=verbatim,
            context=CallContext(
                item=self.state.query.id,
                message_id=self.message_id(kind),
                read=known.read,
                kind=kind,
                role=self.role.name,
                output=self._output,
                feedback=known.feedback,
                strategy=binding.strategy,
                mode=move.mode,
                round=move.round,
                index=move.index,
            ),
        )

    @property
    def _output(self) -> str:
        if self.move.kind == "decider":
            return "answer"
        return "answer" if self.move.answers and self.role.output == "text" else self.role.output

    # Records ---------------------------------------------------------------------------------------------------

    def _answered(self, kind: CallKind, request: ChatRequest, reply: ChatReply, usage: Usage, tries: int) -> None:
        state, move = self.state, self.move
        self._count(usage, cached=reply.cached)
        if reply.finish_reason == SIMULATED_UNKNOWN:
            reason = "the simulated pool knows nothing about this query"
            state.unknown_item = Failure(kind="simulated", reason=reason)
        if reply.learned:
            state.recorder.add(
                ServerAdapted(
                    t=self.now(), index=move.index, round=move.round, model=reply.model, learned=reply.learned
                )
            )
        state.recorder.add(
            CallAnswered(
                t=self.now(),
                index=move.index,
                round=move.round,
                call=kind,
                model=reply.model,
                message_id=self.message_id(kind),
                prompt=request.messages if state.means.keep_prompts else (),
                text=reply.text,
                reasoning=reply.reasoning,
                usage=usage,
                latency_s=reply.latency_s,
                ttft_s=reply.ttft_s,
                mean_logprob=reply.mean_logprob,
                finish_reason=reply.finish_reason,
                attempts=tries,
                cached=reply.cached,
                read=() if request.context is None else request.context.read,
                calls=reply.calls,
            )
        )

    def _failed(self, kind: CallKind, model: str, failure: Failure, began: float, lost: Usage) -> None:
        self._count(lost, cached=False)
        self.state.recorder.add(
            CallFailed(
                t=self.now(),
                index=self.move.index,
                round=self.move.round,
                call=kind,
                model=model,
                failure=failure,
                latency_s=self.now() - began,
                usage=lost,
            )
        )

    def _count(self, usage: Usage, *, cached: bool) -> None:
        self.state.count(usage, cached=cached)
        self.usage += usage

    def now(self) -> float:
        """Seconds since the episode began."""
        return self.state.recorder.now()

    def sample(self, kind: CallKind) -> str:
        """Identity of a call's draw."""
        if kind not in self._samples:
            move, again = self.move, f".{self.move.again}" if self.move.again else ""
            call = f"{move.round}.{kind}{again}"
            self._samples[kind] = self.state.identity.sample(self.state.query.id, move.index, call)
        return self._samples[kind]

    def message_id(self, kind: CallKind) -> str:
        """Identity of the message that a call produces."""
        return f"{self.sample(kind)}-{self.state.policy_id}"
