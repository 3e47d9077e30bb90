"""`mar pool`: which models there are, what they cost, where they are, and whether they answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mar.pool.cards import ModelCard
from mar.pool.settings import PoolConfig, pool_config
from mar.terminal import Terminal

if TYPE_CHECKING:
    from mar.pool.health import Health

FIGURES = ("model", "USD/M in", "out", "context", "output", "at once", "/min")
PLACES = ("endpoint", "key", "health")


def pool_command(
    pool: Annotated[
        Path | None, typer.Option("--pool", help="Pool file (TOML or JSON). Default: the usual places.")
    ] = None,
    env_file: Annotated[Path, typer.Option("--env-file", help="File of variables such as URL and KEY.")] = Path(".env"),
    health: Annotated[bool, typer.Option("--health/--no-health", help="Ask each server whether it is up.")] = True,
) -> None:
    """Show the models of the pool: prices, limits, endpoints, keys, health; exit status 1: not all of them answer."""
    console = Terminal()
    config = pool_config(pool, env_file=env_file)
    if config is None:
        _show_simulated(console)
        return
    checked: Mapping[str, Health] = _asked(config) if health else {}
    console.print(pool_table(config, checked))
    console.print(f"Configured by: {escape('; '.join(config.found))}", highlight=False)
    for model, variable in config.missing_keys.items():
        console.print(f"{escape(model)}: {escape(variable)} is not set; set it in .env or the environment")
    if not all(state.ok for state in checked.values()):
        raise typer.Exit(1)


def _asked(config: PoolConfig) -> Mapping[str, Health]:
    import anyio

    from mar.pool.health import check_health  # only this path needs an HTTP client

    return anyio.run(check_health, config.cards, config.keys)


def pool_table(config: PoolConfig, health: Mapping[str, Health]) -> Table:
    """The models of a live pool as a table."""
    table = _table("Live pool", *FIGURES, *PLACES)
    for card in config.cards:
        key = "set" if card.name in config.keys else f"{card.key_env} not set" if card.key_env else "none"
        host = urlsplit(card.base_url or "").netloc
        table.add_row(*_figures(card), escape(host), escape(key), _health(health.get(card.name)))
    return table


def _show_simulated(console: Console) -> None:
    from mar.pool.simulated import simulated_cards  # only this path needs the simulator

    table = _table("Simulated pool: answers are made up by a model of LLM serving", *FIGURES)
    for card in simulated_cards():
        table.add_row(*_figures(card))
    console.print(table)
    console.print("No live pool is configured. To use one, see template.env, or pass --pool FILE.")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)  # fits 80 columns
    for name in columns:
        text = name in ("model", *PLACES)
        table.add_column(name, justify="left" if text else "right", overflow="fold", no_wrap=name in FIGURES)
    return table


def _figures(card: ModelCard) -> tuple[str, ...]:
    """The cells that any pool has. An unknown price is shown as unknown, never as 0."""
    if card.price_gpu_second is not None:
        price_in, price_out = f"{card.price_gpu_second:g}/GPU s", ""
    else:
        price_in, price_out = _number(card.price_in, "unknown"), _number(card.price_out, "unknown")
    limits = (f"{card.context_tokens:,}", f"{card.max_output_tokens:,}", str(card.concurrency))
    return (escape(card.name), price_in, price_out, *limits, _number(card.requests_per_minute, "any"))


def _health(state: Health | None) -> str:
    if state is None:
        return "not asked"
    return f"[{'green' if state.ok else 'red'}]{escape(state.text)}[/]"


def _number(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:g}"
