"""`mar cache`: what the response cache holds, and how to empty it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mar.environment import cache_folder
from mar.pool.cache_store import RESPONSES, CacheStats, ResponseStore
from mar.terminal import Terminal

cache_app = typer.Typer(help="Show or empty the response cache.", no_args_is_help=True)

PathOption = Annotated[
    Path | None, typer.Option("--path", help="The cache's file. Default: in the folder MAR_CACHE, else the user's.")
]


@cache_app.command("stats")
def stats_command(path: PathOption = None) -> None:
    """Show how many replies are kept, their size and their tokens, by model."""
    console = Terminal()
    store = _open(path, console)
    if store is None:
        return
    stats = store.stats()
    store.close()
    console.print(_table(stats))
    console.print(f"{stats.entries:,} replies, {stats.size_bytes / 1e6:.2f} MB in {escape(str(stats.path))}")


@cache_app.command("clear")
def clear_command(
    model: Annotated[str | None, typer.Option("--model", help="Forget only this model's replies.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    path: PathOption = None,
) -> None:
    """Forget the replies that are kept. What they cost will have to be paid again."""
    console = Terminal()
    store = _open(path, console)
    if store is None:
        return
    try:
        counts = {m.model: m.entries for m in store.stats().models}
        count = sum(counts.values()) if model is None else counts.get(model, 0)
        whose = "" if model is None else f" of {model}"
        if count and not yes:
            typer.confirm(f"Forget {count:,} replies{whose} in {store.path}?", abort=True)
        console.print(f"Forgot {store.clear(model):,} replies{escape(whose)}.")
    finally:
        store.close()


def _open(path: Path | None, console: Console) -> ResponseStore | None:
    """The cache, or None, said on the console, when there is none yet: looking must not create one."""
    path = path or cache_folder() / RESPONSES
    if path.exists():
        return ResponseStore(path, days=None)  # what is too old is shown, too
    console.print(f"There is no response cache yet at {escape(str(path))}.")
    return None


def _table(stats: CacheStats) -> Table:
    table = Table(title="Response cache")
    table.add_column("model", overflow="fold")
    for name in ("replies", "prompt tokens", "completion tokens"):
        table.add_column(name, justify="right")
    for model in stats.models:
        figures = (f"{n:,}" for n in (model.entries, model.prompt_tokens, model.completion_tokens))
        table.add_row(escape(model.model), *figures)
    return table
