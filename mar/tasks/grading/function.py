"""A function of one's own that says what an answer is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mar.errors import ConfigError, DataError
from mar.extensions import Registry
from mar.pool.simulated import AnswerForm
from mar.runtime.sandbox import Sandbox
from mar.tasks.grading.base import CustomItem
from mar.tasks.grading.texts import other_texts
from mar.tasks.sources import Located
from mar.tasks.task import Score
from mar.types import AnswerFormat, PlainText

Grade = Callable[[CustomItem, str], object]
GRADERS = Registry[Grade](
    "grader", group="mar.graders", fits=callable, expected="a function of an item and an answer that gives 0 to 1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """Whatever a Python function says."""

    name: str  # as the task's file says
    call: Grade
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


def load_function(name: str, folder: Path, where: str) -> Grade:
    """A registered grader, or the function `module:function`, its module beside the task's file or installed.

    Raises:
        ConfigError: There is no such module or function.
    """
    module, colon, function = name.partition(":")
    beside = folder.joinpath(*module.split(".")).with_suffix(".py")
    try:
        return GRADERS.named(f"{beside}:{function}" if colon and beside.is_file() else name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
