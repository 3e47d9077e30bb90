"""What is shown to people in a terminal: texts of models and servers must not steer it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"} | {0x7F: "\u2421"}
# The second set of control codes, marks that turn the direction of what follows, and bytes that are no text, which
# paths and names from a command line may hold and no terminal takes.
_RANGES = (range(0x80, 0xA0), range(0x202A, 0x202F), range(0x2066, 0x206A), range(0xD800, 0xE000))
_STEERING = _PICTURES | {code: "\ufffd" for codes in _RANGES for code in codes}


def visible(text: str) -> str:
    """A text whose control characters are shown instead of obeyed."""
    return text if text.isascii() and text.isprintable() else text.translate(_STEERING)


class Terminal(Console):
    """A console that obeys its own control sequences and shows those of others."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Everything that is printed comes through here, also what lies within something else."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
