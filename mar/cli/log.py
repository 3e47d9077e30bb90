"""`mar log`: what a gateway logged, as a file, and deletion of people from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import anyio
import typer

from mar.cli.serve import check_installed
from mar.errors import ConfigError

if TYPE_CHECKING:
    from mar.serving.store.deleting import What
    from mar.serving.store.record import Stored

T = TypeVar("T")

log_app = typer.Typer(help="Export what a gateway logged; delete people from it.", no_args_is_help=True)
StoreOption = Annotated[
    str | None, typer.Option("--store", help="Of requests: a file, or postgresql://... Default: mar serve's.")
]


@log_app.command("export")
def export_command(
    out: Annotated[Path, typer.Option("--out", help="The file: Parquet where it ends in .parquet, else JSON lines.")],
    since: Annotated[str | None, typer.Option(help="A day or time, as 2026-11-27 or 2026-11-27T05:00, of UTC.")] = None,
    store: StoreOption = None,
) -> None:
    """Write what may be learned from: requests of keys that log features or texts, the oldest first."""
    check_installed()
    from mar.serving.store.traffic import logs
    from mar.traffic.files import write_log

    place, began = _place(store), 0.0 if since is None else _seconds(since)
    count = anyio.run(lambda: write_log(out, logs(place, since=began)))
    print(f"{count} requests: {out}")


@log_app.command("delete")
def delete_command(
    user: Annotated[str | None, typer.Option(help="As the application called them, or the hash in the log.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Likewise.")] = None,
    store: StoreOption = None,
    interactions: Annotated[
        Path | None, typer.Option(help="File of what a personal controller learns from. Default: mar's own.")
    ] = None,
    limits: Annotated[
        str | None, typer.Option(help="Where limits are, as mar serve has it: answers given before lie there.")
    ] = None,
) -> None:
    """Delete all requests of a user or a conversation, what was said of them, and what personal controllers kept.

    Answers that may be given again go, whosever they are: nobody knows whose they are.
    """
    check_installed()
    if (user is None) == (conversation is None):
        raise ConfigError("mar log delete: expected either --user or --conversation")

    what, name = ("user", user) if user is not None else ("conversation", conversation or "")

    async def work(stored: Stored) -> tuple[int, Callable[[str], bool]]:
        return await stored.forget(what, name), stored.whose(what, name)

    place = _place(store)
    count, named = _with_log(place, work)
    print(f"{count} requests deleted")
    _clear(place, limits)
    print(f"{_forgotten(place, interactions, what, named)} interactions deleted")


def _clear(place: str, limits: str | None) -> None:
    """Remove all answers that may be given again, where there are any."""
    from mar.serving.replies import REPLY
    from mar.serving.state import Places
    from mar.serving.store.places import limits as limits_at

    found = Places(store=place, limits=limits).limits_place

    async def main() -> None:
        async with limits_at(found) as kept:
            await kept.shelf.clear(REPLY)

    if "://" in found or Path(found).exists():
        anyio.run(main)


def _forgotten(place: str, path: Path | None, what: What, named: Callable[[str], bool]) -> int:
    """Delete somebody from the stores of personal controllers, where the gateway has them; no file is made for it."""
    from mar.controllers.gmt.store import InteractionStore, default_store_path
    from mar.serving.interactions import forgotten
    from mar.serving.store.places import interactions

    count = 0
    for simulated in (False, True):
        store = None if path is not None else interactions(place, simulated=simulated)
        file = default_store_path(simulated=simulated) if path is None else path
        if store is None:
            if not file.exists() or (simulated and path is not None):
                continue
            store = InteractionStore(file)
        try:
            count += forgotten(store, what, named)
        finally:
            store.close()
    return count


def _with_log(place: str, work: Callable[[Stored], Awaitable[T]]) -> T:
    from mar.serving.store.places import database
    from mar.serving.store.record import Retention, Stored

    async def main() -> T:
        everything = Retention(days=None, rows=None)  # what is too old is for the gateway to remove
        async with database(place, durable=True) as db, Stored(db, everything) as stored:
            return await work(stored)

    return anyio.run(main)


def _place(store: str | None) -> str:
    from mar.serving.state import default_store

    place = store or default_store()
    if "://" not in place and not Path(place).exists():
        raise ConfigError(f"{place}: no such file; expected the store of a gateway (--store)")
    return place


def _seconds(since: str) -> float:
    try:
        when = datetime.fromisoformat(since)
    except ValueError:
        raise ConfigError(f"--since: {since!r}; expected a day or time, as 2026-11-27 or 2026-11-27T05:00") from None
    return when.replace(tzinfo=when.tzinfo or UTC).timestamp()
