"""`mar loadtest`: what controllers deliver in time when queries arrive whether or not they keep up."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mar.cli.options import ExtendOption, PromptsOption, RayOption, WorkersOption
from mar.cli.script import finite
from mar.errors import ConfigError, LimitReached
from mar.terminal import Terminal

if TYPE_CHECKING:
    from mar.controllers.base import Controller, PlanSpace
    from mar.evaluation.load_jobs import LoadTests
    from mar.evaluation.loadtest import LoadResult
    from mar.execution import Workers
    from mar.learning.arrivals import Arrivals
    from mar.pool.pool import Pool
    from mar.types import Domain

WEIGH = ("best-single", "marginal-value", "best-feasible")  # policies that weigh how well models do alone
MOST_QUERIES = 1_000_000
DEFAULT_POLICIES = ("mbpp", "best-single", "least-loaded", "shortest-expected-delay", "marginal-value")


def loadtest_command(
    task: Annotated[str, typer.Option(help="Benchmark: mbpp, gsm8k, math, humaneval, mmlu or mmlu_pro.")] = "mbpp",
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="What to test (may be repeated): a packaged controller, a checkpoint, module:Class, single:MODEL, "
            "best-single, or a rule: least-loaded, shortest-expected-delay, power-of-two, cheapest-feasible, "
            "best-feasible, marginal-value. CONTROLLER+RULE: its plans, the rule's models. "
            f"Default: {', '.join(DEFAULT_POLICIES)}."
        ),
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(help="Arrival rate, 2/s or 120/min (may be repeated). Default: 10, 100, 200/min."),
    ] = None,
    budget: Annotated[
        float, typer.Option(min=0.0, callback=finite, help="Seconds within which an answer is in time.")
    ] = 100.0,
    queries: Annotated[
        int, typer.Option("-n", "--queries", min=1, max=MOST_QUERIES, help="Queries per policy and rate.")
    ] = 200,
    pattern: Annotated[str, typer.Option(help="poisson, constant, microburst or sustained.")] = "poisson",
    pool: Annotated[str, typer.Option(help="auto, simulated, simulated-vllm, or a pool file.")] = "simulated-vllm",
    stop_at_budget: Annotated[
        bool, typer.Option("--stop-at-budget", help="Episodes out of time answer with what they have.")
    ] = False,
    most_in_flight: Annotated[int, typer.Option(min=1, help="Queries beyond so many under way are shed.")] = 10_000,
    data: Annotated[Path | None, typer.Option(help="Folder with benchmark data; default: MAR_DATA.")] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0.0, callback=finite, help="USD that the test may cost on a live pool.")
    ] = None,
    prompts: PromptsOption = None,
    extend: ExtendOption = None,
    workers: WorkersOption = None,
    ray: RayOption = None,
    seed: Annotated[int, typer.Option(help="Of arrivals and items.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for tables, requests.csv and plots.")] = Path("runs/loadtest"),
) -> None:
    """Test controllers under load: goodput, latency, cost, queues."""
    # Only this command needs PyTorch and the sandbox, which would make every other one wait.
    from mar.execution import Workers
    from mar.learning.arrivals import PATTERNS, Arrivals, parse_rate

    if not budget > 0:
        raise ConfigError(f"--budget is {budget:g}; expected a positive number of seconds")
    if pattern not in PATTERNS:
        raise ConfigError(f"--pattern is {pattern!r}; expected one of {', '.join(PATTERNS)}")
    rates = [parse_rate(r) for r in rate or ("10/min", "100/min", "200/min")]
    arrivals = [Arrivals(rate=r, pattern=pattern) for r in sorted(rates)]
    _Run(
        task=task,
        policies=tuple(policy or DEFAULT_POLICIES),
        arrivals=arrivals,
        budget_s=budget,
        n=queries,
        pool=pool,
        stop=stop_at_budget,
        most=most_in_flight,
        data=data,
        max_cost=max_cost,
        prompts=prompts,
        where=Workers(workers=workers, ray=ray),
        extend=tuple(extend or ()),
        seed=seed,
        out=out,
    ).start()


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What an option names, as it travels."""

    name: str
    domain: Domain
    qualities: Mapping[str, float]  # of models alone, where a policy weighs them
    prompts: Path | None

    def made(self, pool: Pool, space: PlanSpace) -> tuple[str, Controller]:
        """See `mar.evaluation.load_jobs.Contender`."""
        from mar import api
        from mar.controllers.baselines import single
        from mar.controllers.system_aware import RULES, ByRule, rule
        from mar.evaluation.load_jobs import Rule

        name = self.name
        planner, _, models = name.partition("+")
        if planner in RULES:
            return name, Rule(name=planner, domain=self.domain, qualities=self.qualities).made(pool, space)[1]
        if planner == "best-single" or planner.startswith("single:"):
            model = max(self.qualities, key=lambda m: self.qualities[m]) if planner == "best-single" else planner[7:]
            controller: Controller = single(model, self.domain)
            name = f"{name} ({model})" if planner == "best-single" else name
        else:
            place = Path(planner) if Path(planner).is_file() else planner
            controller = api.load_controller(place, pool=pool, prompts=space.prompts)
        if models:
            controller = ByRule(controller, rule(models, space.cards, self.qualities), name=name)
        return name, controller


class _Run:
    """One call of the command."""

    def __init__(
        self,
        *,
        task: str,
        policies: tuple[str, ...],
        arrivals: list[Arrivals],
        budget_s: float,
        n: int,
        pool: str,
        stop: bool,
        most: int,
        data: Path | None,
        max_cost: float | None,
        prompts: Path | None,
        where: Workers,
        extend: tuple[str, ...],
        seed: int,
        out: Path,
    ) -> None:
        from mar.controllers.embeddings import encoder_of
        from mar.evaluation.qualities import PILOT
        from mar.evaluation.session import SPENDING, Kit, Session
        from mar.learning.progress import Progress
        from mar.tasks.registry import load_task
        from mar.tasks.task import subset

        self.policies, self.arrivals, self.budget_s, self.n = policies, arrivals, budget_s, n
        self.pool, self.stop, self.most, self.seed, self.out = pool, stop, most, seed, out
        self.where, self.extend, self.prompts = where, extend, prompts
        self.task: Any = load_task(task, data=data)
        self.items: list[Any] = list(subset(self.task, "test", n, seed).items)
        self.pilot: list[Any] = list(subset(self.task, "train", PILOT, seed).items)
        self.progress = Progress()
        self.kit = Kit(prompts=prompts)
        self.session: Session[Any] = Session(
            task=self.task,
            items=[*self.items, *self.pilot],
            pool=pool,
            progress=self.progress,
            encoder=encoder_of(None),
            prompts=self.kit.library(),
            max_cost=max_cost,
            spending=out / SPENDING,
        )

    def start(self) -> None:
        from mar import clock
        from mar.evaluation.load_jobs import check_load_spread, run_tests
        from mar.execution import executor
        from mar.learning.rundir import held
        from mar.pool.choose import configured_pool

        live = configured_pool(self.pool, cache=True)
        if self.where.spread:
            check_load_spread(live)
        virtual = live is None or live.virtual_time
        with held(self.out):  # before anything is paid: whether it can be written, and that nobody else writes there
            try:
                qualities = clock.run(self._prepared, virtual=virtual)
                contenders = [
                    Named(name=name, domain=self.task.domain, qualities=qualities, prompts=self.prompts)
                    for name in self.policies
                ]
                with executor(self.where, extend=self.extend, say=self.progress.say) as workers:
                    tests = self._tests(virtual=virtual)
                    results = run_tests(tests, contenders, self.arrivals, workers, self.progress)
            except KeyboardInterrupt:
                kept = "" if live is None else "; what was paid for is in the cache, and the same command uses it"
                self.progress.say(f"interrupted; no tables are written{kept}")
                raise
            self._report(results, self.session.fence, simulated=live is None)

    async def _prepared(self) -> dict[str, float]:
        """What a simulated pool knows, and how well each model does alone where a policy weighs that."""
        from mar.controllers.base import PlanSpace
        from mar.evaluation.qualities import single_qualities

        async with self.session.open() as rollouts:
            if not any(w in name for name in self.policies for w in WEIGH):
                return {}
            space = PlanSpace.of(rollouts.runtime.pool, rollouts.runtime.prompts)
            qualities = await single_qualities(rollouts, space, self.pilot, self.progress)
            if rollouts.limit_reached:
                raise LimitReached(rollouts.limit_reached)
            return qualities

    def _tests(self, *, virtual: bool) -> LoadTests:
        from mar.evaluation.load_jobs import LoadTests

        s = self.session
        return LoadTests(
            task=self.task,
            items=self.items,
            pool=self.pool,
            world=s.world,
            kit=self.kit,
            n=self.n,
            budget_s=self.budget_s,
            most_in_flight=self.most,
            stop_at_budget=self.stop,
            seed=self.seed,
            max_cost=s.max_cost,
            spending=s.spending,
            on_virtual_time=virtual,
            quiet=self.where.spread,
        )

    def _report(self, results: list[LoadResult], fence: str, *, simulated: bool) -> None:
        from mar.evaluation.loadtest import as_markdown, as_table, goodput_lines, queue_lines, write_requests
        from mar.evaluation.plots import plot_lines, plot_queues
        from mar.files import write_atomically

        label = " (simulated pool)" if simulated else ""
        title = f"{self.task.name}, budget {self.budget_s:g} s, {self.arrivals[0].pattern} arrivals{label}"
        rows = [r.figures() | {"models": r.shares("models"), "strategies": r.shares("strategies")} for r in results]
        write_atomically(
            self.out / "results.json", json.dumps({"title": title, "sandbox": fence, "rows": rows}, indent=2)
        )
        write_atomically(self.out / "results.md", as_markdown(results, title=title, sandbox=fence))
        write_requests(self.out / "requests.csv", results)
        plot_lines(
            goodput_lines(results),
            self.out / "goodput.png",
            title=title,
            x="requests per minute",
            y="solved in time, %",
        )
        for result in results:
            slug = "".join(c if c.isalnum() else "-" for c in result.policy)
            where = self.out / f"queues-{slug}-{60 * result.arrivals.rate:g}.png"
            plot_queues(queue_lines(result), where, title=f"{result.policy}, {60 * result.arrivals.rate:g}/min{label}")
        Terminal(width=None if sys.stdout.isatty() else 180).print(as_table(results, title=title, sandbox=fence))
        self.progress.say(f"tables, requests and plots: {self.out}")
