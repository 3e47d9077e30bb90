"""`mar rollout`: new versions of a gateway's controllers, brought in step by step."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import anyio
import typer
from rich.markup import escape
from rich.table import Table

from mar.cli.options import ExtendOption
from mar.cli.script import finite
from mar.terminal import Terminal

if TYPE_CHECKING:
    from mar.serving.rollout.store import Event, RolloutStore
    from mar.traffic.rollout import Rollout

T = TypeVar("T")
rollout_app = typer.Typer(
    help="Bring a new version of a gateway's controller in: in shadow, on a share of users, for all.",
    no_args_is_help=True,
)
StoreOption = Annotated[str | None, typer.Option("--store", help="As mar serve has it. Default: mar serve's.")]
ForOption = Annotated[str, typer.Option("--for", help="The controller's name, as clients ask for it: mar, mar/NAME.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]
BECAUSE = "told to by mar rollout"


@rollout_app.command("start")
def start_command(
    candidate: Annotated[str, typer.Argument(help="A checkpoint file, or the name of a controller: cards.")],
    controller: ForOption = "mar",
    cost_rate: Annotated[
        float | None, typer.Option("--cost-rate", min=0.0, callback=finite, help="Its price of money: utility per USD.")
    ] = None,
    extend: ExtendOption = None,
    store: StoreOption = None,
) -> None:
    """Register a candidate by its content and let it begin in shadow. Works while the gateway runs."""
    from mar.extensions import use
    from mar.serving.rollout.versions import Version

    for place in extend or ():
        use(place)
    version = Version.of(candidate, cost_rate)
    rollout = _with_store(store, lambda found: found.start(version, controller))
    Terminal().print(f"{rollout.id}: version {version.id} ({escape(version.label)}) is in shadow for {controller}.")


@rollout_app.command("status")
def status_command(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show what is on its way, what was promoted, and what happened with which evidence."""

    async def read(found: RolloutStore) -> tuple[list[Rollout], list[Event], Mapping[str, str]]:
        return await found.rollouts(), await found.events(), await found.labels()

    rollouts, events, labels = _with_store(store, read)
    if as_json:
        plain = {"rollouts": [asdict(r) for r in rollouts], "events": [asdict(e) for e in events]}
        print(json.dumps(plain, indent=2))
        return
    console = Terminal()
    console.print(_rollouts(rollouts, labels) if rollouts else "No candidate was ever started: mar rollout start FILE")
    if events:
        console.print(_events(events))


@rollout_app.command("promote")
def promote_command(controller: ForOption = "mar", store: StoreOption = None) -> None:
    """Let the candidate on its way answer everybody, whatever is shown of it: within two seconds at every worker."""
    from mar.serving.rollout.hand import promote

    rollout = _with_store(store, lambda found: promote(found, controller, BECAUSE))
    Terminal().print(f"{rollout.id}: version {rollout.candidate} answers as {controller}.")


@rollout_app.command("rollback")
def rollback_command(controller: ForOption = "mar", store: StoreOption = None) -> None:
    """Take the candidate on its way back; where there is none, the latest promotion. Within two seconds everywhere."""
    from mar.serving.rollout.hand import roll_back

    rollout = _with_store(store, lambda found: roll_back(found, controller, BECAUSE))
    Terminal().print(f"{rollout.id}: version {rollout.candidate} answers nobody as {controller}.")


def _with_store(place: str | None, work: Callable[[RolloutStore], Awaitable[T]]) -> T:
    from mar.serving.rollout.store import RolloutStore
    from mar.serving.state import default_store
    from mar.serving.store.places import database

    async def main() -> T:
        async with database(place or default_store(), durable=True) as db:
            return await work(await RolloutStore.open(db))

    return anyio.run(main)


def _rollouts(rollouts: Sequence[Rollout], labels: Mapping[str, str]) -> Table:
    table = Table(title="Rollouts")
    for name in ("rollout", "for", "candidate", "beside", "stage", "since", "because"):
        table.add_column(name, overflow="fold")
    for r in rollouts:
        stage = f"{r.stage} {r.share:.0%}" if r.stage == "canary" else r.stage
        candidate = f"{r.candidate} ({labels.get(r.candidate, '?')})"
        row = (r.id, r.controller, candidate, r.base or "not taken up yet", stage, _time(r.since), r.because)
        table.add_row(*map(escape, row))
    return table


def _events(events: Sequence[Event]) -> Table:
    table = Table(title="What happened, the latest first")
    for name in ("when", "kind", "what it is about", "what", "because"):
        table.add_column(name, overflow="fold")
    for e in events:
        table.add_row(*map(escape, (_time(e.at), e.kind, e.subject, e.what, e.because)))
    return table


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
