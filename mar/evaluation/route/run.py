"""One run of `mar route` from options to a sentence: ask, learn, test, choose, write everything down."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mar.clock import run as run_async
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import Encoder, named_encoder
from mar.errors import ConfigError
from mar.evaluation.last_line import end_with
from mar.evaluation.route.asking import FEWEST, Asking, Gathered
from mar.evaluation.route.calls import Calls
from mar.evaluation.route.kinds import Kind, kinds_for
from mar.evaluation.route.options import RouteOptions
from mar.evaluation.route.report import PICTURE, write
from mar.evaluation.route.sample import POOL, SOURCE, sample_task
from mar.evaluation.route.validation import validate
from mar.evaluation.route.verdict import Verdict, kept_way, verdict_of
from mar.evaluation.routereval.files import load
from mar.evaluation.routereval.table import OutcomeTable
from mar.evaluation.session import SPENDING, Kit, Session, Spread, check_spread
from mar.execution import executor
from mar.learning.progress import Progress
from mar.learning.rundir import RunDir, held
from mar.pool.cards import ModelCard
from mar.pool.choose import configured_pool, empty_pool
from mar.pool.pool import Pool
from mar.runtime import PromptLibrary
from mar.tasks.custom import CustomTask
from mar.tasks.grading.texts import Nobody
from mar.tasks.task import SPLITS, Task
from mar.terminal import Terminal
from mar.types import Domain

CALLS, CHECKPOINT = "calls.csv", "router.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What is asked."""

    task: Task[Any]
    items: Sequence[Any]
    notes: Mapping[str, str]
    graded: bool = True  # else by agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What a run learns from."""

    name: str
    domain: Domain
    calls: Calls
    cards: Sequence[ModelCard]
    simulated: bool = False
    measure: str = "accuracy"
    notes: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """What came out."""

    folder: Path
    verdict: Verdict


def run_route(options: RouteOptions, progress: Progress | None = None) -> Routed | None:
    """Do what the options say; None where a forecast was all that was wanted.

    Raises:
        UserError: Something given cannot be used.
        KeyboardInterrupt: Interrupted; what was paid for is in the cache.
    """
    watch = progress or Progress()
    encoder, prompts = named_encoder(options.embedding), PromptLibrary.load(options.prompts)
    if options.domain is not None:
        prompts.require_domain(options.domain, "--domain")
    if options.table is not None:
        data = scored(options)
        _check_models(data.calls.models, options, data.name)
        path = options.out or Path("runs") / f"route-{data.name}"
        with held(path):
            RunDir.open(path, arguments=options.identity(), prompts=prompts.hash)
            return learned(data, options, path, encoder, watch)
    questions = _questions(options)
    prompts.require_domain(questions.task.domain, f"task {questions.task.name}")
    if options.first_look and options.pool == "auto":
        options = options.model_copy(update={"pool": POOL})  # nobody is paid for made-up questions
    pool = configured_pool(options.pool, cache=True)
    _check_models((pool or empty_pool(options.pool)).names, options, "the pool")
    if pool is not None and (missing := pool.without_price()):
        raise ConfigError(f"no price is known for {', '.join(missing)}; expected every price in the pool file")
    path = options.out or Path("runs") / f"route-{questions.task.name}"
    if options.spread:
        check_spread(pool)
    with held(path), ExitStack() as stack:
        RunDir.open(path, arguments=options.identity(), prompts=prompts.hash)
        spread = None
        if options.spread:
            workers = stack.enter_context(executor(options, extend=options.extend, say=watch.say))
            spread = Spread(executor=workers, pool=options.pool, kit=Kit(prompts=options.prompts))
        data = run_async(
            lambda: asked(questions, pool, options, path, encoder, watch, spread),
            virtual=pool is None or pool.virtual_time,
        )
        return None if data is None else learned(data, options, path, encoder, watch)


def _questions(options: RouteOptions) -> Questions:
    if options.rows is None:
        task = sample_task()
        items = [item for split in SPLITS for item in task.items(split)]
        random.Random("sample").shuffle(items)  # so that a limit takes of every kind
        return Questions(task=task, items=items, notes={"data": SOURCE})
    if options.rows.suffix == ".toml":
        if options.domain is not None:
            raise ConfigError("--domain is for JSONL rows; a task's file states its own")
        task = CustomTask.load(options.rows, pool=options.pool)
    else:
        task = CustomTask.of_rows(options.rows, domain=options.domain)
    notes = {"data": task.source, **task.grader.notes}
    return Questions(task=task, items=task.all_items, notes=notes, graded=not isinstance(task.grader, Nobody))


def scored(options: RouteOptions) -> Data:
    """What a table of scores says.

    Raises:
        UserError: It cannot be used, or has no costs.
    """
    found = load(str(options.table))
    table = next(iter(found), None)
    if len(found) != 1 or not isinstance(table, OutcomeTable):
        raise ConfigError(f"{options.table} holds {len(found)} problems; expected one table of scores and costs")
    domain = options.domain or "Commonsense"
    calls = Calls.of_scores(table, domain)
    if options.limit is not None:
        calls = calls.rows(np.random.default_rng(options.seed).permutation(len(calls))[: options.limit])
    if len(calls) < FEWEST:
        raise ConfigError(f"{table.name} has {len(calls)} rows; expected {FEWEST} or more")
    cards = [ModelCard(name=name) for name in table.models]
    notes = {**table.notes, "learned": "routers alone, since the table has scores and no answers"}
    return Data(name=table.name, domain=domain, calls=calls, cards=cards, notes=notes)


async def asked(
    questions: Questions,
    pool: Pool | None,
    options: RouteOptions,
    path: Path,
    encoder: Encoder,
    progress: Progress,
    spread: Spread | None = None,
) -> Data | None:
    """Every model's answer to every row; None where a forecast was all that was wanted."""
    task, items = questions.task, questions.items[: options.limit]
    session = Session(
        prompts=PromptLibrary.load(options.prompts),
        task=task,
        items=items,
        pool=pool or options.pool,
        progress=progress,
        encoder=encoder,
        max_cost=options.max_cost,
        spending=path / SPENDING,
        request_timeout_s=options.request_timeout,
        concurrency=options.concurrency,
        spread=spread,
    )
    async with session.open() as rollouts:
        asking = Asking(
            rollouts=rollouts, encoder=encoder, progress=progress, max_cost=options.max_cost, seed=options.seed
        )
        gathered = await asking.gather(items, forecast_only=options.dry_run)
        if gathered.calls is None:
            return None
        gathered.calls.save(path / CALLS)
        live = rollouts.runtime.pool
        measure = "accuracy" if questions.graded else "agreement-based accuracy"
        return Data(
            name=task.name,
            domain=task.domain,
            calls=gathered.calls,
            cards=asking.cards,
            simulated=live.simulated,
            measure=f"simulated {measure}" if live.simulated else measure,
            notes=_notes(questions, live, gathered, len(items), paid=str(rollouts.runtime.ledger.spent)),
        )


def _notes(questions: Questions, pool: Pool, gathered: Gathered, rows: int, *, paid: str) -> dict[str, str]:
    assert gathered.calls is not None
    notes = {**questions.notes, "pool": f"{pool.kind}, {len(gathered.calls.models)} models"}
    if not questions.graded:
        notes["metric"] = "how probably an answer is right, estimated from who agrees with whom; nobody graded anything"
    notes["rows"] = f"{len(gathered.calls)} of {rows}"
    if gathered.left_out:
        notes["left out"] = f"{gathered.left_out} rows of which a call failed or was not graded"
    if not pool.free:
        notes["paid in this run"] = paid
    return notes


def learned(data: Data, options: RouteOptions, path: Path, encoder: Encoder, progress: Progress) -> Routed:
    """Learn, test, choose, keep."""
    calls = data.calls
    kinds = kinds_for(options.controllers, calls, data.cards, encoder, data.domain)
    space = PlanSpace(
        cards=tuple(data.cards), prompts=PromptLibrary.load(options.prompts), alone=True, max_agents=len(calls.models)
    )
    validated = validate(calls, kinds, space, progress, seed=options.seed)
    verdict = verdict_of(validated, options.reference, data.measure)
    kept = kept_way(validated.outcomes, verdict.reference)
    _keep(path / CHECKPOINT, next(k for k in kinds if k.name == kept.kind), kept.cost_rate, data)
    label = " (simulated pool)" if data.simulated else ""
    title = f"{data.name}: {len(calls)} rows, {len(calls.models)} models{label}"
    notes = {
        **data.notes,
        "tested": f"on rows not learned from, {validated.folds} folds; what is chosen is chosen in the others",
        "kept": f"{kept.name}, learned from all rows, in {path / CHECKPOINT}",
    }
    found = write(path, validated, verdict, kept, title=title, notes=notes)
    console = Terminal(width=None if sys.stdout.isatty() else 160)
    console.print(found.table())
    end_with(console, path / PICTURE, verdict.sentence)
    return Routed(folder=path, verdict=verdict)


def _check_models(names: Sequence[str], options: RouteOptions, where: str) -> None:
    """Refuse what could only fail once everything was paid for.

    Raises:
        ConfigError: There is no such reference, or only one model.
    """
    if len(names) < 2:
        raise ConfigError(f"{where} has one model, {', '.join(names)}; expected two or more to choose from")
    if options.reference is not None and options.reference not in names:
        raise ConfigError(f"--reference is {options.reference!r}; expected one of {', '.join(names)}")


def _keep(path: Path, kind: Kind, cost_rate: float, data: Data) -> None:
    controller = kind.fit(data.calls)
    controller.cost_rate = cost_rate
    trained_on = {"data": data.name, "rows": str(len(data.calls)), "models": str(len(data.calls.models))}
    kind.save(path, controller, trained_on, simulated=data.simulated)
