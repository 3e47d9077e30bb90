"""One's own task: a TOML file that names rows, fields, a grader and a split is all that it takes.

The file's fields are those of `TaskFile`; paths in it are relative to it. `docs/tasks.md` shows one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, ValidationError

from mar.errors import ConfigError, DataError
from mar.pool.simulated import SimItem, World, item_difficulties
from mar.reading import read_toml
from mar.runtime import Ledger
from mar.runtime.prompts import DOMAIN_NAME
from mar.runtime.sandbox import Sandbox
from mar.tasks.grading.base import CustomItem, Grader
from mar.tasks.grading.forms import CodeTests, Letter, Numeric
from mar.tasks.grading.judge import Judge
from mar.tasks.grading.settings import GraderSettings, NumericSettings, Strict, make_grader
from mar.tasks.grading.texts import Exact, Nobody
from mar.tasks.options import OptionItem, option_texts, question_with_options
from mar.tasks.scoring.formats import no_answer
from mar.tasks.scoring.numbers import read_number
from mar.tasks.sources import Located, Rows, once_each
from mar.tasks.splits import of_split, shuffled
from mar.tasks.task import SPLITS, Score, Split
from mar.tasks.wrong_code import CodeItem, code_world
from mar.types import DOMAINS, Domain, Query, ShownTests

RHO = 0.3
"""Assumed correlation of difficulty with the length of a question, for the simulated pool; the benchmarks' measured
ones are 0.29 to 0.50."""
SHARES = (0.6, 0.8)  # where validation and test begin when ids are split by their hash


class FieldNames(Strict):
    """What the rows call their fields."""

    id: str = "id"
    question: str = "question"
    answer: str = "answer"  # gold: text, letter or position, number, reference solution
    options: str = "options"  # of the grader choice
    tests: str = "tests"  # of the grader code
    split: str = "split"  # of the split rule field


class TaskFile(Strict):
    """A task's file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")  # in tables and run folders
    domain: Domain = Field(pattern=DOMAIN_NAME)  # whose roles work on it
    rows: Path  # JSONL file, relative to the task's
    fields: FieldNames = FieldNames()
    grader: GraderSettings
    split: Literal["field", "hash"] = "hash"  # hash: 60% train, 20% validation, 20% test, by id


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomTask:
    """A task that a file describes."""

    name: str
    domain: Domain
    all_items: tuple[CustomItem, ...]
    grader: Grader
    source: str
    protocol: str
    show_tests: str = "first"  # which of a row's tests agents see: first or all

    @classmethod
    def load(
        cls, path: Path, *, rows: Path | None = None, pool: str = "auto", show_tests: Literal["first", "all"] = "first"
    ) -> CustomTask:
        """Load a task.

        Args:
            path: The task's file.
            rows: A file of rows instead of the one that it names.
            pool: The run's `--pool` option, which a judge asks, too.
            show_tests: Which of a row's tests agents see, with the grader `code`.

        Raises:
            ConfigError: The file, or something that it names, cannot be used; names file and field.
            DataError: A row cannot be used; names file, row and field.
        """
        settings = read_task_file(path)
        grader = make_grader(settings.grader, file=path, pool=pool)
        place = rows or path.parent / settings.rows
        found = Rows.read(place)
        ids = [_text(at, settings.fields.id) for at in found.located]
        once_each(ids, found.located, "item")
        splits = (
            _stated(ids, found, settings.fields.split) if settings.split == "field" else by_hash(ids, settings.name)
        )
        reader = _RowReader(fields=settings.fields, grader=grader)
        return cls(
            name=settings.name,
            domain=settings.domain,
            all_items=tuple(reader.item(at, i, splits[i]) for i, at in zip(ids, found.located, strict=True)),
            grader=grader,
            source=found.source,
            protocol="as the rows state" if settings.split == "field" else "60/20/20 by hash of the id",
            show_tests=show_tests,
        )

    @classmethod
    def of_rows(cls, path: Path, *, domain: Domain | None = None) -> CustomTask:
        """A task of rows alone, under the default names of fields; what they hold says how they are graded.

        Tests are run; of options the letter is compared; numbers are compared as numbers, other answers as texts. Rows
        that have no answer at all are graded by nobody. A row without an id is called by its number.

        Args:
            path: JSONL file.
            domain: Whose roles work on it; None: Code where there are tests, Math where all answers are numbers, else
                Commonsense.

        Raises:
            DataError: A row cannot be used; names file, row and field.
        """
        found, fields = Rows.read(path), FieldNames()
        if not found.located:
            raise DataError(f"{path} holds no rows; expected one JSON object per line")
        grader, usual = _told(found.located, fields)
        ids = [_text(at, fields.id) if fields.id in at.row else str(at.number) for at in found.located]
        once_each(ids, found.located, "item")
        splits = by_hash(ids, path.stem)
        reader = _RowReader(fields=fields, grader=grader)
        return cls(
            name=path.name.partition(".")[0] or "rows",
            domain=domain or usual,
            all_items=tuple(reader.item(at, i, splits[i]) for i, at in zip(ids, found.located, strict=True)),
            grader=grader,
            source=found.source,
            protocol="60/20/20 by hash of the id",
        )

    def spend_within(self, ledger: Ledger) -> None:
        """Let a judge's calls count towards a run's limit."""
        if isinstance(self.grader, Judge):
            self.grader.ledger.within = ledger

    @property
    def notes(self) -> Mapping[str, str]:
        """Data source and protocol."""
        shown = {"shown tests": self.show_tests} if isinstance(self.grader, CodeTests) else {}
        return {"data": self.source, "split": self.protocol, **shown, **self.grader.notes}

    def items(self, split: Split) -> Sequence[CustomItem]:
        """Items of a split in the order of the file."""
        return of_split(self.all_items, split)

    def query(self, item: CustomItem) -> Query:
        """The question, its options, and the tests that may be shown."""
        return Query(
            id=f"{self.name}/{item.id}",
            domain=self.domain,
            text=_shown(item),
            shown_tests=ShownTests(tests=item.tests if self.show_tests == "all" else item.tests[:1]),
            answer_format=self.grader.answer_format(item),
        )

    async def score(self, item: CustomItem, answer: str | None, sandbox: Sandbox) -> Score:
        """What the grader says."""
        return no_answer("answer") if answer is None else await self.grader.grade(item, answer, sandbox)

    async def world(self, items: Sequence[CustomItem], sandbox: Sandbox) -> World:
        """Gold and plausible wrong answers; harder with a longer question.

        Raises:
            ConfigError: There is no gold.
        """
        if isinstance(self.grader, Nobody):
            raise ConfigError(
                f"the rows of {self.name} have no answers, so no simulated model can know any; expected a field "
                "answer, or a pool that can be asked (--pool)"
            )
        ids = [self.query(i).id for i in self.all_items]
        complexity = [float(len(_shown(i).split())) for i in self.all_items]
        levels = dict(zip(ids, item_difficulties(ids, complexity, rho=RHO), strict=True))
        known = [(self.query(i).id, i) for i in items]
        if isinstance(self.grader, CodeTests):
            programs = {
                q: CodeItem(
                    reference=i.gold,
                    difficulty=levels[q],
                    job=i.job,
                    shown=self.query(i).shown_tests.tests,
                )
                for q, i in known
            }
            return await code_world(programs, sandbox, benchmark=self.name)
        golds = [i.gold for i in self.all_items]
        return World.of((q, self._simulated(i, levels[q], golds)) for q, i in known)

    def _simulated(self, item: CustomItem, difficulty: float, golds: Sequence[str]) -> SimItem:
        return SimItem(
            domain=self.domain if self.domain in DOMAINS else "Commonsense",  # the simulator knows no others
            benchmark=self.name,
            difficulty=difficulty,
            right=(item.gold,),
            wrong=self.grader.wrong(item, golds),
            form=self.grader.form,
        )


def read_task_file(path: Path) -> TaskFile:
    """Read and check a task's file.

    Raises:
        ConfigError: It cannot be read, is no TOML, or a field is unknown, missing or wrong.
    """
    data = read_toml(path, expected="a task's TOML file", error=ConfigError)
    try:
        return TaskFile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        # Within the grader, the second part of the place is its kind, which is no field of the file.
        loc = [str(p) for n, p in enumerate(first["loc"]) if not (n == 1 and first["loc"][0] == "grader")]
        raise ConfigError(f"{path}: field {'.'.join(loc)}: {first['msg']}") from None


def by_hash(ids: Sequence[str], seed: str) -> dict[str, Split]:
    """60% of shuffled ids to train, 20% to validation, 20% to test."""
    order = shuffled(ids, f"{seed}/split")
    cuts = [round(share * len(order)) for share in SHARES]
    parts = (order[: cuts[0]], order[cuts[0] : cuts[1]], order[cuts[1] :])
    return {i: split for split, members in zip(SPLITS, parts, strict=True) for i in members}


def _stated(ids: Sequence[str], found: Rows, name: str) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for item_id, at in zip(ids, found.located, strict=True):
        value = at.row.get(name)
        if value not in SPLITS:
            raise DataError(f"{at.where}: field {name} is {value!r}; expected {', '.join(SPLITS)}")
        splits[item_id] = value
    return splits


@dataclass(frozen=True, slots=True, kw_only=True)
class _RowReader:
    """Turns rows into items."""

    fields: FieldNames
    grader: Grader

    def item(self, at: Located, item_id: str, split: Split) -> CustomItem:
        """The item of a row."""
        options = option_texts(at, self.fields.options) if isinstance(self.grader, Letter) else ()
        tests = _tests(at, self.fields.tests) if isinstance(self.grader, CodeTests) else ()
        if isinstance(self.grader, Nobody) and self.fields.options in at.row:
            options = option_texts(at, self.fields.options)
        said = "" if isinstance(self.grader, Nobody) else _text(at, self.fields.answer)
        gold = self.grader.read_gold(said, at, options)
        question = at.text(self.fields.question).strip()
        return CustomItem(id=item_id, split=split, question=question, gold=gold, options=options, tests=tests)


def _told(located: Sequence[Located], fields: FieldNames) -> tuple[Grader, Domain]:
    """How rows are graded, and whose they are, by what they hold."""
    if not any(fields.answer in at.row for at in located):
        return Nobody(), "Commonsense"
    if any(fields.tests in at.row for at in located):
        return CodeTests(), "Code"
    if any(fields.options in at.row for at in located):
        return Letter(), "Commonsense"
    if all(read_number(str(at.row.get(fields.answer, ""))) is not None for at in located):
        return Numeric(tolerance=NumericSettings(kind="numeric").tolerance), "Math"
    return Exact(), "Commonsense"


def _text(at: Located, name: str) -> str:
    """A field that is a text or a number."""
    value: Any = at.row.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return at.text(name).strip()


def _tests(at: Located, name: str) -> tuple[str, ...]:
    value: Any = at.row.get(name)
    tests: list[Any] = cast("list[Any]", value) if isinstance(value, list) else []
    if not tests or not all(isinstance(t, str) for t in tests):
        raise DataError(f"{at.where}: field {name} holds no tests; expected a list of assertions")
    return tuple(cast("list[str]", tests))


def _shown(item: CustomItem) -> str:
    """The question as agents read it."""
    if not item.options:
        return item.question
    return question_with_options(
        OptionItem(
            id=item.id,
            split=item.split,
            question=item.question,
            options=item.options,
            gold=item.gold,
            category="",
        )
    )
