"""One agent's turn: hear the others, perhaps pass code through, call the model, use tools, perhaps revise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, cast

import anyio

from mar.concurrency import gather
from mar.errors import CallError, ContextOverflow, LimitReached
from mar.pool.simulated import UNKNOWN_REASON
from mar.runtime.account import Spent
from mar.runtime.decide import Utterance
from mar.runtime.identity import RunIdentity
from mar.runtime.ledger import Ledger, Meter, estimate_tokens
from mar.runtime.prompts import AgentAsk, DecideAsk, Peer, Role
from mar.runtime.tools import ToolReport, collect_hints
from mar.runtime.trace import Recorder
from mar.types import (
    ZERO_USAGE,
    AgentSpec,
    Binder,
    Binding,
    Budget,
    CallAnswered,
    CallContext,
    CallFailed,
    CallKind,
    ChatReply,
    ChatRequest,
    Failure,
    FailureKind,
    Feedback,
    Message,
    PassedThrough,
    Plan,
    PromptTrimmed,
    Query,
    ServerAdapted,
    StepBound,
    StepContext,
    StepFailed,
    StepFinished,
    ToolRan,
    Usage,
)
from mar.types.events import ToolName

if TYPE_CHECKING:
    from mar.runtime.engine import Runtime

SpentBudget = Literal["usd", "tokens", "seconds"]
MOST_FITS = 4  # forms of a prompt that are tried, each shorter than the one before
SHRINK = 0.75  # how much of the tokens of a prompt that did not fit, by the estimate, the next form may have
Ask = TypeVar("Ask", AgentAsk, DecideAsk)


def as_failure(error: CallError, *, prefix: str = "") -> Failure:
    """A failed call as data."""
    return Failure(kind=cast(FailureKind, error.kind), reason=prefix + str(error), attempts=error.attempts)


@dataclass(slots=True, kw_only=True)
class EpisodeState:
    """What the agents of one episode share."""

    runtime: Runtime
    query: Query
    plan: Plan
    identity: RunIdentity
    binder: Binder
    budget: Budget
    recorder: Recorder
    plan_id: str  # makes message ids of different plans differ
    started: float  # on the event loop's clock
    ledger: Ledger  # what the episode has paid of its budget in USD
    deadline_s: float | None = None  # after `started`; what binders are told instead of the budget's seconds
    tokens: int = 0  # known tokens of the calls so far
    spent: SpentBudget | None = None  # which budget has run out
    unknown_item: Failure | None = None  # a simulated pool that knows nothing about this query

    def remaining(self) -> Budget:
        """What is left of the budget."""
        limit = self.budget
        return Budget(
            seconds=None if limit.seconds is None else self.started + limit.seconds - anyio.current_time(),
            usd=None if limit.usd is None else limit.usd - self.ledger.spent_usd,
            tokens=None if limit.tokens is None else limit.tokens - self.tokens,
        )

    def count(self, usage: Usage, *, cached: bool) -> None:
        """Count what a call used against the budget. What the cache answers counts at the price once paid."""
        if cached:
            self.ledger.spent += Spent.of(usage.cost_usd, uncertain_usd=usage.uncertain_usd)
        self.tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)

    def afford(self) -> bool:
        """Whether another call may be made; remembers which budget forbids it."""
        left = self.remaining()
        if left.usd is not None and left.usd <= 0:
            self.spent = "usd"
        elif left.tokens is not None and left.tokens <= 0:
            self.spent = "tokens"
        return self.spent is None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted(Generic[Ask]):
    """A prompt that fits its model's context."""

    ask: Ask  # what is still asked
    messages: tuple[Message, ...]
    read: tuple[str, ...]  # ids of the agents' messages that it shows


@dataclass(slots=True, kw_only=True)
class Agent:
    """One agent in one round."""

    state: EpisodeState
    index: int
    round: int
    wave: int
    spec: AgentSpec
    role: Role
    kind: CallKind = "agent"
    instruction: str = "alone"
    revises: bool = True  # whether the mode lets roles make their revise call
    answers: bool = False  # whether this agent's text is read as the answer

    async def speak(self, heard: Sequence[Utterance], own: Utterance | None) -> Utterance | None:
        """Take the agent's turn. Returns None when it failed or the budget is spent; both are recorded."""
        try:
            return await self._turn(list(heard), own)
        except CallError as error:
            self.fail(as_failure(error))
        except LimitReached:
            self.state.spent = "usd"
        return None

    async def _turn(self, heard: list[Utterance], own: Utterance | None) -> Utterance | None:
        everything = heard if own is None else [*heard, own]
        reports = await self._aggregate(everything)
        passing = self._passing(everything, reports)
        if passing is not None:
            return self._pass_on(passing)
        if not self.state.afford():
            return None
        binding = await self._bind()
        ask = self._ask(heard, own, reports, binding)
        render = self.state.runtime.prompts.agent_messages
        fitted, reply = await self._say(
            "agent", binding, ask, _ids(everything), render, lambda read: _heard(everything, reports, read)
        )
        said = self._utterance("agent", reply)
        report = await self._post(said)
        if self.role.revise and self.revises and not (report and report.feedback == "passed") and self.state.afford():
            return self._finish(await self._revise(fitted, binding, said, report))
        return self._finish(_with_report(said, report))

    # Before the call -------------------------------------------------------------------------------------------

    async def _aggregate(self, everything: list[Utterance]) -> list[ToolReport | None]:
        tools, query = self.state.runtime.tools, self.state.query
        if self.role.aggregate == "run_tests" or self._may_pass_through:
            tool, jobs = "run_tests", [(lambda u=u: tools.run_tests(u.text, query)) for u in everything]
        elif self.role.aggregate == "run_code":
            tool, jobs = "run_code", [(lambda u=u: tools.run_code(u.text)) for u in everything]
        else:
            return [None] * len(everything)
        reports = await gather(jobs)
        for report in reports:
            self._record_tool(tool, report)
        return reports

    @property
    def _may_pass_through(self) -> bool:
        return self.role.domain == "Code" and self.role.output == "code" and bool(self.state.query.shown_tests.tests)

    def _passing(self, everything: list[Utterance], reports: list[ToolReport | None]) -> Utterance | None:
        if not self._may_pass_through:
            return None
        pairs = zip(reversed(everything), reversed(reports), strict=True)
        return next((_with_report(u, r) for u, r in pairs if r is not None and r.feedback == "passed"), None)

    def _pass_on(self, source: Utterance) -> Utterance:
        said = Utterance(
            message_id=self._message_id("agent"),
            index=self.index,
            round=self.round,
            role=self.role.name,
            model=None,
            text=source.text,
            report=source.report,
            feedback=source.feedback,
            mean_logprob=source.mean_logprob,
            confidence=source.confidence,
            source=source.source or source.message_id,
        )
        self.state.recorder.add(
            PassedThrough(
                t=self._now(),
                index=self.index,
                round=self.round,
                source=source.message_id,
                text=said.text,
                message_id=said.message_id,
            )
        )
        return self._finish(said)

    async def _bind(self) -> Binding:
        state = self.state
        now = anyio.current_time()
        seconds = state.budget.seconds if state.deadline_s is None else state.deadline_s
        context = StepContext(
            query=state.query,
            plan=state.plan,
            agent=self.spec,
            kind=self.kind,
            index=self.index,
            round=self.round,
            remaining=state.remaining(),
            deadline=None if seconds is None else state.started + seconds,
            now=now,
            started=state.started,
            telemetry=state.runtime.pool.telemetry(),
        )
        binding = await state.binder.bind(context)
        state.recorder.add(
            StepBound(
                t=self._now(),
                index=self.index,
                round=self.round,
                role=self.role.name,
                model=binding.model,
                strategy=binding.strategy,
                priority=binding.priority,
                log_prob=binding.log_prob,
                wave=self.wave,
            )
        )
        return binding

    def _ask(
        self, heard: list[Utterance], own: Utterance | None, reports: list[ToolReport | None], binding: Binding
    ) -> AgentAsk:
        peers = tuple(
            Peer(label=u.label, text=u.text, report=r.text if r is not None else u.report)
            for u, r in zip(heard, reports[: len(heard)], strict=True)
        )
        form = self.state.query.answer_format
        hints = collect_hints([u.text for u in heard], form) if self.role.aggregate == "hints" else ""
        return AgentAsk(
            role=self.role,
            query=self.state.query,
            round_instruction=self.instruction,
            strategy=binding.strategy,
            peers=peers,
            own=None if own is None else own.text,
            hints=hints,
            sole=self.answers,
        )

    def _fit(
        self, ask: Ask, read: tuple[str, ...], limit: int, render: Callable[[Ask], tuple[Message, ...]]
    ) -> _Fitted[Ask]:
        """A prompt with as many peer messages as fit a limit in tokens: they are left out oldest first.

        The first of the ids in `read` are those of `ask.peers`.
        """
        messages, dropped = render(ask), 0
        while ask.peers and estimate_tokens(messages) > limit:
            dropped += 1
            ask = replace(ask, peers=ask.peers[1:])
            messages = render(ask)
        if dropped:
            left_out = read[:dropped]
            self.state.recorder.add(
                PromptTrimmed(t=self._now(), index=self.index, round=self.round, dropped=left_out, limit_tokens=limit)
            )
        return _Fitted(ask=ask, messages=messages, read=read[dropped:])

    # The call --------------------------------------------------------------------------------------------------

    async def _say(
        self,
        kind: CallKind,
        binding: Binding,
        ask: Ask,
        read: tuple[str, ...],
        render: Callable[[Ask], tuple[Message, ...]],
        hear: Callable[[tuple[str, ...]], _Heard],
    ) -> tuple[_Fitted[Ask], ChatReply]:
        """Ask the model, with fewer peer messages each time its server says that the prompt does not fit.

        The estimate of tokens can be wrong, and the card, too; so the server has the last word. The last try shows
        no peer messages at all.
        """
        card = self.state.runtime.pool.card(binding.model)
        limit = card.context_tokens - card.max_output_tokens
        for left in reversed(range(MOST_FITS)):
            fitted = self._fit(ask, read, limit, render)
            final = not left or not fitted.ask.peers
            try:
                return fitted, await self._call(kind, binding, fitted.messages, hear(fitted.read), final=final)
            except ContextOverflow:
                if final:
                    raise
            ask, read = fitted.ask, fitted.read
            limit = int(estimate_tokens(fitted.messages) * SHRINK) if left > 1 else 0
        raise AssertionError("unreachable: the last try answers or raises")

    async def _call(
        self, kind: CallKind, binding: Binding, messages: tuple[Message, ...], heard: _Heard, *, final: bool
    ) -> ChatReply:
        """One call. A prompt that does not fit is no failure unless this was the `final` form of it."""
        runtime = self.state.runtime
        request = self._request(kind, binding, messages, heard)
        meter = Meter(runtime.pool.card(binding.model), self.state.ledger)
        began = self._now()
        try:
            reply = await runtime.pool.chat(replace(request, meter=meter))
        except CallError as error:
            if final or not isinstance(error, ContextOverflow):
                self._call_failed(kind, binding, as_failure(error), began, meter.lost)
            raise
        except LimitReached:
            if meter.lost != ZERO_USAGE:
                refused = Failure(kind="limit", reason="no money is left for another try", attempts=meter.tries)
                self._call_failed(kind, binding, refused, began, meter.lost)
            raise
        except anyio.get_cancelled_exc_class():
            cut = Failure(kind="limit", reason="cut off while under way", attempts=max(meter.tries, 1))
            self._call_failed(kind, binding, cut, began, meter.lost)
            raise
        self._answered(kind, request, reply, runtime.pool.usage(reply))
        return reply

    def _request(
        self,
        kind: CallKind,
        binding: Binding,
        messages: tuple[Message, ...],
        heard: _Heard,
    ) -> ChatRequest:
        runtime, query = self.state.runtime, self.state.query
        strategy = runtime.prompts.strategies.get(binding.strategy or "")
        limits = (runtime.max_tokens, None if strategy is None else strategy.max_tokens)
        return ChatRequest(
            model=binding.model,
            messages=messages,
            max_tokens=min((n for n in limits if n is not None), default=None),
            temperature=runtime.temperature,
            logprobs=self.state.plan.tie_break != "first" and kind != "decider",
            priority=binding.priority,
            timeout_s=runtime.request_timeout_s,
            sample=self._sample(kind),
            context=CallContext(
                item=query.id,
                message_id=self._message_id(kind),
                read=heard.read,
                kind=kind,
                role=self.role.name,
                output=self._output,
                feedback=heard.feedback,
                strategy=binding.strategy,
                mode=self.state.plan.mode.name,
                round=self.round,
                index=self.index,
            ),
        )

    @property
    def _output(self) -> str:
        if self.kind == "decider":
            return "answer"
        return "answer" if self.answers and self.role.output == "text" else self.role.output

    def _answered(self, kind: CallKind, request: ChatRequest, reply: ChatReply, usage: Usage) -> None:
        state = self.state
        state.count(usage, cached=reply.cached)
        if reply.finish_reason == UNKNOWN_REASON:
            reason = "the simulated pool knows nothing about this query"
            state.unknown_item = Failure(kind="simulated", reason=reason)
        if reply.learned:
            state.recorder.add(
                ServerAdapted(
                    t=self._now(), index=self.index, round=self.round, model=reply.model, learned=reply.learned
                )
            )
        state.recorder.add(
            CallAnswered(
                t=self._now(),
                index=self.index,
                round=self.round,
                call=kind,
                model=reply.model,
                message_id=self._message_id(kind),
                prompt=request.messages if state.runtime.keep_prompts else (),
                text=reply.text,
                reasoning=reply.reasoning,
                usage=usage,
                latency_s=reply.latency_s,
                ttft_s=reply.ttft_s,
                mean_logprob=reply.mean_logprob,
                finish_reason=reply.finish_reason,
                attempts=reply.attempts,
                cached=reply.cached,
                read=() if request.context is None else request.context.read,
            )
        )

    def _call_failed(self, kind: CallKind, binding: Binding, failure: Failure, began: float, lost: Usage) -> None:
        self.state.count(lost, cached=False)
        self.state.recorder.add(
            CallFailed(
                t=self._now(),
                index=self.index,
                round=self.round,
                call=kind,
                model=binding.model,
                failure=failure,
                latency_s=self._now() - began,
                usage=lost,
            )
        )

    # After the call --------------------------------------------------------------------------------------------

    async def _post(self, said: Utterance) -> ToolReport | None:
        tools = self.state.runtime.tools
        match self.role.post:
            case "run_tests":
                tool, report = "run_tests", await tools.run_tests(said.text, self.state.query)
                if report is None:
                    tool, report = "run_code", await tools.run_code(said.text)
            case "run_code":
                tool, report = "run_code", await tools.run_code(said.text)
            case "lookup":
                tool, report = "lookup", await tools.look_up(_search_words(said.text))
            case _:
                return None
        self._record_tool(tool, report)
        return report

    async def _revise(
        self, first: _Fitted[AgentAsk], binding: Binding, said: Utterance, report: ToolReport | None
    ) -> Utterance:
        found = "No code could be found in your draft." if report is None else report.text
        feedback: Feedback = "" if report is None else report.feedback
        revise = self.state.runtime.prompts.revise_messages
        read = (*first.read, said.message_id)
        try:
            _, reply = await self._say(
                "revise",
                binding,
                first.ask,
                read,
                lambda ask: revise(ask, said.text, found),
                lambda read: _Heard(feedback, read),
            )
        except (CallError, LimitReached) as error:
            if isinstance(error, LimitReached):
                self.state.spent = "usd"
            return _with_report(said, report)  # the draft stands; a failed call is in the trace
        revised = self._utterance("revise", reply)
        if self.role.post == "lookup":
            return revised
        return _with_report(revised, await self._post(revised))

    async def decide(self, said: Sequence[Utterance]) -> str | None:
        """The decider's turn: its text, or None when the budget is spent.

        Raises:
            CallError: The call failed for good.
        """
        reports = await self._aggregate(list(said))
        if not self.state.afford():
            return None
        binding = await self._bind()
        peers = tuple(
            Peer(label=u.label, text=u.text, report=u.report if r is None else r.text)
            for u, r in zip(said, reports, strict=True)
        )
        ask = DecideAsk(role=self.role, query=self.state.query, peers=peers)
        render = self.state.runtime.prompts.decide_messages
        try:
            _, reply = await self._say(
                "decider", binding, ask, _ids(said), render, lambda read: _heard(said, reports, read)
            )
        except LimitReached:
            self.state.spent = "usd"
            return None
        return reply.text

    # Records ---------------------------------------------------------------------------------------------------

    def _utterance(self, kind: CallKind, reply: ChatReply) -> Utterance:
        return Utterance(
            message_id=self._message_id(kind),
            index=self.index,
            round=self.round,
            role=self.role.name,
            model=reply.model,
            text=reply.text,
            mean_logprob=reply.mean_logprob,
            confidence=self._confidence(reply),
        )

    def _confidence(self, reply: ChatReply) -> float | None:
        """How sure the model is, in the units that the plan states for it."""
        scale = self.spec.confidence
        if scale is None or reply.mean_logprob is None or reply.model != self.spec.model:
            return None
        return scale.z(reply.mean_logprob)

    def _finish(self, said: Utterance) -> Utterance:
        self.state.recorder.add(
            StepFinished(t=self._now(), index=self.index, round=self.round, message_id=said.message_id, text=said.text)
        )
        return said

    def fail(self, failure: Failure) -> None:
        """Record that this agent produced nothing."""
        self.state.recorder.add(StepFailed(t=self._now(), index=self.index, round=self.round, failure=failure))

    def _record_tool(self, tool: str, report: ToolReport | None) -> None:
        if report is not None:
            self.state.recorder.add(
                ToolRan(
                    t=self._now(),
                    index=self.index,
                    round=self.round,
                    tool=cast(ToolName, tool),
                    summary=report.summary,
                    ok=report.ok,
                    failure=report.failure,
                )
            )

    def _now(self) -> float:
        return self.state.recorder.now()

    def _sample(self, kind: CallKind) -> str:
        return self.state.identity.sample(self.state.query.id, self.index, f"{self.round}.{kind}")

    def _message_id(self, kind: CallKind) -> str:
        return f"{self._sample(kind)}-{self.state.plan_id}"


def _search_words(text: str) -> str:
    """The key words on the line `Search: ...` that look-up roles write, else the last line."""
    lines = [line.strip() for line in text.strip().splitlines()] or [""]
    asked = next((line[7:] for line in reversed(lines) if line.lower().startswith("search:")), lines[-1])
    return asked.strip()


def _ids(said: Sequence[Utterance]) -> tuple[str, ...]:
    """Ids of messages; one that was passed on goes by the id it was written under."""
    return tuple(u.source or u.message_id for u in said)


def _with_report(said: Utterance, report: ToolReport | None) -> Utterance:
    return said if report is None else replace(said, report=report.text, feedback=report.feedback)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What tools found out about the messages read."""

    feedback: Feedback
    read: tuple[str, ...]  # ids of the messages read; the one that the feedback is about stands last


def _heard(said: Sequence[Utterance], reports: Sequence[ToolReport | None], read: tuple[str, ...]) -> _Heard:
    """The latest message that passed the shown tests, else the latest that failed them, decides the feedback."""
    found: dict[Feedback, str] = {}
    for utterance, report in zip(said, reports, strict=True):
        feedback = (report.feedback if report is not None else "") or utterance.feedback
        (identity,) = _ids([utterance])
        if feedback and identity in read:
            found[feedback] = identity
    for feedback in ("passed", "failed"):
        if feedback in found:
            others = tuple(i for i in read if i != found[feedback])
            return _Heard(feedback, (*others, found[feedback]))
    return _Heard("", read)
