"""A simulated generator and world, so that the whole pipeline runs without a model. Labelled wherever it shows.

The generator rephrases nothing: it hands out questions of the benchmark with four of their options, and believes in
the right one with a probability that the caller chooses, its skill. A given share of its blocks is malformed. Which
answer is right is known to the world that answers are simulated in, and to nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mar.errors import ConfigError
from mar.learning.generated.blocks import LETTERS, SEPARATOR, block
from mar.learning.generated.records import Question
from mar.pool.cards import ModelCard
from mar.pool.pool import Pool
from mar.pool.simulated import SimItem, World, item_difficulties
from mar.runtime.identity import digest
from mar.tasks.scoring.choices import LETTERS as ALL_LETTERS
from mar.tasks.splits import shuffled
from mar.types import ChatReply, ChatRequest, DeltaHandler

NAME = "simulated-generator"
BENCHMARKS: Mapping[str, str] = {
    "math": "math",
    "physics": "math",
    "chemistry": "math",
    "engineering": "math",
    "computer science": "humaneval",
    "business": "gsm8k",
}
"""Whose published accuracies stand for a subject's, an assumption that gives simulated models strong and weak subjects;
any other subject takes MMLU-Pro's."""
STANDS_BY_RIGHT, STANDS_BY_WRONG = 0.95, 0.6
"""How often the generator repeats its answer when asked again; assumptions that give the filter something to find."""
_STRIDE = 104_729  # between the questions of one call: a prime, so that they differ
RHO = 0.35  # of difficulty with length, as measured on MMLU-Pro


class SimulatedGenerator:
    """A chat model that writes blocks from the questions of a benchmark.

    Args:
        questions: What it draws from; those with fewer than four different options are left out.
        skill: Probability that it believes in the right answer.
        malformed: Share of its blocks without an answer line.
        seed: Of its draws.

    Raises:
        ConfigError: A share is none.
    """

    def __init__(
        self, questions: Sequence[Question], *, skill: float = 0.9, malformed: float = 0.02, seed: int = 0
    ) -> None:
        if not (0 <= skill <= 1 and 0 <= malformed <= 1):
            raise ConfigError(f"skill {skill}, malformed {malformed}: expected shares from 0 to 1")
        self.skill = skill
        self.malformed = malformed
        self.seed = seed
        self._sources: dict[str, list[Question]] = {}
        for question in questions:
            if len(set(question.options)) >= len(LETTERS):
                self._sources.setdefault(question.category, []).append(question)
        for subject, found in self._sources.items():
            order = shuffled([q.question_id for q in found], f"{seed}/{subject}")
            by_id = {q.question_id: q for q in found}
            self._sources[subject] = [by_id[i] for i in order]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects that it can write about, sorted."""
        return tuple(sorted(self._sources))

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Write the questions that the call's context asks for, or answer one; the prompt is not read."""
        item = request.context.item if request.context is not None else ""
        kind, _, rest = item.partition("/")
        if kind == "generate":
            subject, number, count = rest.rsplit("/", 2)
            blocks = [self._block(subject, f"{subject}/{number}.{i}") for i in range(int(count))]
            text = f"\n{SEPARATOR}\n".join(blocks)
        else:
            text = self._answer(item, request.sample)
        return ChatReply(text=text, model=request.model, prompt_tokens=0, completion_tokens=len(text) // 4)

    def _block(self, subject: str, question_id: str) -> str:
        made = self.question(subject, question_id)
        if made is None or self._chance("malformed", question_id) < self.malformed:
            return f"[QUESTION] {made.question if made else subject}"
        a, b, c, d = made.options
        return block(made.question, (a, b, c, d), self._believed(made))

    def _answer(self, question_id: str, sample: str) -> str:
        """Its answer to a question of its own: what it believed, less often so where that was wrong."""
        subject = question_id.rpartition("/")[0]
        made = self.question(subject, question_id) if subject in self._sources else None
        if made is None:
            return "This simulated generator knows nothing but its own questions."
        believed = self._believed(made)
        stands = STANDS_BY_RIGHT if believed == made.answer else STANDS_BY_WRONG
        if self._chance(f"again {sample}", question_id) >= stands:
            believed = shuffled(set(LETTERS) - {believed}, f"{sample}/{question_id}")[0]
        return f"The answer is ({believed})"

    def _believed(self, made: Question) -> str:
        """The letter that it takes for right."""
        if self._chance("skill", made.question_id) < self.skill:
            return made.answer
        return shuffled(set(LETTERS) - {made.answer}, f"{self.seed}/{made.question_id}")[0]

    def believed(self, subject: str, question_id: str) -> int | None:
        """Position of the answer that it takes for right; None where it has no question of the subject."""
        made = self.question(subject, question_id)
        return None if made is None else LETTERS.index(self._believed(made))

    def question(self, subject: str, question_id: str) -> Question | None:
        """The question of an id with its true answer; None where the benchmark has none of the subject."""
        within = self._sources.get(subject)
        if not within:
            return None
        number, _, i = question_id.rsplit("/", 1)[1].partition(".")
        turn, place = divmod(int(number) + _STRIDE * int(i), len(within))
        source = within[place]
        right = source.options[source.answer_index]
        others = shuffled({o for o in source.options if o != right}, f"{self.seed}/{question_id}/others")
        options = shuffled([right, *others[: len(LETTERS) - 1]], f"{self.seed}/{question_id}/order")
        return Question(
            question_id=question_id,
            category=subject,
            question=f"(Variant {turn}) {source.question}" if turn else source.question,
            options=tuple(options),
            answer=LETTERS[options.index(right)],
        )

    def _chance(self, what: str, question_id: str) -> float:
        return int(digest(self.seed, what, question_id, size=8), 16) / 2**64

    def pool(self, name: str = NAME) -> Pool:
        """A pool of this generator alone."""
        card = ModelCard(name=name, description="Simulated generator of questions.", price_in=0.0, price_out=0.0)
        return Pool([card], self, kind="simulated", virtual_time=True)


def question_world(questions: Sequence[Question]) -> World:
    """What a simulated pool knows about questions; their answers must be the right ones."""
    ids = [q.question_id for q in questions]
    levels = item_difficulties(ids, [float(len(q.question.split())) for q in questions], rho=RHO)
    return World.of(
        (
            q.question_id,
            SimItem(
                domain="Commonsense",
                benchmark=BENCHMARKS.get(q.category, "mmlu_pro"),
                difficulty=level,
                right=(q.answer,),
                wrong=tuple(shuffled(set(ALL_LETTERS[: len(q.options)]) - {q.answer}, q.question_id)),
                form="choice",
            ),
        )
        for q, level in zip(questions, levels, strict=True)
    )
