"""`mar keys`: virtual keys of a gateway."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import anyio
import typer
from rich.markup import escape
from rich.table import Table

from mar.cli.script import finite
from mar.errors import ConfigError
from mar.reading import validated
from mar.terminal import Terminal

if TYPE_CHECKING:
    from mar.serving.keys.key import Key
    from mar.serving.store.keys import KeyStore

T = TypeVar("T")
keys_app = typer.Typer(help="Make, list and revoke the virtual keys of a gateway.", no_args_is_help=True)
PlaceOption = Annotated[
    str | None,
    typer.Option("--keys", "--store", help="Where keys are: a file, or postgresql://... Default: mar serve's."),
]
LimitsOption = Annotated[str | None, typer.Option("--limits", help="Where what they spend is, as mar serve has it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
KeyArgument = Annotated[str, typer.Argument(help="The key's id, or its name.")]
Usd = Annotated[float | None, typer.Option(min=0.0, callback=finite)]
Number = Annotated[int | None, typer.Option(min=1)]


@keys_app.command("create")
def create_command(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    model: Annotated[list[str] | None, typer.Option(help="A model that it may ask; repeat. Default: all.")] = None,
    controller: Annotated[list[str] | None, typer.Option(help="A controller: mar, mar/NAME. Default: all.")] = None,
    usd_day: Usd = None,
    usd_month: Usd = None,
    usd_total: Usd = None,
    requests_per_minute: Number = None,
    tokens_per_minute: Number = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="Requests under way.")] = None,
    role: Annotated[str, typer.Option(help="use, observe (sees what all ask), admin (changes it).")] = "use",
    log: Annotated[str, typer.Option(help="What is logged of its requests: nothing, features, text.")] = "nothing",
    explore: Annotated[
        bool, typer.Option("--explore/--no-explore", help="Whether some may be answered otherwise, to learn from.")
    ] = True,
    keys: PlaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. Its secret is shown once."""
    from mar.serving.keys.key import Terms, named

    given = {
        "models": model or None,
        "controllers": controller or None,
        "usd_day": usd_day,
        "usd_month": usd_month,
        "usd_total": usd_total,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "at_once": at_once,
        "role": role,
        "log": log,
        "explore": explore,
    }
    terms = validated(Terms, given, "mar keys create", error=ConfigError)
    called = named(name)
    key, secret = _with_store(keys, lambda store: store.create(called, terms))
    _show_secret(key, secret, as_json)


@keys_app.command("list")
def list_command(keys: PlaceOption = None, limits: LimitsOption = None, as_json: JsonOption = False) -> None:
    """Show the keys, what they allow and what they have spent."""
    from mar.serving.money import usd

    found = _with_store(keys, lambda store: store.all())
    spent = {id: usd(nano) for id, nano in _spent(found, keys, limits).items()}
    if as_json:
        from mar.serving.store.keys import shown

        print(json.dumps([row | {"spent_usd": spent.get(str(row["id"]))} for row in shown(found)], indent=2))
    else:
        Terminal().print(_table(found, spent))


@keys_app.command("revoke")
def revoke_command(key: KeyArgument, keys: PlaceOption = None) -> None:
    """Revoke a key for good: within two seconds every worker refuses it."""
    found = _with_store(keys, lambda store: store.revoke(key))
    Terminal().print(f"{found.id} ({escape(found.name)}) is revoked.")


@keys_app.command("rotate")
def rotate_command(
    key: KeyArgument,
    overlap: Annotated[float, typer.Option(min=0.0, callback=finite, help="Seconds that the old one is good.")] = 0.0,
    keys: PlaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a key a new secret, which is shown once. What it has spent, and may, stays."""
    found, secret = _with_store(keys, lambda store: store.rotate(key, overlap_s=overlap))
    _show_secret(found, secret, as_json)


def _with_store(place: str | None, work: Callable[[KeyStore], Awaitable[T]]) -> T:
    from mar.serving.state import default_store, key_store

    async def main() -> T:
        async with key_store(place or default_store()) as store:
            return await work(store)

    return anyio.run(main)


def _spent(keys: Sequence[Key], place: str | None, limits: str | None) -> Mapping[str, int]:
    """What keys have spent in all, in nano-USD."""
    from mar.serving.state import Places, default_store, spent

    return anyio.run(spent, Places(store=place or default_store(), limits=limits), [key.id for key in keys])


def _show_secret(key: Key, secret: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"id": key.id, "name": key.name, "secret": secret}))
        return
    console = Terminal(soft_wrap=True, highlight=False)
    console.print(f"{key.id} ({escape(key.name)}). Its secret, which is not shown again:")
    console.print(secret)


def _table(keys: Sequence[Key], spent: Mapping[str, float]) -> Table:
    table = Table(title="Virtual keys")
    for name in ("key", "name", "role", "may ask", "limits"):
        table.add_column(name, overflow="fold")
    table.add_column("spent, USD", justify="right")
    table.add_column("made")
    table.add_column("state")
    for key in keys:
        terms = key.terms
        state = "good" if key.revoked is None else f"revoked {_day(key.revoked)}"
        may = ", ".join((*(terms.controllers or ()), *(terms.models or ()))) or "all"
        row = (key.id, key.name, terms.role, may, _limits(key), f"{spent.get(key.id, 0.0):.4f}", _day(key.created))
        table.add_row(*(escape(text) for text in (*row, state)))
    return table


def _limits(key: Key) -> str:
    terms = key.terms
    parts = [f"{usd:g} USD {'in all' if period == 'total' else f'a {period}'}" for period, usd in terms.budgets.items()]
    rates = {"requests/min": terms.requests_per_minute, "tokens/min": terms.tokens_per_minute, "at once": terms.at_once}
    return ", ".join((*parts, *(f"{n:,} {what}" for what, n in rates.items() if n is not None))) or "none"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
