"""One benchmark run from options to table: load, train, test beside the simple baselines, write everything down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic

from mar.clock import run as run_async
from mar.controllers.base import Controller, PlanSpace
from mar.controllers.baselines import RandomPlans
from mar.controllers.embeddings import CachedEncoder, Encoder, MiniLM
from mar.controllers.headers import kind_of
from mar.controllers.masrouter import (
    Fixes,
    Loaded,
    MasRouter,
    NetworkSettings,
    PlanOptions,
    differences,
    load_router,
    save_router,
)
from mar.controllers.packaged import packaged_controller, packaged_controllers
from mar.controllers.sequential import Sequential, load_sequential
from mar.environment import cache_folder
from mar.errors import ConfigError
from mar.evaluation.comparison import Comparison
from mar.evaluation.forecast import forecast
from mar.evaluation.options import IMAGINATION, PRICE, RunOptions
from mar.evaluation.recorded_task import RecordedTask
from mar.evaluation.results import Row, oracle
from mar.evaluation.run_checks import check_options
from mar.evaluation.run_report import Found, label_of, priced, show_found, write_found
from mar.evaluation.sequential_run import SequentialRun
from mar.evaluation.session import SPENDING, Kit, Session, Spread
from mar.evaluation.telemetry_csv import Tested, write_telemetry
from mar.execution import Executor, executor
from mar.learning.arrivals import sweep
from mar.learning.imagined import ImaginedTrainer
from mar.learning.progress import Progress
from mar.learning.reinforce import Trainer
from mar.learning.rollouts import Job, Outcome, Rollouts
from mar.learning.rundir import RunDir, held
from mar.learning.settings import TrainResult, TrainSettings
from mar.pool.choose import configured_pool, empty_pool, recorded_table
from mar.pool.pool import Pool
from mar.runtime import (
    PUBLISHED_MODES,
    NoLookup,
    RunIdentity,
    WikipediaLookup,
    write_episodes,
)
from mar.runtime.modes import known_mode
from mar.tasks.task import ItemT, Task, subset

CURVE = (0.1, 10.0)  # factors on the cost_rate at which the same controller is tested again
PILOT = 64  # random plans whose median cost sets an automatic cost_rate
MEDIAN_PLAN_UTILITY = 0.1  # what the median plan costs at an automatic cost_rate


class Experiment(Generic[ItemT]):
    """A benchmark run."""

    def __init__(
        self, *, task: Task[ItemT], pool: Pool | None, options: RunOptions, progress: Progress, encoder: Encoder
    ) -> None:
        self.task, self.pool = task, pool  # None: a simulated one, which is made when the run begins
        self.workers: Executor | None = None  # that run episodes; None: this process does
        self.options, self.progress, self.encoder = options, progress, encoder
        o = options
        self.train_items = subset(self.task, "train", _least(o.train_limit, o.limit), o.seed).items
        self.validation_items = subset(self.task, "validation", o.limit, o.seed).items
        self.test_items = subset(self.task, "test", _least(o.test_limit, o.limit), o.seed).items
        self.kit = Kit(prompts=o.prompts, decider=o.prompt_file, tools=o.tools)
        self.prompts, self.tools = self.kit.library(), self.kit.toolkit()
        self.prompts.require_domain(task.domain, f"task {task.name}")
        self.prompts.require_domain(o.domain or task.domain, "--domain")
        self.arrivals = sweep(o)  # the first is everybody's, the others only the controller's
        self.controllers: Sequence[str] = o.controllers
        self.loaded: Loaded | None = None
        self.sequential: Sequential | None = None  # from a checkpoint
        if o.checkpoint is not None and kind_of(o.checkpoint) == "sequential":
            self.controllers, self.sequential = ("sequential",), load_sequential(o.checkpoint, encoder).controller
        elif o.checkpoint is not None:
            self.controllers, self.loaded = ("masrouter",), self._load(o.checkpoint)

    def _load(self, path: Path) -> Loaded:
        loaded = load_router(path, self.encoder)
        loaded.router.options = self._plan_options(loaded.router.settings.fixes)
        if loaded.router.settings.max_agents != self.options.max_agent:
            raise ConfigError(
                f"--max_agent is {self.options.max_agent}; the controller {path} was made for "
                f"{loaded.router.settings.max_agents}"
            )
        if self.options.cost_rate == 0 and loaded.router.settings.price_conditioned:
            raise ConfigError(f"--cost_rate is 0; the controller {path} needs a positive price")
        return loaded

    def _plan_options(self, fixes: Fixes) -> PlanOptions:
        o = self.options
        domain = o.domain if fixes.predicted_domain else self.task.domain
        return PlanOptions(decision=o.decision, rounds=o.num_rounds, domain=domain)

    @property
    def modes(self) -> tuple[str, ...]:
        """What plans may be made of: the modes asked for, else what the checkpoint learned, else the published ones."""
        named = tuple(known_mode(name) for name in self.options.modes)
        learned = None if self.loaded is None else self.loaded.router.modes
        return named or learned or PUBLISHED_MODES

    @property
    def pilot_items(self) -> Sequence[ItemT]:
        """Items of the pilot that sets an automatic cost_rate; none when the rate is given."""
        return (self.train_items or self.test_items)[:PILOT] if self.options.cost_rate == "auto" else ()

    # The run --------------------------------------------------------------------------------------------------

    async def main(self, run: RunDir) -> dict[str, Any]:
        """Everything, inside one event loop. Returns the results as they are saved."""
        o = self.options
        session = Session(
            task=self.task,
            items=[*self.train_items, *self.validation_items, *self.test_items],
            pool=self.pool or o.pool,
            progress=self.progress,
            encoder=self.encoder,
            prompts=self.prompts,
            tools=self.tools,
            effects=o.effects,
            max_cost=o.max_cost,
            spending=run.path / SPENDING,
            request_timeout_s=o.request_timeout,
            concurrency=None if self.arrivals else o.concurrency,
            lookup=WikipediaLookup() if o.lookup else NoLookup(),
            spread=None if self.workers is None else Spread(executor=self.workers, pool=o.pool, kit=self.kit),
        )
        async with session.open() as rollouts:
            return await self._train_and_test(run, rollouts, rollouts.runtime.pool)

    async def _train_and_test(self, run: RunDir, rollouts: Rollouts[ItemT], pool: Pool) -> dict[str, Any]:
        o = self.options
        space = PlanSpace.of(pool, self.prompts, max_agents=o.max_agent, modes=self.modes)
        cost_rate = await self._cost_rate(run, rollouts, space)
        comparison = Comparison(
            rollouts=rollouts,
            space=space,
            items=self.test_items,
            progress=self.progress,
            draws=o.test_draws,
            arrivals=self.arrivals[0] if self.arrivals else None,
            cache=cache_folder() / "baselines",
        )
        rows: list[Row] = []
        notes: dict[str, str] = {}
        swept: list[Tested] = []
        if "masrouter" in self.controllers:
            router = self._router(space, cost_rate)
            trained = await self._train(router, space, rollouts, run, cost_rate)
            notes |= self._trained(trained)
            learned = trained.steps > 0 or self.loaded is not None
            if not learned:
                router.name = f"{router.name}, untrained"
            found, outcomes = await self._test(router, comparison, cost_rate)
            swept += [(comparison.arrivals, outcomes), *await self._sweep(router, comparison, found)]
            rows += [*_told(found, learned=learned), *await self._packaged(comparison, cost_rate)]
        if "sequential" in self.controllers:
            part = self._sequential(run, comparison, cost_rate)
            sequential, learned = self.sequential, True
            if sequential is None:
                found = await part.learn([*self.train_items, *self.validation_items] if o.epochs else [])
                notes["sequential"], sequential = f"learned from {found.note}", found.controller
                learned = found.calls > 0
            if not learned:
                sequential.name = f"{sequential.name}, from cards"
            tested, outcomes = await part.test(sequential, comparison, self._factors(cost_rate))
            swept += [(comparison.arrivals, outcomes), *await self._sweep(sequential, comparison, tested)]
            rows += _told(tested, learned=learned)
        rows += await self._baselines(comparison, cost_rate)
        self._keep(run, swept)
        return self._report(run, rows, notes, rollouts, cost_rate)

    def _sequential(self, run: RunDir, comparison: Comparison[ItemT], cost_rate: float) -> SequentialRun[ItemT]:
        return SequentialRun(
            rollouts=comparison.rollouts,
            space=comparison.space,
            run=run,
            encoder=self.encoder,
            progress=self.progress,
            cost_rate=cost_rate,
            most_calls=self.options.calls,
            seed=self.options.seed,
        )

    async def _sweep(self, controller: Controller, comparison: Comparison[ItemT], rows: list[Row]) -> list[Tested]:
        """A controller under every further process of arrivals; rows are added."""
        swept: list[Tested] = []
        for process in self.arrivals[1:]:
            row, found = await replace(comparison, arrivals=process).run(controller, group="learned")
            rows.append(Row(name=f"{row.name}, {process.name}", group=row.group, results=row.results))
            swept.append((process, found))
        return swept

    async def _cost_rate(self, run: RunDir, rollouts: Rollouts[ItemT], space: PlanSpace) -> float:
        """The price of money: as given, or so that the median random plan costs a tenth of utility."""
        rate = self.options.cost_rate
        if rate != "auto":
            return float(rate)
        known = run.recall("cost_rate")
        if known is not None:
            return known
        items = self.pilot_items
        plans = RandomPlans(self.task.domain).plan([self.task.query(i) for i in items], space)
        identity = RunIdentity(epoch="pilot")
        jobs = [Job(item=i, how=p.how, identity=identity) for i, p in zip(items, plans, strict=True)]
        outcomes = await rollouts.run(jobs)
        costs = sorted(o.cost_usd for o in outcomes if o.cost_usd)
        if rollouts.limit_reached:
            self.progress.say(
                f"cost_rate auto: the pilot was cut short and found no price of money; {rollouts.limit_reached}"
            )
            return 0.0 if self.loaded is None else self.loaded.router.cost_rate
        if not costs:
            raise ConfigError("--cost_rate auto found no plan with a cost; give a number (utility per USD)")
        chosen = float(f"{MEDIAN_PLAN_UTILITY / costs[len(costs) // 2]:.3g}")
        run.remember("cost_rate", chosen)
        self.progress.say(f"cost_rate auto: {chosen:g} utility per USD (the median random plan costs 0.1 of utility)")
        return chosen

    def _router(self, space: PlanSpace, cost_rate: float) -> MasRouter:
        o = self.options
        if self.loaded is not None:
            for line in differences(self.loaded.header, space):
                self.progress.say(f"checkpoint: {line}")
            self.loaded.router.cost_rate = cost_rate
            return self.loaded.router
        switched_off = dict.fromkeys((name for name in o.without if name not in {IMAGINATION, PRICE}), False)
        fixes = Fixes.none() if o.paper_faithful else Fixes(**switched_off)
        settings = NetworkSettings(
            embedding=self.encoder.width,
            max_agents=space.max_agents,
            price_conditioned=PRICE not in o.without and not o.paper_faithful and cost_rate > 0,
            fixes=fixes,
        )
        return MasRouter(settings, self.encoder, cost_rate=cost_rate, options=self._plan_options(fixes), seed=o.seed)

    async def _train(
        self, router: MasRouter, space: PlanSpace, rollouts: Rollouts[ItemT], run: RunDir, cost_rate: float
    ) -> TrainResult:
        o = self.options
        settings = TrainSettings(
            epochs=o.epochs,
            start_epoch=o.start_epoch,
            batch_size=o.batch_size,
            rollouts=o.rollouts,
            lr=o.lr,
            cost_rate=cost_rate,
            patience=o.patience,
            calls=o.calls,
            seed=o.seed,
        )
        trainer = (ImaginedTrainer if o.imagines else Trainer)(router, space, rollouts, settings, run, self.progress)
        result = await trainer.train(self.train_items, self.validation_items)
        trained_on = {
            "task": self.task.name,
            "pool": rollouts.runtime.pool.kind,
            "items": str(len(self.train_items)),
            "seed": str(o.seed),
            "updates": str(result.steps),
        }
        for path in filter(None, (run.path / "checkpoint.safetensors", o.save_checkpoint)):
            save_router(path, router, space, trained_on=trained_on, simulated=rollouts.runtime.pool.simulated)
        return result

    def _factors(self, cost_rate: float) -> tuple[float, ...]:
        """Multiples of the price of money at which one controller is tested again."""
        return CURVE if self.options.baselines and cost_rate > 0 else ()

    async def _test(
        self, router: MasRouter, comparison: Comparison[ItemT], cost_rate: float
    ) -> tuple[list[Row], list[Outcome]]:
        row, outcomes = await comparison.run(router, group="learned")
        rows = [row]
        for factor in self._factors(cost_rate) if router.settings.price_conditioned else ():
            router.cost_rate = cost_rate * factor
            curve, _ = await comparison.run(router, group="learned")
            rows.append(Row(name=f"{row.name}, cost_rate x {factor:g}", group=row.group, results=curve.results))
        router.cost_rate = cost_rate
        return rows, outcomes

    async def _baselines(self, comparison: Comparison[ItemT], cost_rate: float) -> list[Row]:
        fixed = await comparison.baselines(cost_rate) if self.options.baselines else []
        named = [r for r in fixed if r.group in {"single LLM", "fixed mode"} and r.n]
        return [*fixed, *([oracle(named, cost_rate)] if named else [])]

    async def _packaged(self, comparison: Comparison[ItemT], cost_rate: float) -> list[Row]:
        """What the controller that ships with mar does here: a bundled sample is too small to learn much from.

        Only on what it was trained for: its benchmark, its simulated pool and roles, a price of money. A run of some
        variant is not about it.
        """
        o, pool = self.options, comparison.rollouts.runtime.pool
        variant = self.loaded is not None or o.paper_faithful or o.without or o.effects != 1
        if variant or not o.baselines or cost_rate <= 0 or not pool.simulated or self.encoder.name != MiniLM.name:
            return []
        if self.task.name not in packaged_controllers():
            return []
        found = load_router(packaged_controller(self.task.name), self.encoder)
        if differences(found.header, comparison.space) or found.router.settings.max_agents != o.max_agent:
            return []
        found.router.options = self._plan_options(found.router.settings.fixes)
        found.router.cost_rate = cost_rate
        row, _ = await comparison.run(found.router, group="learned", cached=True)
        name = f"MasRouter, packaged ({found.header.trained_on['items']} training items)"
        return [Row(name=name, group="packaged", results=row.results)]

    # What is written down -------------------------------------------------------------------------------------

    def _keep(self, run: RunDir, tested: Sequence[Tested]) -> None:
        path = run.path / "episodes-test.jsonl"
        write_episodes(path, (o.episode for _, outcomes in tested for o in outcomes))
        if self.options.train_telemetry_csv is not None:
            write_telemetry(self.options.train_telemetry_csv, tested, self.options, self.task.name)

    def _trained(self, trained: TrainResult) -> dict[str, str]:
        return {
            "training": f"{trained.steps} updates on {len(self.train_items)} items; {trained.stopped}",
            "kept": f"the policy {trained.kept}",
        }

    def _report(
        self, run: RunDir, rows: list[Row], learned: Mapping[str, str], rollouts: Rollouts[ItemT], cost_rate: float
    ) -> dict[str, Any]:
        pool, draws = rollouts.runtime.pool, self.options.test_draws
        notes = {
            **self.task.notes,
            "pool": f"{pool.kind}, {len(pool.cards)} models",
            "cost_rate": priced(pool, cost_rate),
            **learned,
            "arrivals": ", ".join(a.name for a in self.arrivals) or "closed loop",
            "sandbox": str(rollouts.sandbox.fence),
        }
        if not pool.free:
            notes["paid in this run"] = str(rollouts.runtime.ledger.spent)
        if rollouts.limit_reached:
            notes["cut short"] = rollouts.limit_reached
        if left_out := [row.name for row in rows if not row.n]:
            notes["not run"] = ", ".join(left_out)
        found = Found(
            about=f"{self.task.name}, {len(self.test_items)} test items" + (f" x {draws} draws" if draws > 1 else ""),
            label=label_of(pool, self.options.effects),
            rows=[row for row in rows if row.n],
            notes=notes,
            cost_rate=cost_rate,
            simulated=pool.simulated,
        )
        results = write_found(run, found, self.options.result_file, task=self.task.name)
        show_found(run, found)
        return results


def run_experiment(task: Task[ItemT], options: RunOptions) -> dict[str, Any] | None:
    """Run a benchmark as the options say; with --dry_run only say what it would take.

    Raises:
        UserError: Something given cannot be used.
        KeyboardInterrupt: Interrupted; everything up to the last update is saved and can be resumed.
    """
    table = recorded_table(options.pool)
    if table is None:
        pool = configured_pool(options.pool, cache=True)
    else:
        pool, task = table.pool(), RecordedTask(task, table)
        if options.cost_rate == "auto" and pool.without_price():
            options = options.model_copy(update={"cost_rate": 0.0})  # there is none to find: utility is accuracy
    check_options(options, pool)
    progress = Progress()
    encoder = CachedEncoder(MiniLM())
    experiment = Experiment(task=task, pool=pool, options=options, progress=progress, encoder=encoder)
    source = f"{task.name}: {', '.join(f'{k}: {v}' for k, v in task.notes.items())}"
    if options.dry_run:
        progress.say(source)
        forecast(
            experiment.task,
            options,
            experiment.prompts,
            pool or empty_pool(options.pool),
            modes=experiment.modes,
            train=experiment.train_items,
            validation=experiment.validation_items,
            test=experiment.test_items,
            pilot=len(experiment.pilot_items),
        )
        return None
    path = options.out or Path("runs") / f"{task.name}-seed{options.seed}"
    try:
        with held(path), ExitStack() as stack:
            if options.spread:
                experiment.workers = stack.enter_context(executor(options, extend=options.extend, say=progress.say))
            run = RunDir.open(path, arguments=options.identity(), prompts=experiment.prompts.hash)
            progress.say(source)
            progress.say(f"run folder: {path}")
            return run_async(lambda: experiment.main(run), virtual=pool is None or pool.virtual_time)
    except KeyboardInterrupt:
        progress.say(
            f"interrupted; everything up to the last update is in {path}. The same command goes on from there."
        )
        raise


def _told(rows: Sequence[Row], *, learned: bool) -> list[Row]:
    """Rows of a controller that has learned something, or that says it has not."""
    return [row if learned else replace(row, group="untrained") for row in rows]


def _least(*limits: int | None) -> int | None:
    given = [x for x in limits if x is not None]
    return min(given) if given else None
