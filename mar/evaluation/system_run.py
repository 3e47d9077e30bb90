# pyright: basic
"""One training run under load from options to table: train segment by segment, keep everything, test beside rules."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mar import clock
from mar.controllers.base import Controller, PlanSpace
from mar.controllers.embeddings import CachedEncoder, Encoder, MiniLM, bare
from mar.controllers.headers import Arrays
from mar.controllers.masrouter import load_router
from mar.controllers.system_aware import RULES
from mar.controllers.system_aware.checkpoint import Header, contents, fill, load_system_aware, save_system_aware
from mar.controllers.system_aware.controller import SystemAware, SystemSettings, build
from mar.controllers.system_aware.observe import E2E, INTER_TOKEN, KV, RUNNING, TTFT, WAITING
from mar.errors import ConfigError
from mar.evaluation.load_jobs import LoadTests, Rule, check_load_spread, run_tests
from mar.evaluation.loadtest import LoadResult, as_markdown, as_table, write_requests
from mar.evaluation.qualities import single_qualities
from mar.evaluation.session import SPENDING, Kit, Session
from mar.evaluation.system_options import SystemOptions, task_of, training_of
from mar.evaluation.telemetry_csv import Row, episode_rows, step_keys, write_rows
from mar.execution import executor
from mar.files import write_atomically
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.learning.rundir import RunDir, held
from mar.learning.system_aware import SystemTrainer
from mar.learning.system_aware.samples import Sample
from mar.pool.choose import configured_pool
from mar.pool.pool import Pool
from mar.reading.tables import read_named_cells
from mar.tasks.task import Task, subset
from mar.terminal import Terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a run has trained, as it travels."""

    name: str
    header: Header
    arrays: Arrays
    encoder: Encoder  # without what is remembered of it
    seed: int
    greedy: bool

    def made(self, pool: Pool, space: PlanSpace) -> tuple[str, Controller]:
        """See `mar.evaluation.load_jobs.Contender`."""
        controller = build(self.header.settings, space, CachedEncoder(self.encoder), seed=self.seed)
        fill(controller, self.header, self.arrays)
        controller.greedy = self.greedy
        return self.name, controller


class SystemRun:
    """A training run under load."""

    def __init__(self, task: Task[Any], options: SystemOptions, *, encoder: Encoder, progress: Progress) -> None:
        o = options
        self.task, self.options, self.encoder, self.progress = task, o, encoder, progress
        self.training = training_of(o)
        self.items = subset(task, o.split, o.limit, o.seed).items
        self.validation = subset(task, "validation", o.limit, o.seed).items if o.split != "validation" else ()
        self.test = subset(task, "test", o.limit, o.seed).items
        if not self.items:
            raise ConfigError(f"split {o.split} of {task.name} has no items to train on")
        self.kit = Kit(prompts=o.prompts, decider=o.prompt_file)
        self.prompts = self.kit.library()
        everything = {task.query(i).id: i for i in (*self.items, *self.validation, *self.test)}
        self.folder = o.out or Path("runs") / o.name
        self.session = Session(
            task=task,
            items=list(everything.values()),
            pool=o.pool,
            progress=progress,
            encoder=encoder,
            prompts=self.prompts,
            max_cost=o.max_cost,
            spending=self.folder / SPENDING,
            request_timeout_s=o.request_timeout,
            max_tokens=o.max_tokens,
            keep_prompts=o.telemetry_csv is not None,
        )
        self._trainer: SystemTrainer[Any] | None = None

    def start(self) -> SystemAware:
        """Train what is left to train, then test. Each segment is an event loop of its own.

        Raises:
            UserError: Something given cannot be used.
        """
        live = configured_pool(self.options.pool)
        if self.options.spread:
            check_load_spread(live)
        virtual = live is None
        with held(self.folder):
            return self._started(virtual=virtual)

    def _started(self, *, virtual: bool) -> SystemAware:
        self.run = RunDir.open(self.folder, arguments=self.options.identity(), prompts=self.prompts.hash)
        self.progress.say(f"run folder: {self.folder}")
        texts = [self.task.query(i).text for i in self.session.items]
        with self.progress.bar("embedding queries", total=1):
            self.encoder.encode(texts)
        while clock.run(self._segment, virtual=virtual):
            pass
        if self.options.test_episodes and self.test:
            self._report(self._tested(virtual=virtual))
        assert self._trainer is not None
        return self._trainer.controller

    # Training -------------------------------------------------------------------------------------------------

    async def _segment(self) -> bool:
        """Run the next segment; False when there was none, or the limit of cost is reached."""
        async with self.session.open() as rollouts:
            trainer = self._trainer or self._prepared(rollouts)
            number = trainer.next_segment
            if number is None or rollouts.limit_reached:
                return False

            def derive(samples: Sequence[Sample]) -> None:
                self._note(trainer, number, samples)
                last = trainer.next_segment is None
                self._checkpoints(trainer, number, last, simulated=rollouts.runtime.pool.simulated)

            await trainer.segment(rollouts, derive=derive)
            return trainer.next_segment is not None

    def _prepared(self, rollouts: Rollouts[Any]) -> SystemTrainer[Any]:
        o, pool = self.options, rollouts.runtime.pool
        space = PlanSpace.of(pool, self.prompts, max_agents=o.max_agent)
        controller = self._controller(space)
        self._trainer = SystemTrainer(
            controller, space, self.items, self.validation, self.training, self.run, self.progress
        )
        return self._trainer

    def _controller(self, space: PlanSpace) -> SystemAware:
        o = self.options
        if o.resume_checkpoint is not None:
            controller = load_system_aware(o.resume_checkpoint, self.encoder, space)
            if controller.settings.variant != o.variant:
                raise ConfigError(f"{o.resume_checkpoint} is of variant {controller.settings.variant}, not {o.variant}")
            return controller
        if o.masrouter is not None and o.variant != "published":
            raise ConfigError(f"--masrouter begins the published planner; the variant is {o.variant}")
        router = None if o.masrouter is None else load_router(o.masrouter, self.encoder).router
        settings = SystemSettings(
            variant=o.variant,
            domain=o.role_domain or self.task.domain,
            models=tuple(card.name for card in space.cards),
            embedding=self.encoder.width,
            estimates=o.estimates,
        )
        return build(settings, space, self.encoder, seed=o.seed, router=router)

    def _checkpoints(self, trainer: SystemTrainer[Any], number: int, last: bool, *, simulated: bool) -> None:
        o = self.options
        paths: list[Path] = []
        if o.checkpoint_every and (number + 1) % o.checkpoint_every == 0:
            paths.append((o.checkpoint_dir or self.folder) / f"checkpoint-{number + 1}.safetensors")
        if last:
            paths.append(self.folder / "checkpoint.safetensors")
            paths += [] if o.checkpoint_path is None else [o.checkpoint_path]
        about = {"task": self.task.name, "items": str(len(self.items)), "seed": str(o.seed), "run": o.name}
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_system_aware(path, trainer.controller, trained_on=about, simulated=simulated)

    # Telemetry ------------------------------------------------------------------------------------------------

    def _note(self, trainer: SystemTrainer[Any], number: int, samples: Sequence[Sample]) -> None:
        """Rows of a segment, in a file of its own, then all files so far as one: a killed run repeats no row."""
        o = self.options
        rows = list(self._rows(trainer, number, samples)) if o.telemetry_csv or o.log_episodes else []
        if o.log_episodes:
            for row in rows:
                if row["record_type"] == "episode":
                    self.progress.say(
                        f"{row['item_id']}: {row['topology']} {row['role_set']}, quality {row['quality']:g}, "
                        f"{row['workflow_latency_seconds']:.1f} s of {row['budget_total']:g} s"
                    )
        if o.telemetry_csv is None:
            return
        write_rows(self._part(number), rows)
        everything: list[Row] = []
        for k in range(number + 1):
            if self._part(k).is_file():
                everything += read_named_cells(self._part(k))
        write_rows(o.telemetry_csv, everything)

    def _part(self, number: int) -> Path:
        return self.folder / f"telemetry-{number}.csv"

    def _rows(self, trainer: SystemTrainer[Any], number: int, samples: Sequence[Sample]) -> Iterator[Row]:
        process = trainer.arrivals_of(number)
        shown = {self.task.query(i).id: self.task.query(i).shown_tests.tests for i in self.items}
        for index, sample in enumerate(samples):
            common: Row = {
                "run_id": self.options.name,
                "epoch": trainer.epoch_of(number),
                "episode_index": index,
                "dataset": self.task.name,
                "split": self.options.split,
                "tests_json": json.dumps(list(shown.get(sample.outcome.query_id, ()))),
                "budget_total": sample.budget_s,
                "arrival_rate": "" if process is None else process.rate,
                "arrival_pattern": "" if process is None else process.pattern,
            }
            episode, *steps = episode_rows(sample.outcome, common, steps="role_step")
            yield episode | {"workflow_latency_seconds": sample.latency_s}
            seen = {(s.decision.round, s.decision.index): s.decision.seen for s in sample.steps}
            names = [card.name for card in trainer.controller.executor.senses.cards]
            for row, key in zip(steps, step_keys(sample.outcome.episode), strict=True):
                made = seen.get(key)
                load = {} if made is None else _load(made.models[names.index(row["model_name"])].tolist())
                yield row | load | ({} if made is None else {"budget_remaining": made.remaining_s})

    # Test -----------------------------------------------------------------------------------------------------

    def _tested(self, *, virtual: bool) -> list[LoadResult]:
        o = self.options
        trainer, known = clock.run(self._known, virtual=virtual)
        domain = trainer.controller.settings.domain
        rules = [Rule(name=name, domain=domain, qualities=known) for name in sorted(RULES)]
        tests = LoadTests(
            task=self.task,
            items=self.test,
            pool=o.pool,
            world=self.session.world,
            kit=self.kit,
            max_agents=o.max_agent,
            n=o.test_episodes,
            budget_s=o.test_budget,
            seed=o.seed,
            max_cost=o.max_cost,
            spending=self.folder / SPENDING,
            request_timeout_s=o.request_timeout,
            max_tokens=o.max_tokens,
            on_virtual_time=virtual,
            quiet=o.spread,
        )
        with executor(o, extend=o.extend, say=self.progress.say) as workers:
            contenders = [self._trained(trainer.controller), *rules]
            return run_tests(tests, contenders, self.training.arrivals, workers, self.progress)

    async def _known(self) -> tuple[SystemTrainer[Any], dict[str, float]]:
        """What has been trained, and how well each model does alone."""
        async with self.session.open() as rollouts:
            trainer = self._trainer or self._prepared(rollouts)
            return trainer, await single_qualities(rollouts, trainer.space, self.items, self.progress)

    def _trained(self, controller: SystemAware) -> Trained:
        o = self.options
        header, arrays = contents(controller, trained_on={}, simulated=False)
        return Trained(
            name=controller.name,
            header=header,
            arrays=arrays,
            encoder=bare(self.encoder),
            seed=o.seed,
            greedy=o.deterministic or o.variant == "ours",
        )

    def _report(self, results: Sequence[LoadResult]) -> None:
        o = self.options
        fence = self.session.fence
        title = f"{o.name}, {self.task.name}, budget {o.test_budget:g} s ({o.pool} pool)"
        rows = [r.figures() | {"models": r.shares("models"), "strategies": r.shares("strategies")} for r in results]
        write_atomically(
            self.folder / "results.json", json.dumps({"title": title, "sandbox": fence, "rows": rows}, indent=2)
        )
        write_atomically(self.folder / "results.md", as_markdown(results, title=title, sandbox=fence))
        write_requests(self.folder / "requests.csv", results)
        Terminal(width=None if sys.stdout.isatty() else 180).print(as_table(results, title=title, sandbox=fence))


def _load(row: Sequence[float]) -> Row:
    return {
        "llm_running": row[RUNNING],
        "llm_waiting": row[WAITING],
        "llm_kv_cache_usage": row[KV],
        "llm_ttft_avg": row[TTFT],
        "llm_itl_avg": row[INTER_TOKEN],
        "llm_e2e_avg": row[E2E],
    }


def train_system_router(options: SystemOptions) -> SystemAware:
    """Run what the options say.

    Raises:
        UserError: Something given cannot be used.
    """
    return SystemRun(task_of(options), options, encoder=CachedEncoder(MiniLM()), progress=Progress()).start()
