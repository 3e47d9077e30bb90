"""A table whose lines stand below headings, for terminals and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """What it says."""

    columns: Sequence[str]  # their heads; the first one's cells are names
    lines: Sequence[tuple[str, Sequence[str]]]  # the heading that each stands below, and its cells
    title: str
    caption: str

    def table(self) -> Table:
        """For terminals."""
        table = Table(title=self.title, caption=self.caption, caption_justify="left")
        for i, column in enumerate(self.columns):
            table.add_column(column, justify="left" if i == 0 else "right", no_wrap=i > 0)
        before = None
        for part, cells in self.lines:
            if part != before:
                table.add_section()
                table.add_row(f"[bold]{part}[/]")
            table.add_row(*cells)
            before = part
        return table

    def markdown(self, sentence: str) -> str:
        """The same as Markdown, with a sentence below it."""
        width = len(self.columns)
        rows = [f"### {self.title}", "", f"| {' | '.join(self.columns)} |", "|" + "---|" * width]
        before = None
        for part, cells in self.lines:
            if part != before:
                rows.append(f"| **{part}** |{' |' * (width - 1)}")
            rows.append(f"| {' | '.join(cells)} |")
            before = part
        return "\n".join([*rows, "", self.caption, "", f"**{sentence}**", ""])
