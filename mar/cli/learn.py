"""`mar learn`: from a log of requests to a candidate."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from mar.cli.script import finite
from mar.errors import ConfigError
from mar.traffic.records import Logged


def learn_command(
    source: Annotated[str, typer.Option("--from", help="A gateway's store, or a log that was exported (.jsonl).")],
    out: Annotated[Path, typer.Option("--out", help="File of the candidate; its table lies beside it.")] = Path(
        "candidate.safetensors"
    ),
    router: Annotated[
        list[str] | None, typer.Option("--router", help="What is learned, or all; may be repeated.")
    ] = None,
    outcomes: Annotated[
        list[str] | None, typer.Option("--outcome", help="Kinds of outcomes that count, the most trusted first.")
    ] = None,
    cost_rate: Annotated[float, typer.Option(min=0.0, callback=finite, help="Quality that a dollar must buy.")] = 0.0,
    embedding: Annotated[str | None, typer.Option(help="Encoder that the gateway logs with, name or folder.")] = None,
    deleted: Annotated[
        str | None, typer.Option(help="Store whose deletions on request an exported log must follow.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds.")] = 0,
) -> None:
    """Learn a controller from what users' requests came to, and say what it would have been worth."""
    # Only this command needs scikit-learn and PyTorch, whose import would make every other one wait.
    from mar.controllers.embeddings import named_encoder
    from mar.learning.progress import Progress
    from mar.traffic.estimates.table import TRUST
    from mar.traffic.learn.candidates import check_kind
    from mar.traffic.learn.run import LearnOptions, run_learn

    if odd := [kind for kind in outcomes or () if kind not in TRUST]:
        raise ConfigError(f"--outcome is {odd[0]!r}; expected one of {', '.join(TRUST)}")
    options = LearnOptions(
        source=source,
        out=out,
        routers=tuple(router or ("all",)),
        outcomes=tuple(kind for kind in TRUST if kind in outcomes) if outcomes else TRUST,
        cost_rate=cost_rate,
        seed=seed,
    )
    for name in options.kinds:
        check_kind(name)  # before a long log is read
    # Vectors of users' questions are made each time: on disk they would outlive whoever is deleted from the log.
    run_learn(_log(source, deleted), options, named_encoder(embedding, on_disk=False), Progress())


def _log(source: str, deleted: str | None) -> Iterable[Logged]:
    """Requests of a store or of a file, without those of whoever asked to be deleted."""
    from mar import clock
    from mar.serving.store.traffic import deletions, logs
    from mar.traffic.files import read_log

    if "://" not in source and not Path(source).is_file():
        raise ConfigError(
            f"there is no {source}; expected a gateway's store (its address), or an exported log (.jsonl)"
        )
    if Path(source).suffix != ".jsonl":

        async def whole() -> list[Logged]:
            return [logged async for logged in logs(source)]

        return clock.run(whole, virtual=False)
    gone = clock.run(lambda: deletions(deleted), virtual=False) if deleted else []
    return [logged for logged in read_log(Path(source)) if not any(one.covers(logged) for one in gone)]
