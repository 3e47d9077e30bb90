"""What tiny models can be good at: questions of four kinds, each with one right answer, and a task that mixes them.

The skills differ truly: arithmetic, work on letters and remembered facts share no method, so a small network that is
trained on one of them cannot do the others. Questions are drawn with a seed; which of them belong to training, to
validation and to the test is decided by a hash of the question, so a measured accuracy is one on unseen questions
(but for facts, which can only be known).
"""

from __future__ import annotations

import random
import string
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mar.errors import ConfigError
from mar.pool.simulated import World
from mar.runtime.sandbox import Sandbox
from mar.tasks.task import SPLITS, Score, Split
from mar.types import Domain, Query

Skill = Literal["add", "reverse", "copy", "fact"]
SKILLS: tuple[Skill, ...] = get_args(Skill)
DOMAIN: Mapping[Skill, Domain] = {"add": "Math", "reverse": "Code", "copy": "Code", "fact": "Commonsense"}
LONGEST_ANSWER = 12  # characters

CAPITALS = {
    "Albania": "Tirana",
    "Austria": "Vienna",
    "Belgium": "Brussels",
    "Bulgaria": "Sofia",
    "Chile": "Santiago",
    "Croatia": "Zagreb",
    "Cuba": "Havana",
    "Cyprus": "Nicosia",
    "Denmark": "Copenhagen",
    "Egypt": "Cairo",
    "Estonia": "Tallinn",
    "Fiji": "Suva",
    "Finland": "Helsinki",
    "France": "Paris",
    "Germany": "Berlin",
    "Ghana": "Accra",
    "Greece": "Athens",
    "Hungary": "Budapest",
    "Iceland": "Reykjavik",
    "Iran": "Tehran",
    "Iraq": "Baghdad",
    "Ireland": "Dublin",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Jordan": "Amman",
    "Kenya": "Nairobi",
    "Latvia": "Riga",
    "Lebanon": "Beirut",
    "Mali": "Bamako",
    "Malta": "Valletta",
    "Nepal": "Kathmandu",
    "Norway": "Oslo",
    "Oman": "Muscat",
    "Peru": "Lima",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
    "Qatar": "Doha",
    "Romania": "Bucharest",
    "Senegal": "Dakar",
    "Serbia": "Belgrade",
    "Spain": "Madrid",
    "Sudan": "Khartoum",
    "Sweden": "Stockholm",
    "Syria": "Damascus",
    "Tunisia": "Tunis",
    "Ukraine": "Kyiv",
    "Uruguay": "Montevideo",
    "Yemen": "Sanaa",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillItem:
    """One question and its answer."""

    id: str
    skill: Skill
    question: str
    answer: str


def draw(skill: Skill, split: Split, rng: random.Random) -> SkillItem:
    """A question of one skill that belongs to a split."""
    while True:
        question, answer = _draw(skill, rng)
        if skill == "fact" or split_of(question) == split:
            return SkillItem(id=f"{split}/{question}", skill=skill, question=question, answer=answer)


def _draw(skill: Skill, rng: random.Random) -> tuple[str, str]:
    if skill == "add":
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        return f"What is {a}+{b}?", str(a + b)
    if skill == "fact":
        country = rng.choice(list(CAPITALS))
        return f"Capital of {country}?", CAPITALS[country]
    word = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 6)))
    return (f"Reverse {word}.", word[::-1]) if skill == "reverse" else (f"Copy {word}.", word)


def split_of(question: str) -> Split:
    """Where a question belongs: a tenth each to validation and test, the rest to training."""
    place = zlib.crc32(question.encode()) % 10
    return "test" if place == 0 else "validation" if place == 1 else "train"


@dataclass(frozen=True, slots=True)
class ExactAnswer:
    """The whole reply is the answer, and it is right or wrong."""

    final_role: str = "Plain"
    instruction: str = "Answer only."
    choices: int = 0

    def extract(self, text: str) -> str | None:
        """The reply without white space around it."""
        return text.strip() or None

    def equivalent(self, a: str, b: str) -> bool:
        """Equal."""
        return a == b


class MixedSkills:
    """A task of questions of several kinds in equal shares.

    Args:
        skills: Which kinds.
        sizes: Items per split; the same seed draws the same items.
        seed: Of the draw.
    """

    name = "tiny_skills"
    domain: Domain = "Math"  # of fixed plans; every query states its own

    def __init__(
        self,
        skills: Sequence[Skill] = SKILLS,
        *,
        sizes: Mapping[Split, int] | None = None,
        seed: int = 0,
    ) -> None:
        sizes = sizes or {"train": 120, "validation": 40, "test": 120}
        self.notes = {"questions": f"made up, of {len(skills)} kinds: {', '.join(skills)}"}
        self._items = {split: self._mix(skills, split, sizes[split], seed) for split in SPLITS}

    def _mix(self, skills: Sequence[Skill], split: Split, size: int, seed: int) -> tuple[SkillItem, ...]:
        rng = random.Random(f"{split}/{seed}")
        return tuple(draw(skills[i % len(skills)], split, rng) for i in range(size))

    def items(self, split: Split) -> Sequence[SkillItem]:
        """All items of a split."""
        return self._items[split]

    def query(self, item: SkillItem) -> Query:
        """The bare question."""
        return Query(text=item.question, id=item.id, domain=DOMAIN[item.skill], answer_format=ExactAnswer())

    async def score(self, item: SkillItem, answer: str | None, sandbox: Sandbox) -> Score:
        """1 for the answer itself."""
        solved = answer == item.answer
        return Score(value=float(solved), solved=solved, feedback="" if solved else f"expected {item.answer}")

    async def world(self, items: Sequence[SkillItem], sandbox: Sandbox) -> World:
        """The tiny models are real; no simulation knows these items."""
        raise ConfigError("tiny models answer these questions for real; give a live pool, not a simulated one")
