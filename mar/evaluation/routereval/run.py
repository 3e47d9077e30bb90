"""A whole comparison: routers x tables x groups x pool sizes x seeds, resumable, with one table of results."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from mar.controllers.routers.registry import make_router
from mar.errors import ConfigError
from mar.evaluation.routereval.construct import GROUPS, SIZES, Group, RoutingSet
from mar.evaluation.routereval.external import run_program
from mar.evaluation.routereval.files import load
from mar.evaluation.routereval.keep import DATA, ENCODER, TABLES, embedded, embedded_problem, problems
from mar.evaluation.routereval.published import EMBEDDINGS
from mar.evaluation.routereval.references import probability
from mar.evaluation.routereval.report import Line, line_of, write_results
from mar.evaluation.routereval.results import SINGLE, Measured, run_reference, run_router, run_single
from mar.evaluation.routereval.state import digest_of_files, digest_of_problem, own_files
from mar.evaluation.routereval.store import Store
from mar.evaluation.routereval.table import OutcomeTable
from mar.execution import Executor, Spec, Workers, executor
from mar.execution.options import PLACES
from mar.extensions import parse_call
from mar.learning.progress import Progress
from mar.numerics import one_thread

SHIPPED = ("oracle", "r_o_0.5", "random", "knn", "linear", "mlp", "roberta_cluster", "svm", "mf", "elo", "shrunken")


class RoutingOptions(Workers):
    """Options of a routing comparison. Each field's description is its help text."""

    table: tuple[str, ...] = Field(default=("mmlu_pro",), description=f"tables: {TABLES}")
    routers: tuple[str, ...] = Field(default=SHIPPED, description="names, name(parameter=value,...), or module:Class")
    program: str | None = Field(
        default=None, description="a router of another kind: a command that prints mu, vb, ep last; {problem} is a file"
    )
    groups: tuple[Group, ...] = Field(default=GROUPS, description="groups of candidates")
    sizes: tuple[int, ...] = Field(
        default=(3, 5, 10), description=f"pool sizes; published are {', '.join(map(str, SIZES))}"
    )
    data: Path | None = Field(default=None, description=DATA)
    embedding: str | None = Field(default=None, description=ENCODER)
    published_ties: bool = Field(default=False, description="give ties to the first column, as the published code does")
    seeds: int = Field(default=1, gt=0, description="runs of each router that draws something, with seeds 0, 1, ...")
    limit: int | None = Field(default=None, gt=0, description="at most so many prompts of every table")
    out: Path = Field(default=Path("runs/routereval"), description="run folder, gone on with if it exists")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if low := [m for m in self.sizes if m < 2]:
            raise ValueError(f"--sizes has {low[0]}; expected 2 or more candidates")
        for name in self.routers:
            if probability(name) is None:
                _fresh(name, 0)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One router on one problem with one seed."""

    router: str
    problem: str  # its name
    seed: int
    state: str  # digest of the problem's data and, where the router is the user's own, of its file

    @property
    def key(self) -> str:
        """Name of its result's file: another one when the table or the router's code has changed since."""
        text = json.dumps([self.router, self.problem, self.seed, self.state])
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def run_routing(options: RoutingOptions, progress: Progress | None = None) -> Path:
    """Run what has not been run yet, and write results.csv, results.md and routers.png.

    Returns:
        The Markdown table's path.

    Raises:
        UserError: A table, a router or an option cannot be used; or the folder belongs to a run with other options.
    """
    watch, lines, notes = progress or Progress(), list[Line](), dict[str, str]()
    store: Store | None = None
    with executor(options, say=watch.say) as workers:
        for problem in problems_of(options, watch):
            # Only now: what cannot be run is refused before anything is written.
            store = store or Store.open(options.out, options.model_dump(mode="json", exclude={"out", *PLACES}))
            lines += _compare(Measuring(options=options, problem=problem), store, watch, workers)
            notes |= problem.notes
    if not lines:
        raise ConfigError(f"{', '.join(options.table)} has no problem of these --sizes and --groups")
    notes["embedding"] = options.embedding or "the table's own, else all-MiniLM-L6-v2"
    notes["ties"] = "the first column" if options.published_ties else "the training mean, then chance"
    return write_results(lines, options.out, notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring(Spec[Job, Measured]):
    """Fits and scores routers on a problem, on one thread: so results are the same beside any number of others."""

    options: RoutingOptions
    problem: RoutingSet

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[Job], Awaitable[Measured]]]:
        """See `Spec`."""
        with one_thread():
            yield self._work

    async def _work(self, job: Job) -> Measured:
        return _measure(job, self.options, self.problem)


def _compare(measuring: Measuring, store: Store, progress: Progress, workers: Executor) -> list[Line]:
    problem = measuring.problem
    jobs, runs = list(_jobs(measuring.options, problem)), dict[str, list[Measured]]()
    left = [job for job in jobs if job.key not in store]
    with progress.bar(problem.name, total=len(jobs)) as bar:
        bar.advance(len(jobs) - len(left))

        def keep(number: int, measured: Measured, standing: str) -> None:
            store.put(left[number].key, measured)
            bar.advance(note=f"{left[number].router} {standing}")

        workers.run(measuring, left, keep)
    for job in jobs:
        runs.setdefault(job.router, []).append(store.get(job.key))
    return [line_of(problem.name, measured, runs[SINGLE][0]) for measured in runs.values()]


def problems_of(options: RoutingOptions, progress: Progress) -> Iterator[RoutingSet]:
    """Every routing problem that the options name, embedded."""
    for source in options.table:
        for loaded in load(source, data=options.data, embedding=options.embedding or EMBEDDINGS[0]):
            if isinstance(loaded, OutcomeTable):
                table = embedded(_limited(loaded, options.limit), options.embedding, progress)
                yield from problems(table, options.sizes, options.groups)
            elif len(loaded.models) in options.sizes and loaded.group in options.groups:
                yield embedded_problem(loaded, options.embedding)


def _limited(table: OutcomeTable, limit: int | None) -> OutcomeTable:
    if limit is None or limit >= len(table):
        return table
    return table.rows(np.sort(np.random.default_rng(0).permutation(len(table))[:limit]))


def _jobs(options: RoutingOptions, problem: RoutingSet) -> Iterator[Job]:
    data = digest_of_problem(problem)
    yield Job(router=SINGLE, problem=problem.name, seed=0, state=data)
    for name in options.routers:
        seeds, state = 1, data
        if probability(name) is None:
            router = _fresh(name, 0)
            seeds = options.seeds if "seed" in vars(router) else 1
            state += digest_of_files(own_files(router))
        yield from (Job(router=name, problem=problem.name, seed=seed, state=state) for seed in range(seeds))
    if options.program is not None:
        state = data + digest_of_files(map(Path, shlex.split(options.program)))
        yield Job(router=options.program, problem=problem.name, seed=0, state=state)


def _measure(job: Job, options: RoutingOptions, problem: RoutingSet) -> Measured:
    if job.router == SINGLE:
        return run_single(problem)
    if job.router == options.program:
        return run_program(job.router, problem)
    p = probability(job.router)
    if p is not None:
        return run_reference(p, problem, name=job.router)
    router = _fresh(job.router, job.seed)
    return run_router(router, problem, name=job.router, published_ties=options.published_ties, seed=job.seed)


def _fresh(text: str, seed: int) -> Any:
    name, parameters = parse_call(text, "router")
    router = make_router(name, **parameters)
    if seed and hasattr(router, "seed"):
        router = make_router(name, **{**parameters, "seed": seed})
    return router
