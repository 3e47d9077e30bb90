"""Graders of one's own task: what makes an answer right, chosen by name in the task's file.

    exact      the same text, up to case, white space and final punctuation
    choice     the letter of an option
    numeric    the same number, within a relative tolerance
    code       the row's tests pass
    function   `module:function` says so; it takes the item and the answer and gives True, False or 0 to 1
    judge      a model of the pool says so, asked with a prompt file that shows question, gold and answer

**The judge's pool.** A task scores without knowing the pool that a run asks, and a judge is no part of what is being
measured. So it opens a pool of its own: the one that its settings name, else the one that the run's `--pool` means. Its
calls stand in no episode and do not count towards an episode's cost; they do count towards `--max_cost` of the run, its
own `max_usd` limits them further, and the task's notes say what they cost. Where the run's pool is simulated nobody can
be asked: equal texts count as right, and the notes say that. A judge that fails, or whose verdict cannot be read, gives
a `Failure` that is counted as such and not learned from; it is never a wrong answer. No other prompt than the judge's
shows gold.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, cast

import anyio
from jinja2 import Template
from pydantic import BaseModel, ConfigDict, Field

from mar.errors import CallError, ConfigError, DataError, LimitReached
from mar.pool.choose import configured_pool
from mar.pool.pool import Pool
from mar.pool.simulated import AnswerForm
from mar.reading import read_text
from mar.runtime import Ledger, Meter
from mar.runtime.code import parses
from mar.runtime.identity import digest
from mar.runtime.prompts.templates import compile_template, render
from mar.runtime.sandbox import Sandbox, TestJob
from mar.tasks.options import letter_of
from mar.tasks.scoring.choices import LETTERS
from mar.tasks.scoring.formats import Choice, Number, no_answer, scored
from mar.tasks.scoring.numbers import plain, read_number
from mar.tasks.scoring.programs import PythonFunction, asked_names, entry_points, judged
from mar.tasks.sources import Located
from mar.tasks.splits import shuffled
from mar.tasks.task import Score, Split
from mar.types import AnswerFormat, ChatRequest, Failure, FailureKind, Message, PlainText

WRONG = 4  # wrong answers per item for the simulated pool
VARIABLES = frozenset({"question", "gold", "answer"})  # what a judge's prompt may use
ABOUT_PLANS = {"context_overflow", "refused"}  # kinds that training learns from where a plan's own call fails so

_ANSWER_IS = re.compile(r"\banswer\b\s*(?:is\b|:)\s*:?\s*([^\n]+)", re.IGNORECASE)
_VERDICT = re.compile(r"\W*verdict\W+(right|wrong)\W*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomItem:
    """One row of one's own task, gold included."""

    id: str
    split: Split
    question: str
    gold: str  # the right answer as the grader compares it: text, letter, number or program
    options: tuple[str, ...] = ()  # of a question with options
    tests: tuple[str, ...] = ()  # assertions that a program has to pass

    def job(self, code: str) -> TestJob:
        """The tests of this item on a program."""
        return TestJob(code=code, tests=self.tests, entry_points=entry_points(self.gold, self.tests))


class Grader(Protocol):
    """Says what an answer is worth."""

    @property
    def form(self) -> AnswerForm:
        """How a simulated model writes an answer."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """What every table made with it must say."""
        ...

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """The right answer of a row in the form that is compared.

        Raises:
            DataError: It cannot be one.
        """
        ...

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """How answers look."""
        ...

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """Plausible wrong answers for a simulated pool, given the right ones of all items."""
        ...

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Judge an extracted answer."""
        ...


# Texts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShortText:
    """The answer is a word or a few, stated at the end."""

    final_role: str = "Plain"
    instruction: str = (
        'End with one line that reads "The answer is X", where X is the answer alone, as short as possible.'
    )
    choices: int = 0

    def extract(self, text: str) -> str | None:
        """What the last phrase "the answer is" names, else the last line."""
        found = _ANSWER_IS.findall(text)
        lines = [line for line in text.splitlines() if line.strip()]
        said: str = found[-1] if found else lines[-1] if lines else ""
        return said.strip(" \t*_`\"'.") or None

    def equivalent(self, a: str, b: str) -> bool:
        """The same words."""
        return same_text(a, b)


def same_text(a: str, b: str) -> bool:
    """Equal up to case, white space and final punctuation."""
    return _words(a) == _words(b)


def _words(text: str) -> list[str]:
    return text.casefold().strip(" \t\n.!?\"'`*").split()


def other_texts(gold: str, golds: Sequence[str], seed: str) -> tuple[str, ...]:
    """Right answers of other items, which are plausible here and wrong."""
    others = {" ".join(_words(g)): g for g in golds if not same_text(g, gold)}
    return tuple(shuffled(others.values(), seed)[:WRONG]) or (f"not {gold}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """The same text."""

    form: AnswerForm = "text"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric."""
        return {"metric": "exact text"}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """A text that can be stated at the end of an answer."""
        if not same_text(ShortText().extract(value) or "", value):
            raise DataError(f"{at.where}: the answer is {value!r}; expected a few words on one line")
        return value

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """A short text."""
        return ShortText()

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """Other items' answers."""
        return other_texts(item.gold, golds, item.id)

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Compare the texts."""
        return scored(same_text(answer, item.gold))


# Letters, numbers, programs -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """The letter of an option."""

    form: AnswerForm = "choice"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric."""
        return {"metric": "right letter"}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """A letter, or a position from 0."""
        return letter_of(value, LETTERS[: len(options)], at)

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """One letter."""
        return Choice(options=item.options)

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """The other letters."""
        return tuple(shuffled(set(LETTERS[: max(2, len(item.options))]) - {item.gold}, item.id))

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Compare the letters."""
        return scored(answer == item.gold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """The same number."""

    tolerance: float  # relative
    form: AnswerForm = "number"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric."""
        return {"metric": f"number within {self.tolerance:g} of its size"}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """A number, with or without a unit."""
        number = read_number(value)
        if number is None:
            raise DataError(f"{at.where}: the answer is {value!r}; expected a number")
        return plain(number)

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """One number."""
        return Number()

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """Slips: the double, one too many, one too few, ten times as much."""
        gold = _number(item.gold)
        slips = dict.fromkeys((gold * 2, gold + 1, gold - 1, gold * 10))
        return tuple(plain(s) for s in slips if not self._same(s, gold))

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Compare the numbers."""
        number = read_number(answer)
        return no_answer("number") if number is None else scored(self._same(number, _number(item.gold)))

    def _same(self, a: Fraction, b: Fraction) -> bool:
        return abs(a - b) <= Fraction(self.tolerance) * max(abs(a), abs(b))


def _number(gold: str) -> Fraction:
    value = read_number(gold)
    assert value is not None
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTests:
    """A program that passes the row's tests; the row's answer is a reference solution."""

    form: AnswerForm = "code"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric."""
        return {"metric": "all tests pass"}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """A Python program."""
        if not parses(value):
            raise DataError(f"{at.where}: the answer is no Python program; expected a reference solution")
        return value

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """A Python function."""
        return PythonFunction(names=asked_names(item.tests[:1]))

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """None: wrong programs are made by edits that the tests catch, see `mar.tasks.wrong_code`."""
        return ()

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Run the tests."""
        return judged(await sandbox.run_tests(item.job(answer)))


# One's own function ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """Whatever a Python function says."""

    name: str  # module:function
    call: Callable[[CustomItem, str], object]
    form: AnswerForm = "text"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric."""
        return {"metric": self.name}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """Any text."""
        return value

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """The whole text."""
        return PlainText()

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """Other items' answers, as far as the function finds them wrong."""
        others = other_texts(item.gold, golds, item.id)
        return tuple(o for o in others if self._value(item, o) < 1) or (f"not {item.gold}",)

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Call the function.

        Raises:
            DataError: It fails, or gives something else than True, False or a number from 0 to 1.
        """
        value = self._value(item, answer)
        return Score(value=value, solved=value == 1, feedback="" if value == 1 else "the answer is wrong")

    def _value(self, item: CustomItem, answer: str) -> float:
        try:
            value = self.call(item, answer)
        except Exception as error:  # whatever a function of the user's raises
            raise DataError(f"grader {self.name} failed on item {item.id}: {type(error).__name__}: {error}") from error
        if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
            raise DataError(f"grader {self.name} gave {value!r} for item {item.id}; expected True, False or 0 to 1")
        return float(value)


def load_function(name: str, folder: Path, where: str) -> Callable[[CustomItem, str], object]:
    """The function `module:function`, its module beside the task's file or installed.

    Raises:
        ConfigError: There is no such module or function.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = _module(module_name, folder)
    except Exception as error:  # whatever importing a file of the user's raises
        raise ConfigError(f"{where}: {module_name} cannot be imported: {type(error).__name__}: {error}") from None
    found = getattr(module, function_name, None)
    if not callable(found):
        raise ConfigError(f"{where}: {module_name} has no function {function_name}")
    return cast("Callable[[CustomItem, str], object]", found)


def _module(name: str, folder: Path) -> Any:
    beside = folder.joinpath(*name.split(".")).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(name, beside) if beside.is_file() else None
    if spec is None or spec.loader is None:
        return importlib.import_module(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# A model that judges --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Whatever a model of the pool says about question, gold and answer."""

    model: str
    prompt: Template
    where: str  # the prompt's file, for messages
    pool: Pool | None  # None: the run's pool is simulated, so nobody can be asked
    max_tokens: int = 512
    ledger: Ledger = field(default_factory=Ledger)  # of the judge's own calls
    opening: anyio.Lock = field(default_factory=anyio.Lock)  # held while the pool opens, which it must not do twice
    form: AnswerForm = "text"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric, and what its calls cost so far."""
        if self.pool is None:
            return {"metric": "equal texts, since a simulated pool has no judge"}
        return {"metric": f"verdict of {self.model}", "paid to the judge": str(self.ledger.spent)}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """Any text."""
        return value

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """The whole text."""
        return PlainText()

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """Other items' answers."""
        return other_texts(item.gold, golds, item.id)

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Ask for a verdict."""
        if self.pool is None:
            return scored(same_text(answer, item.gold))
        try:
            reply = await self._ask(self.pool, item, answer)
        except CallError as error:
            return _unjudged("call" if error.kind in ABOUT_PLANS else cast(FailureKind, error.kind), str(error))
        except LimitReached as error:
            return _unjudged("limit", str(error))
        verdict = read_verdict(reply)
        return _unjudged("bad_reply", "its verdict cannot be read") if verdict is None else scored(verdict)

    async def _ask(self, pool: Pool, item: CustomItem, answer: str) -> str:
        values: dict[str, Any] = {"question": item.question, "gold": item.gold, "answer": answer}
        request = ChatRequest(
            model=self.model,
            messages=(Message(speaker="user", text=render(self.prompt, self.where, values)),),
            max_tokens=self.max_tokens,
            temperature=0.0,
            sample=digest("judge", item.id),
            meter=Meter(pool.card(self.model), self.ledger),
        )
        # A copy of the pool for each call: copies share connections and limits, which open with the first of them.
        async with AsyncExitStack() as stack:
            async with self.opening:
                opened = await stack.enter_async_context(pool.restricted(allow=[self.model]))
            reply = await opened.chat(request)
        return reply.text


def read_verdict(text: str) -> bool | None:
    """What the last line says, "Verdict: right" or "Verdict: wrong"; None when it says neither."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = _VERDICT.fullmatch(lines[-1]) if lines else None
    return None if found is None else found[1].lower() == "right"


def _unjudged(kind: FailureKind, reason: str) -> Score:
    failure = Failure(kind=kind, reason=f"the judge gave no verdict: {reason}")
    return Score(value=0.0, solved=False, feedback="the answer was not judged", failure=failure)


# Nobody ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Nobody:
    """Rows without answers: nothing is graded, and what is right has to be told from who agrees with whom."""

    form: AnswerForm = "text"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric."""
        return {"metric": "none, the rows have no answers"}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """There is none."""
        return ""

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """A letter where there are options, else a short text, so that answers can be compared."""
        return Choice(options=item.options) if item.options else ShortText()

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """None is known."""
        return ()

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Nobody says."""
        failure = Failure(kind="unreadable", reason="the rows have no answers to grade by")
        return Score(value=0.0, solved=False, feedback="the answer was not graded", failure=failure)


# Settings -------------------------------------------------------------------------------------------------------


class Strict(BaseModel):
    """A part of a task's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExactSettings(Strict):
    """The same text."""

    kind: Literal["exact"]


class ChoiceSettings(Strict):
    """The letter of an option."""

    kind: Literal["choice"]


class NumericSettings(Strict):
    """The same number."""

    kind: Literal["numeric"]
    tolerance: float = Field(default=1e-6, ge=0, lt=0.5)  # relative


class CodeSettings(Strict):
    """All tests pass."""

    kind: Literal["code"]


class FunctionSettings(Strict):
    """What a function says."""

    kind: Literal["function"]
    function: str = Field(pattern=r"^\w+(\.\w+)*:\w+$")  # module:function


class JudgeSettings(Strict):
    """What a model says."""

    kind: Literal["judge"]
    model: str  # name of a model of the pool
    prompt: Path  # file, relative to the task's
    pool: str | None = None  # pool file, relative to the task's; None: the run's pool
    max_tokens: int = Field(default=512, gt=0)
    max_usd: float | None = Field(default=None, ge=0)  # what the judge may cost over the whole run


GraderSettings = Annotated[
    ExactSettings | ChoiceSettings | NumericSettings | CodeSettings | FunctionSettings | JudgeSettings,
    Field(discriminator="kind"),
]


def make_grader(settings: GraderSettings, *, file: Path, pool: str) -> Grader:
    """The grader that settings describe.

    Args:
        settings: From a task's file.
        file: The task's file, whose folder paths are relative to.
        pool: The run's `--pool` option, for a judge.

    Raises:
        ConfigError: A function, prompt, pool or model cannot be used.
    """
    match settings:
        case ExactSettings():
            return Exact()
        case ChoiceSettings():
            return Letter()
        case NumericSettings():
            return Numeric(tolerance=settings.tolerance)
        case CodeSettings():
            return CodeTests()
        case FunctionSettings():
            call = load_function(settings.function, file.parent, f"{file}: field grader.function")
            return Function(name=settings.function, call=call)
        case JudgeSettings():
            return _judge(settings, file, pool)


def _judge(settings: JudgeSettings, file: Path, pool: str) -> Judge:
    path = file.parent / settings.prompt
    text = read_text(path, where=f"{file}: field grader.prompt: {path}", error=ConfigError)
    prompt = compile_template(text, VARIABLES, str(path))
    asked = configured_pool(pool)
    if asked is not None and settings.pool is not None:
        own = file.parent / settings.pool
        if not own.is_file():
            raise ConfigError(f"{file}: field grader.pool: no pool file {own}")
        asked = configured_pool(str(own))
    if asked is not None and settings.model not in asked.names:
        raise ConfigError(f"{file}: field grader.model: no {settings.model!r} in the pool; {', '.join(asked.names)}")
    return Judge(
        model=settings.model,
        prompt=prompt,
        where=str(path),
        pool=asked,
        max_tokens=settings.max_tokens,
        ledger=Ledger(settings.max_usd),
    )
