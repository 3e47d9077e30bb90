"""What a comparison leaves behind: router datasets in the published form, and fitted routers as controllers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mar.controllers.embeddings import Encoder, named_encoder
from mar.controllers.routers import RouterController, save_routed
from mar.controllers.routers.base import Examples, prior
from mar.controllers.routers.registry import make_router
from mar.errors import ConfigError, DataError
from mar.evaluation.routereval.construct import (
    GROUPS,
    SIZES,
    Group,
    RoutingSet,
    candidates,
    routing_set,
    split_of,
)
from mar.evaluation.routereval.embed import embed
from mar.evaluation.routereval.files import load
from mar.evaluation.routereval.published import EMBEDDINGS, write_router_dataset
from mar.evaluation.routereval.recorded import RECORDED
from mar.evaluation.routereval.table import OutcomeTable
from mar.extensions import parse_call
from mar.learning.progress import Progress
from mar.types import Domain

TABLES = f"{', '.join(RECORDED)}, a saved folder, .npz, .parquet, .csv, or a published .pkl"
ENCODER = "embed the prompts with this encoder (name or folder); default: the file's embeddings, else all-MiniLM-L6-v2"
DATA = "folder with recorded tables; default: MAR_DATA, else ./Datasets"


class BuildOptions(BaseModel):
    """Options of `mar routereval build`. Each field's description is its help text."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    table: tuple[str, ...] = Field(default=(), description=f"tables or leaderboards: {TABLES}")
    groups: tuple[Group, ...] = Field(default=GROUPS, description="groups of candidates")
    sizes: tuple[int, ...] = Field(
        default=SIZES, description="pool sizes; those that a table has too few LLMs for are left out"
    )
    embedding: str | None = Field(default=None, description=ENCODER)
    data: Path | None = Field(default=None, description=DATA)
    out: Path = Field(default=Path("router_dataset"), description="folder for one pickle per benchmark")


class FitOptions(BaseModel):
    """Options of `mar routereval fit`. Each field's description is its help text."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    table: str = Field(default="mmlu_pro_query", description=f"one of {TABLES}")
    router: str = Field(default="shrunken", description="name, name(parameter=value,...), or module:Class")
    models: tuple[str, ...] = Field(default=(), description="the LLMs to choose from; default: all of the table")
    embedding: str | None = Field(default=None, description=ENCODER)
    domain: Domain = Field(default="Commonsense", description="task domain of queries that do not state theirs")
    data: Path | None = Field(default=None, description=DATA)
    save_checkpoint: Path = Field(default=Path("router.safetensors"), description="write the controller here")


def embedded(table: OutcomeTable, embedding: str | None, progress: Progress) -> OutcomeTable:
    """The table with the embeddings asked for: its own, or a published kind of its own, else those of an encoder."""
    if table.vectors is not None and embedding in (None, *EMBEDDINGS):
        return table
    return embed(table, named_encoder(embedding), progress)


def embedded_problem(problem: RoutingSet, embedding: str | None) -> RoutingSet:
    """A ready-made problem with the embeddings asked for.

    Raises:
        DataError: Another encoder is asked for, and the prompts' texts are not known.
    """
    if embedding in (None, *EMBEDDINGS):
        return problem
    encoder = named_encoder(embedding)

    def part(examples: Examples) -> Examples:
        if not examples.texts:
            raise DataError(f"{problem.name} has no texts of its prompts to embed with {encoder.name}")
        return replace(examples, vectors=encoder.encode(examples.texts))

    return replace(problem, train=part(problem.train), validation=part(problem.validation), test=part(problem.test))


def build_datasets(options: BuildOptions, progress: Progress | None = None) -> list[Path]:
    """Write one router dataset per benchmark.

    Returns:
        Their paths.

    Raises:
        UserError: A table cannot be used, or has too few LLMs.
    """
    watch, written = progress or Progress(), list[Path]()
    if not options.table:
        raise ConfigError("--table is missing; expected tables or leaderboard files")
    for table in tables(options.table, options.data, options.embedding):
        whole = embedded(table, options.embedding, watch)
        split = split_of(whole)
        sets = list(problems(whole, options.sizes, options.groups))
        path = options.out / f"{table.name}.pkl"
        write_router_dataset(sets, split, path)
        written.append(path)
    return written


def tables(sources: Sequence[str], data: Path | None, embedding: str | None) -> list[OutcomeTable]:
    """All tables of some sources.

    Raises:
        ConfigError: A source holds ready-made problems instead.
    """
    found: list[OutcomeTable] = []
    for source in sources:
        for one in load(source, data=data, embedding=embedding or EMBEDDINGS[0]):
            if isinstance(one, RoutingSet):
                raise ConfigError(f"{source} is a router dataset already; expected a table or a leaderboard")
            found.append(one)
    return found


def problems(table: OutcomeTable, sizes: Sequence[int], groups: Sequence[Group]) -> Iterator[RoutingSet]:
    """The published problems over a table, made one after the other; sizes it has too few LLMs for are left out.

    Raises:
        ConfigError: It has too few LLMs for any.
    """
    fitting = [m for m in sizes if m <= len(table.models)]
    if not fitting:
        raise ConfigError(
            f"{table.name} has {len(table.models)} LLMs; none of the sizes {', '.join(map(str, sizes))} fits"
        )
    split = split_of(table)
    for m in fitting:
        for group in groups:
            yield routing_set(table, candidates(table, m, group), split, group=group)


def fit_controller(options: FitOptions, progress: Progress | None = None) -> Path:
    """Fit a router on a table's training part and save it as a controller.

    Raises:
        UserError: The table, the router or an LLM cannot be used.
    """
    watch = progress or Progress()
    found = tables([options.table], options.data, options.embedding)
    if len(found) > 1:
        raise ConfigError(f"{options.table} holds {len(found)} benchmarks; expected a table of one")
    encoder = named_encoder(options.embedding)
    table = embed(found[0], encoder, watch)  # the controller embeds queries with this encoder, whatever the file has
    models = options.models or table.models
    controller = fitted_controller(table, models, options.router, encoder, domain=options.domain)
    save_routed(options.save_checkpoint, controller, trained_on={"table": table.name, **table.notes})
    return options.save_checkpoint


def fitted_controller(
    table: OutcomeTable, models: Sequence[str], router: str, encoder: Encoder, *, domain: Domain = "Commonsense"
) -> RouterController:
    """A router, fitted on a table's training part, as a controller."""
    problem = routing_set(table, models, split_of(table), group="chosen")
    name, parameters = parse_call(router, "router")
    fresh = make_router(name, **parameters)
    fresh.fit(problem.train, problem.validation)
    ties = np.asarray(prior(problem.train))
    return RouterController(
        router=fresh, models=problem.models, ties=ties, encoder=encoder, name=f"{name} router", domain=domain
    )
