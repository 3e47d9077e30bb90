"""Calls as the belief sees them: what was asked, what was answered, and what could be seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mar.controllers.belief.beliefs import Form
from mar.controllers.belief.likelihood import FAILED, PASSED, SILENT, UNSEEN, UNTESTED, Said
from mar.controllers.sequential.habits import Habits
from mar.types import AnswerFormat, CallAnswered, Domain, Episode, Feedback, Query, StepBound, ToolRan, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One answered call."""

    message_id: str
    model: str
    strategy: str | None
    answer: str | None  # None: nothing could be read
    feedback: Feedback = ""  # of the shown tests
    mean_logprob: float | None = None  # nats per token
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency_s: float | None = None
    read: tuple[str, ...] = ()  # ids of the messages that it read
    quality: float | None = None  # of its answer, 0 to 1; None: not graded


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question and all calls about it, in the order in which they were answered."""

    text: str
    domain: Domain | None = None  # where it is known
    form: Form
    options: int  # to choose from; 0 where there are none
    calls: tuple[Call, ...]
    equivalent: AnswerFormat

    @classmethod
    def of(cls, query: Query, calls: Sequence[Call]) -> Asked:
        """A question with its calls."""
        return cls(
            text=query.text,
            domain=query.domain,
            form=form_of(query),
            options=query.answer_format.choices or 0,
            calls=tuple(calls),
            equivalent=query.answer_format,
        )

    def graded(self, qualities: Sequence[float | None]) -> Asked:
        """The same with the quality of every call's answer."""
        pairs = zip(self.calls, qualities, strict=True)
        return replace(self, calls=tuple(replace(call, quality=quality) for call, quality in pairs))


def form_of(query: Query) -> Form:
    """How answers to a query can be compared."""
    choices = query.answer_format.choices
    return "programs" if choices is None else "options" if choices else "open"


def in_view(view: View) -> list[Call]:
    """The calls of an episode under way."""
    return [
        Call(
            message_id=said.id,
            model=said.model,
            strategy=said.strategy,
            answer=view.answer(said),
            feedback=said.feedback,
            mean_logprob=said.mean_logprob,
            prompt_tokens=said.usage.prompt_tokens,
            completion_tokens=said.usage.completion_tokens,
            latency_s=said.latency_s,
            read=said.move.reads,
        )
        for said in view.messages
        if said.model is not None
    ]


def in_episode(episode: Episode, query: Query) -> list[Call]:
    """The calls of an episode that is over, read from its trace."""
    strategies = {(e.index, e.round): e.strategy for e in episode.events if isinstance(e, StepBound)}
    tests: dict[tuple[int, int], Feedback] = {
        (e.index, e.round): "passed" if e.ok else "failed"
        for e in episode.events
        if isinstance(e, ToolRan) and e.tool == "run_tests" and e.failure is None
    }
    return [
        Call(
            message_id=e.message_id,
            model=e.model,
            strategy=strategies.get((e.index, e.round)),
            answer=query.answer_format.extract(e.text),
            feedback=tests.get((e.index, e.round), ""),
            mean_logprob=e.mean_logprob,
            prompt_tokens=e.usage.prompt_tokens,
            completion_tokens=e.usage.completion_tokens,
            latency_s=e.latency_s,
            read=e.read,
        )
        for e in episode.events
        if isinstance(e, CallAnswered) and not e.calls  # with calls of tools it is no answer yet
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """Answers as numbers, as the likelihood takes them."""

    said: tuple[int, ...]  # of every call
    gold: int  # the number of an answer that is right; UNSEEN: none is, or nothing was graded
    answers: tuple[str, ...]  # by number; of programs by call

    @classmethod
    def of(cls, asked: Asked) -> Numbered:
        """Number the different answers to a question in the order in which they were first given."""
        if asked.form == "programs":
            return cls(
                said=tuple(_tested(call) for call in asked.calls),
                gold=UNSEEN,
                answers=tuple(call.answer or "" for call in asked.calls),
            )
        answers: list[str] = []
        given = [call.answer for call in asked.calls]
        said = [SILENT if answer is None else _number(answer, answers, asked.equivalent) for answer in given]
        right = [n for n, call in zip(said, asked.calls, strict=True) if n >= 0 and (call.quality or 0.0) >= RIGHT]
        return cls(said=tuple(said), gold=right[0] if right else UNSEEN, answers=tuple(answers))


RIGHT = 0.5
"""Quality from which an answer counts as right."""


def _number(answer: str, answers: list[str], form: AnswerFormat) -> int:
    for number, known in enumerate(answers):
        if form.equivalent(known, answer):
            return number
    answers.append(answer)
    return len(answers) - 1


def _tested(call: Call) -> int:
    if call.answer is None or call.feedback == "failed":
        return FAILED
    return PASSED if call.feedback == "passed" else UNTESTED


def evidence_of(asked: Asked, habits: Habits) -> tuple[list[Said], Numbered]:
    """What the likelihood takes of a question's calls; calls of unknown models are left out."""
    numbered = Numbered.of(asked)
    kept = [i for i, call in enumerate(asked.calls) if call.model in habits.models]
    place = {asked.calls[i].message_id: at for at, i in enumerate(kept)}
    said: list[Said] = []
    for i in kept:
        call = asked.calls[i]
        model = habits.models.index(call.model)
        said.append(
            Said(
                model=model,
                answer=numbered.said[i],
                strategy=habits.strategies.index(call.strategy) if call.strategy in habits.strategies else 0,
                surer=habits.surer(model, call.mean_logprob),
                read=tuple(place[m] for m in call.read if m in place),
            )
        )
    return said, numbered
