"""One move: hear the others, perhaps pass code through, call the model, use tools, perhaps revise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mar.concurrency import gather
from mar.errors import CallError, LimitReached
from mar.runtime.calls import Calls, Fitted, Heard, as_failure, heard, ids
from mar.runtime.prompts import UNCHECKED, AgentAsk, DecideAsk, Peer, Role
from mar.runtime.state import EpisodeState
from mar.runtime.toolkit import ToolReport
from mar.runtime.tools import collect_hints
from mar.types import (
    Binding,
    CallKind,
    ChatReply,
    Failure,
    Move,
    PassedThrough,
    Said,
    StepBound,
    StepFailed,
    StepFinished,
    ToolRan,
)


@dataclass(slots=True, kw_only=True)
class Turn:
    """Carries out one move of an episode."""

    state: EpisodeState
    move: Move
    role: Role
    wave: int
    calls: Calls = field(init=False)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        revised = self._revises and not self._verbatim
        self.calls = Calls(state=self.state, move=self.move, role=self.role, revised=revised)
        self.began = self.calls.now()

    async def take(self) -> Said:
        """Take the turn. What goes wrong with it is part of what it returns, and recorded."""
        said = await self._attempt()
        return replace(said, usage=self.calls.usage, latency_s=self._now() - self.began)

    async def _attempt(self) -> Said:
        state = self.state
        peers = [state.said[i] for i in self.move.reads]
        own = None if self.move.own is None else state.said[self.move.own]
        try:
            if self.move.kind == "decider":
                return await self._decide(peers)
            return await self._speak(peers, own)
        except CallError as error:
            failure = as_failure(error, prefix="the decider failed: " if self.move.kind == "decider" else "")
            state.recorder.add(StepFailed(t=self._now(), index=self.move.index, round=self.move.round, failure=failure))
            return self._nothing(failure)
        except LimitReached as error:
            state.over, state.refused = state.over or "usd", str(error)
            return self._nothing(Failure(kind="limit", reason=str(error)))

    async def _speak(self, peers: list[Said], own: Said | None) -> Said:
        everything = peers if own is None else [*peers, own]
        reports = await self._aggregate(everything)
        passing = self._passing(everything, reports)
        if passing is not None:
            return self._pass_on(passing)
        if not self.state.afford():
            return self._refused()
        binding = await self._bind()
        if self._verbatim:
            return await self._forward(binding)
        ask = self._ask(peers, own, reports, binding)
        render = self.state.means.prompts.agent_messages
        fitted, reply = await self.calls.say(
            "agent", binding, ask, ids(everything), render, lambda read: heard(everything, reports, read)
        )
        said = self._said("agent", reply, binding)
        report = await self._post(reply.text)
        if self._revises and not (report and report.feedback == "passed") and self.state.afford():
            return self._finish(await self._revise(fitted, binding, said, report))
        return self._finish(_with_report(said, report))

    @property
    def _verbatim(self) -> bool:
        """Whether the client's own request is sent on, without a role: nothing is added to what it says."""
        move = self.move
        first = move.kind == "agent" and not move.round and not move.reads and move.own is None
        return first and self.state.query.verbatim is not None

    async def _forward(self, binding: Binding) -> Said:
        reply = await self.calls.forward(binding)
        said = self._said("agent", reply, binding)
        report = await self._run_tests(reply.text) if self.move.check else None
        return self._finish(_with_report(said, report))

    async def _decide(self, peers: list[Said]) -> Said:
        reports = await self._aggregate(peers)
        if not self.state.afford():
            return self._refused()
        binding = await self._bind()
        shown = tuple(
            Peer(label=s.label, text=s.text or "", report=s.report if r is None else r.text)
            for s, r in zip(peers, reports, strict=True)
        )
        ask = DecideAsk(role=self.role, query=self.state.query, peers=shown)
        render = self.state.means.prompts.decide_messages
        _, reply = await self.calls.say(
            "decider", binding, ask, ids(peers), render, lambda read: heard(peers, reports, read)
        )
        said = self._said("decider", reply, binding)
        return _with_report(said, await self._post(reply.text)) if self.move.check else said

    # Before the call -------------------------------------------------------------------------------------------

    async def _aggregate(self, everything: list[Said]) -> list[ToolReport | None]:
        tools, query = self.state.means.tools, self.state.query
        check = "run_tests" if self._may_pass_through else self.role.aggregate
        if check in UNCHECKED:
            return [None] * len(everything)
        reports = await gather([(lambda t=s.text or "": tools.check(check, t, query)) for s in everything])
        for report in reports:
            self._record_tool(check, report)
        return reports

    @property
    def _may_pass_through(self) -> bool:
        return self.role.domain == "Code" and self.role.output == "code" and bool(self.state.query.shown_tests.tests)

    def _passing(self, everything: list[Said], reports: list[ToolReport | None]) -> Said | None:
        if not self._may_pass_through:
            return None
        pairs = zip(reversed(everything), reversed(reports), strict=True)
        return next((_with_report(s, r) for s, r in pairs if r is not None and r.feedback == "passed"), None)

    def _pass_on(self, passing: Said) -> Said:
        text = passing.text or ""
        said = Said(
            id=self.calls.message_id("agent"),
            move=self.move,
            text=text,
            report=passing.report,
            feedback=passing.feedback,
            mean_logprob=passing.mean_logprob,
            confidence=passing.confidence,
            source=passing.source or passing.id,
        )
        self.state.recorder.add(
            PassedThrough(
                t=self._now(),
                index=self.move.index,
                round=self.move.round,
                source=passing.id,
                text=text,
                message_id=said.id,
            )
        )
        return self._finish(said)

    async def _bind(self) -> Binding:
        move, agent = self.move, self.move.agent
        if move.bind is not None:
            binding = await move.bind(move, self.state.view())
        else:
            assert agent.model is not None  # the engine makes no other moves
            binding = Binding(
                model=agent.model, strategy=agent.strategy, priority=move.priority, log_prob=move.log_prob
            )
        self.state.recorder.add(
            StepBound(
                t=self._now(),
                index=move.index,
                round=move.round,
                role=self.role.name,
                model=binding.model,
                strategy=binding.strategy,
                priority=binding.priority,
                log_prob=binding.log_prob,
                wave=self.wave,
            )
        )
        return binding

    def _ask(self, peers: list[Said], own: Said | None, reports: list[ToolReport | None], binding: Binding) -> AgentAsk:
        shown = tuple(
            Peer(label=s.label, text=s.text or "", report=r.text if r is not None else s.report)
            for s, r in zip(peers, reports[: len(peers)], strict=True)
        )
        form = self.state.query.answer_format
        hints = collect_hints([s.text or "" for s in peers], form) if self.role.aggregate == "hints" else ""
        return AgentAsk(
            role=self.role,
            query=self.state.query,
            round_instruction=self.move.instruction,
            strategy=binding.strategy,
            peers=shown,
            own=None if own is None else own.text,
            hints=hints,
            sole=self.move.answers,
        )

    # After the call --------------------------------------------------------------------------------------------

    async def _post(self, text: str) -> ToolReport | None:
        tools, post = self.state.means.tools, self.role.post
        if self.move.check or post == "run_tests":
            report = await self._run_tests(text)
            if report is not None:
                return report
        if post == "none":
            return None
        check = "run_code" if post == "run_tests" else post  # where there is nothing to test, whether it runs at all
        report = await tools.check(check, text, self.state.query)
        self._record_tool(check, report)
        return report

    async def _run_tests(self, text: str) -> ToolReport | None:
        report = await self.state.means.tools.run_tests(text, self.state.query)
        self._record_tool("run_tests", report)
        return report

    @property
    def _revises(self) -> bool:
        return self.move.revises and self.role.revise and self.state.means.pool.reach == "anything"

    async def _revise(self, first: Fitted[AgentAsk], binding: Binding, said: Said, report: ToolReport | None) -> Said:
        found = "No code could be found in your draft." if report is None else report.text
        feedback = "" if report is None else report.feedback
        revise, draft = self.state.means.prompts.revise_messages, said.text or ""
        read = (*first.read, said.id)
        try:
            _, reply = await self.calls.say(
                "revise",
                binding,
                first.ask,
                read,
                lambda ask: revise(ask, draft, found),
                lambda read: Heard(feedback, read),
            )
        except (CallError, LimitReached) as error:
            if isinstance(error, LimitReached):
                self.state.over = self.state.over or "usd"
            return _with_report(said, report)  # the draft stands; a failed call is in the trace
        revised = self._said("revise", reply, binding)
        if self.role.post == "lookup" and not self.move.check:
            return revised
        return _with_report(revised, await self._post(reply.text))

    # What comes of it ------------------------------------------------------------------------------------------

    def _said(self, kind: CallKind, reply: ChatReply, binding: Binding) -> Said:
        return Said(
            id=self.calls.message_id(kind),
            move=self.move,
            text=reply.text,
            model=reply.model,
            strategy=binding.strategy,
            mean_logprob=reply.mean_logprob,
            confidence=self._confidence(reply),
            cut=reply.finish_reason == "length",
            verbatim=reply.verbatim if self._verbatim else None,
        )

    def _confidence(self, reply: ChatReply) -> float | None:
        """How sure the model is, in the units that its spec states for it."""
        scale = self.move.agent.confidence
        if scale is None or reply.mean_logprob is None or reply.model != self.move.agent.model:
            return None
        return scale.z(reply.mean_logprob)

    def _finish(self, said: Said) -> Said:
        self.state.recorder.add(
            StepFinished(
                t=self._now(),
                index=self.move.index,
                round=self.move.round,
                message_id=said.id,
                text=said.text or "",
            )
        )
        return said

    def _nothing(self, failure: Failure) -> Said:
        return Said(id=self.calls.message_id(self.move.kind), move=self.move, text=None, failure=failure)

    def _refused(self) -> Said:
        reason = f"the episode's budget of {self.state.over} is spent"
        return self._nothing(Failure(kind="limit", reason=reason))

    def _record_tool(self, tool: str, report: ToolReport | None) -> None:
        if report is not None:
            self.state.recorder.add(
                ToolRan(
                    t=self._now(),
                    index=self.move.index,
                    round=self.move.round,
                    tool=tool,
                    summary=report.summary,
                    ok=report.ok,
                    failure=report.failure,
                )
            )

    def _now(self) -> float:
        return self.calls.now()


def _with_report(said: Said, report: ToolReport | None) -> Said:
    return said if report is None else replace(said, report=report.text, feedback=report.feedback)
