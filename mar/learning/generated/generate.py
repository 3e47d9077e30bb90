"""Questions by a model: subjects in equal shares, malformed blocks skipped and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from mar.errors import ConfigError
from mar.learning.generated.asking import Askers, Call, Unanswered, ask_all
from mar.learning.generated.blocks import generation_prompt, read_blocks
from mar.learning.generated.records import Journal, Question, Written
from mar.learning.progress import Progress
from mar.pool.pool import Pool
from mar.runtime import Ledger
from mar.runtime.identity import digest
from mar.types import CallContext, ChatReply, ChatRequest, Message

PUBLISHED_QUESTIONS = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateSettings:
    """How questions are generated; the defaults are the published values."""

    questions: int = PUBLISHED_QUESTIONS  # asked for, all subjects together
    per_call: int = 1  # the published code asks hosted Gemini for five
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int | None = None
    concurrency: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.questions < 1 or self.per_call < 1 or self.concurrency < 1:
            raise ConfigError(
                f"{self.questions} questions, {self.per_call} per call, concurrency {self.concurrency}: expected at "
                "least 1 of each"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What a generator wrote."""

    questions: tuple[Question, ...]
    malformed: int  # blocks that were skipped
    repeated: int  # questions that were there word for word already
    failed: Mapping[str, int]  # calls that failed, by kind


def generation_calls(generator: str, subjects: Mapping[str, str], settings: GenerateSettings) -> list[Call]:
    """All calls: subjects get equal shares of the questions, the first ones one more where it does not divide."""
    share, extra = divmod(settings.questions, len(subjects))
    calls: list[Call] = []
    for place, (subject, description) in enumerate(subjects.items()):
        wanted = share + (place < extra)
        for number in range(-(-wanted // settings.per_call)):
            count = min(settings.per_call, wanted - number * settings.per_call)
            key = f"{subject}/{number}"
            request = ChatRequest(
                model=generator,
                messages=(Message(speaker="user", text=generation_prompt(subject, description, count)),),
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
                logprobs=True,
                sample=digest(settings.seed, "generate", generator, key),
                context=CallContext(item=f"generate/{key}/{count}", message_id=digest("generate", generator, key)),
            )
            calls.append(Call(key=key, request=request))
    return calls


async def generate(
    pool: Pool,
    generator: str,
    subjects: Mapping[str, str],
    journal: Journal,
    settings: GenerateSettings,
    progress: Progress,
    ledger: Ledger | None = None,
    askers: Askers | None = None,
) -> Generated:
    """Let a model of the pool write questions; what the journal holds is not asked again, failed calls are."""
    calls = generation_calls(pool.card(generator).name, subjects, settings)
    subject_of = {c.key: c.key.rsplit("/", 1)[0] for c in calls}
    done = {w.call for w in journal.read(Written) if not w.failure}

    def record(call: Call, reply: ChatReply | Unanswered) -> BaseModel:
        if isinstance(reply, Unanswered):
            return Written(call=call.key, category=subject_of[call.key], failure=reply.kind)
        return Written(call=call.key, category=subject_of[call.key], text=reply.text, logprob=reply.mean_logprob)

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
        what="generating",
    )
    return collect([c.key for c in calls], journal.settled(Written, lambda w: w.call))


def collect(order: Sequence[str], written: Sequence[Written]) -> Generated:
    """The questions of all replies, in the order of the calls."""
    replies = {w.call: w for w in written if not w.failure}
    lost = {w.call: w.failure for w in written if w.failure and w.call not in replies}
    malformed = repeated = 0
    seen: set[str] = set()
    questions: list[Question] = []
    for key in order:
        if key not in replies:
            continue
        found, bad = read_blocks(replies[key].text)
        malformed += bad
        for number, said in enumerate(found):
            text = " ".join(said["QUESTION"].split())
            if text in seen:
                repeated += 1
                continue
            seen.add(text)
            questions.append(
                Question(
                    question_id=f"{key}.{number}",
                    category=replies[key].category,
                    question=said["QUESTION"],
                    options=(said["A"], said["B"], said["C"], said["D"]),
                    answer=said["ANSWER"],
                )
            )
    return Generated(questions=tuple(questions), malformed=malformed, repeated=repeated, failed=Counter(lost.values()))
