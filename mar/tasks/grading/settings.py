"""The part of a task's file that names its grader."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mar.errors import ConfigError
from mar.pool.choose import configured_pool
from mar.reading import read_text
from mar.runtime import Ledger
from mar.runtime.prompts.templates import compile_template
from mar.tasks.grading.base import Grader
from mar.tasks.grading.forms import CodeTests, Letter, Numeric
from mar.tasks.grading.function import Function, load_function
from mar.tasks.grading.judge import Judge
from mar.tasks.grading.texts import Exact

VARIABLES = frozenset({"question", "gold", "answer"})  # what a judge's prompt may use


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
    function: str = Field(pattern=r"^[\w.-]+(:\w+)?$")  # module:function, or a registered grader's name


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
    asked = configured_pool(pool, cache=True)
    if asked is not None and settings.pool is not None:
        own = file.parent / settings.pool
        if not own.is_file():
            raise ConfigError(f"{file}: field grader.pool: no pool file {own}")
        asked = configured_pool(str(own), cache=True)
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
