"""Texts of models and servers are shown in a terminal and do not steer it."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.tree import Tree

import mar
from mar.terminal import Terminal, visible

EVIL = "a\x1b]0;title\x07b\x1b[2Jc\x9b31md\x1b]52;c;Y2xpcA==\x1b\\e\u202ef\rg\x7fh\udcff"


def shown(renderable, *, colours):
    out = io.StringIO()
    Terminal(file=out, force_terminal=colours, width=100, highlight=False).print(renderable)
    return out.getvalue()


def in_table(text):
    table = Table("c")
    table.add_row(text)
    return table


@pytest.mark.parametrize("within", [escape, Panel, in_table, Tree, lambda t: Panel("x", title=t, subtitle=t)])
@pytest.mark.parametrize("colours", [True, False])
def test_no_control_sequence_of_a_text_reaches_the_terminal(within, colours):
    out = shown(within(escape(EVIL)), colours=colours)
    assert "\x1b]" not in out
    assert "\x1b[2J" not in out
    assert not set("\x07\x9b\u202e\r\x7f\udcff") & set(out)
    assert "\u241b]0;title" in out


def test_our_own_colours_are_kept():
    assert "\x1b[31m" in shown("[red]x[/]", colours=True)


def test_lines_and_words_of_any_language_stay_as_they_are():
    assert visible("één\n\tzwei — 三 🙂") == "één\n\tzwei — 三 🙂"


def test_nothing_in_mar_prints_through_any_other_console():
    for path in Path(mar.__file__).parent.rglob("*.py"):
        if path.name == "terminal.py":
            continue
        calls = [n.func for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
        assert not [c for c in calls if isinstance(c, ast.Name) and c.id == "Console"], path
