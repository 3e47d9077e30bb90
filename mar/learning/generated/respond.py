"""Every model answers every question; an answer that cannot be read is an abstention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from mar.controllers.cascal import ABSTAINED, Responses
from mar.errors import ConfigError, DataError
from mar.learning.generated.asking import Askers, Call, Unanswered, ask_all
from mar.learning.generated.records import Answered, Journal, Question
from mar.learning.progress import Progress
from mar.pool.pool import Pool
from mar.runtime import Ledger
from mar.runtime.identity import digest
from mar.tasks.scoring.choices import LETTERS
from mar.tasks.scoring.formats import Choice
from mar.types import CallContext, ChatReply, ChatRequest, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class RespondSettings:
    """How questions are asked; the temperature is the published one."""

    temperature: float = 0.7
    max_tokens: int | None = None
    concurrency: int = 32
    draw: int = 0  # which of several answers to the same question
    seed: int = 0

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigError(f"concurrency is {self.concurrency}; at least 1 is expected")


def question_text(question: Question) -> str:
    """The question and its lettered options, as every model and every encoder of whole questions reads it."""
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, question.options, strict=False)]
    return "\n".join([question.question, *lines])


def response_prompt(question: Question) -> str:
    """What every model is asked."""
    return f"{question_text(question)}\n\n{Choice(options=question.options).instruction}"


def response_calls(model: str, questions: Sequence[Question], settings: RespondSettings) -> list[Call]:
    """One call per question."""
    return [_call(model, question, settings) for question in questions]


def _call(model: str, question: Question, settings: RespondSettings) -> Call:
    message = digest("respond", settings.draw, question.question_id, model)
    return Call(
        key=f"{model}\x1f{question.question_id}",
        request=ChatRequest(
            model=model,
            messages=(Message(speaker="user", text=response_prompt(question)),),
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            logprobs=True,
            sample=digest(settings.seed, "respond", settings.draw, question.question_id),
            context=CallContext(item=question.question_id, message_id=message, output="answer"),
        ),
    )


async def respond(
    pool: Pool,
    models: Sequence[str],
    questions: Sequence[Question],
    journal: Journal,
    settings: RespondSettings,
    progress: Progress,
    ledger: Ledger | None = None,
    askers: Askers | None = None,
) -> list[Answered]:
    """Let models answer questions; answers that the journal holds are not asked for again, failed calls are."""
    by_id = {q.question_id: q for q in questions}
    calls = [c for m in models for c in response_calls(pool.card(m).name, questions, settings)]

    def record(call: Call, reply: ChatReply | Unanswered) -> BaseModel:
        model, question_id = call.key.split("\x1f", 1)
        if isinstance(reply, Unanswered):
            return Answered(question_id=question_id, model=model, failure=reply.kind)
        return Answered(
            question_id=question_id,
            model=model,
            text=reply.text,
            choice=read_choice(reply.text, by_id[question_id]),
            logprob=reply.mean_logprob,
        )

    done = {_key(a) for a in journal.read(Answered) if not a.failure}
    await ask_all(
        pool,
        calls,
        journal,
        done,
        record,
        ledger=ledger,
        askers=askers,
        concurrency=settings.concurrency,
        progress=progress,
        what="answering",
    )
    return journal.settled(Answered, _key)


def _key(answered: Answered) -> str:
    return f"{answered.model}\x1f{answered.question_id}"


def read_choice(text: str, question: Question) -> int:
    """Position of the option that a text chooses; ABSTAINED where none can be read or the question has none such."""
    letter = Choice(options=question.options).extract(text)
    if letter is None:
        return ABSTAINED
    position = LETTERS.index(letter)
    return position if position < len(question.options) else ABSTAINED


def to_responses(questions: Sequence[Question], models: Sequence[str], answered: Sequence[Answered]) -> Responses:
    """Answers as one table. A call that failed for good is an abstention; the journal says why.

    Raises:
        DataError: A model has no line for a question.
    """
    place = {q.question_id: i for i, q in enumerate(questions)}
    column = {m: i for i, m in enumerate(models)}
    choices = np.full((len(questions), len(models)), ABSTAINED, dtype=np.int8)
    logprobs = np.full((len(questions), len(models)), np.nan)
    there = np.zeros((len(questions), len(models)), dtype=np.bool_)
    for a in answered:
        if a.question_id in place and a.model in column:
            at = place[a.question_id], column[a.model]
            there[at], choices[at] = True, a.choice
            logprobs[at] = np.nan if a.logprob is None else a.logprob
    if not there.all():
        i, j = (int(k) for k in np.argwhere(~there)[0])
        raise DataError(f"model {models[j]!r} did not answer question {questions[i].question_id!r}; run respond again")
    return Responses(
        questions=tuple(q.question_id for q in questions),
        models=tuple(models),
        options=np.array([len(q.options) for q in questions]),
        choices=choices,
        logprobs=None if np.isnan(logprobs).all() else logprobs,
    )
