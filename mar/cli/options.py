"""Options that several commands take, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mar.cli.script import finite
from mar.execution.options import RAY, WORKERS
from mar.extensions import use

QueryArgument = Annotated[str, typer.Argument(help="The question or task. '-' reads it from standard input.")]
PoolOption = Annotated[
    str, typer.Option("--pool", help="auto (as configured, else simulated), simulated, simulated-vllm, or a file.")
]
RouterOption = Annotated[
    str,
    typer.Option(
        "--router",
        help="cards (one good-value model by card), a packaged controller, a checkpoint file, or module:Class or "
        "file.py:Class of your own.",
    ),
]
EmbeddingOption = Annotated[
    str | None,
    typer.Option("--embedding", help="Encoder of the queries: name or folder; default: the checkpoint's own."),
]
ClassOption = Annotated[
    str | None,
    typer.Option(
        "--router-class", help="module:Class of your own that the checkpoint was fitted with; it is imported."
    ),
]
RateOption = Annotated[
    float | None, typer.Option("--cost-rate", min=0.0, callback=finite, help="Utility per USD: higher is thriftier.")
]
TimeRateOption = Annotated[
    float | None,
    typer.Option("--time-rate", min=0.0, callback=finite, help="Utility per second: higher is hastier."),
]
UserOption = Annotated[
    str | None, typer.Option("--user", help="Who asks: what you rated in mar chat counts (sequential and gmt).")
]
ToolsOption = Annotated[Path | None, typer.Option("--tools", help="File of tools that roles may call (docs/tools.md).")]
AllowOption = Annotated[list[str] | None, typer.Option("--allow", help="Use only this model (may be repeated).")]
DenyOption = Annotated[list[str] | None, typer.Option("--deny", help="Do not use this model (may be repeated).")]
PromptsOption = Annotated[
    Path | None,
    typer.Option("--prompts", help="Folder of roles and prompts beside, or in the place of, those of mar."),
]
WorkersOption = Annotated[int | None, typer.Option("--workers", min=1, help=f"{WORKERS[0].upper()}{WORKERS[1:]}.")]
RayOption = Annotated[str | None, typer.Option("--ray", help=f"{RAY[0].upper()}{RAY[1:]}.")]
DomainOption = Annotated[
    str | None, typer.Option("--domain", help="Task domain, whose roles work on it; default: not known.")
]


def _extend(places: list[str] | None) -> list[str] | None:
    for place in places or ():
        use(place)
    return places


ExtendOption = Annotated[
    list[str] | None,
    typer.Option(
        "--extend",
        callback=_extend,
        is_eager=True,
        help="Python file or module of your own to import, for what it registers (may be repeated).",
    ),
]
CacheOption = Annotated[
    bool,
    typer.Option("--cache", help="Take what was asked before from the response cache, and keep answers there."),
]
LookupOption = Annotated[bool, typer.Option("--lookup", help="Let roles that look things up ask Wikipedia.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of pictures for people.")]
