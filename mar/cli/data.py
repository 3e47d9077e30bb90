"""`mar data`: fetch public data sets into the layouts that mar reads, and list them."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from mar.errors import ConfigError, DataError
from mar.tasks.catalogue import CATALOGUE, DataSet
from mar.terminal import Terminal

if TYPE_CHECKING:  # imported where they are used: the HTTP client would make every other command wait
    from mar.tasks.download import Unreachable
    from mar.tasks.pull import Pulled

data_app = typer.Typer(help="Fetch public data sets, or list them.", no_args_is_help=True)

IntoOption = Annotated[Path, typer.Option("--into", help="The data folder.")]


@data_app.command("list")
def list_command(into: IntoOption = Path("Datasets")) -> None:
    """List the data sets: what they are, how large, under which licence, from where, and whether they are there."""
    from mar.tasks.pull import present_files

    table = Table(title="Data sets", show_lines=True)
    for column in ("name", "present", "what it is, rows, size, licence, source"):
        table.add_column(column, overflow="fold", no_wrap=column in ("name", "present"))
    for entry in CATALOGUE.values():
        there = "yes" if present_files(entry, into) else "no"
        about = "\n".join((entry.what, f"{entry.rows}; {entry.size}; {entry.licence}", entry.source))
        table.add_row(*(escape(cell) for cell in (entry.name, there, about)))
    Terminal().print(table)


@data_app.command("pull")
def pull_command(
    name: Annotated[str, typer.Argument(help="A data set's name, or all.")],
    into: IntoOption = Path("Datasets"),
    force: Annotated[bool, typer.Option("--force", help="Fetch it even if it is there.")] = False,
) -> None:
    """Fetch a data set, check it and put it where the loaders look; an interrupted download goes on."""
    if name == "all":
        _pull_all(into, force)
    elif name in CATALOGUE:
        _pull_one(CATALOGUE[name], into, force)
    else:
        raise ConfigError(f"no data set {name!r}; there are {', '.join(CATALOGUE)}, all")


@data_app.command("recordings")
def recordings_command(
    name: Annotated[str, typer.Argument(help="A table's name (docs/recorded.md), such as mmlu_pro.")],
    data: Annotated[Path | None, typer.Option(help="Folder with what was pulled; default: MAR_DATA.")] = None,
    out: Annotated[Path | None, typer.Option(help="The table's file; default: NAME.jsonl.gz.")] = None,
) -> None:
    """Write a table of recorded answers, which --pool replay:FILE reads, from recordings that were pulled."""
    # Only this command needs the tasks and the sandbox's readers, which would make every other one wait.
    from mar.evaluation.recording_tables import RECORDING_TABLES
    from mar.pool.recording_table import write_table

    if name not in RECORDING_TABLES:
        raise ConfigError(f"no table of recorded answers {name!r}; there are {', '.join(RECORDING_TABLES)}")
    table = RECORDING_TABLES[name](data or Path(os.environ.get("MAR_DATA") or "Datasets"))
    path = out or Path(f"{name}.jsonl.gz")
    try:
        write_table(path, table)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from None
    _print(f"{name}: {len(table.answers):,} items, {len(table.models)} LLMs, graded by the {table.graded_by}; {path}")


def _pull_one(entry: DataSet, into: Path, force: bool) -> None:
    from mar.tasks.download import Unreachable, open_client
    from mar.tasks.pull import pull

    try:
        with open_client() as client, _Bars() as bars:
            pulled = pull(entry, into, client=client, watch=bars, force=force)
    except Unreachable as error:
        raise DataError(f"{entry.name}: {_advice(error, (entry,), into)}") from None
    _say(entry, pulled, into)


def _pull_all(into: Path, force: bool) -> None:
    """Everything; what has to be fetched by hand is only named, a host that is silent is asked once."""
    from mar.tasks.download import Unreachable, open_client
    from mar.tasks.pull import by_hand_line, hosts, present_files, pull

    failed: list[str] = []
    silent: dict[str, Unreachable] = {}
    waiting: dict[str, list[DataSet]] = {}
    for entry in CATALOGUE.values():
        wanted = force or not present_files(entry, into)
        manual = entry.by_hand
        if wanted and manual is not None and not (into / manual.place).is_file():
            _print(by_hand_line(entry, manual, into))
            continue
        known = next((host for host in hosts(entry) if host in silent), None)
        if wanted and known is not None:
            waiting[known].append(entry)
            continue
        try:
            with open_client() as client, _Bars() as bars:
                pulled = pull(entry, into, client=client, watch=bars, force=force)
        except Unreachable as error:
            silent[error.host] = error
            waiting[error.host] = [entry]
        except DataError as error:
            failed.append(str(error))
        else:
            _say(entry, pulled, into)
    failed += [_advice(error, waiting[host], into) for host, error in silent.items()]
    if failed:
        raise DataError("; ".join(failed))


def _advice(error: Unreachable, entries: list[DataSet] | tuple[DataSet, ...], into: Path) -> str:
    missed = "" if len(entries) == 1 else f" for {', '.join(e.name for e in entries)}"
    places = ", ".join(str(into / e.files[0]) for e in entries) if len(entries) == 1 else f"{into}/, as its README says"
    return (
        f"{error}{missed}; connect, set HTTPS_PROXY to a proxy or HF_ENDPOINT to a mirror of the hub, "
        f"or copy the files from another machine to {places}"
    )


def _say(entry: DataSet, pulled: Pulled, into: Path) -> None:
    count = f"{len(pulled.files):,} file{'' if len(pulled.files) == 1 else 's'} in {into}"
    if pulled.fetched:
        _print(f"{entry.name}: fetched, {count}; licence: {entry.licence}")
    elif pulled.unrecorded:
        _print(f"{entry.name}: there already, {count}; {pulled.unrecorded:,} without a recorded checksum")
    else:
        _print(f"{entry.name}: there already, {count}; checksums agree")


def _print(text: str) -> None:
    Terminal().print(text, highlight=False, markup=False, soft_wrap=True)


class _Bars:
    """A bar of bytes for each file, on standard error, where that is a terminal."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        console = Terminal(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def start(self, what: str, *, done: int, total: int | None) -> None:
        """A new bar instead of the one before."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(escape(what), completed=done, total=total)

    def advance(self, by: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.advance(self._task, by)
