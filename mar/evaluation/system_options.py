"""The options of the `train_system_router_*.py` scripts, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from mar.controllers.system_aware.controller import Variant
from mar.errors import ConfigError
from mar.evaluation.options import EXTEND, PROMPTS, parse_options
from mar.execution import Workers
from mar.execution.options import PLACES
from mar.learning.arrivals import PATTERNS, Pattern, sweep
from mar.learning.system_aware.settings import (
    LONG,
    LONG_RATES,
    LONG_TIERS,
    SHORT_RATES,
    SHORT_TIERS,
    SystemTraining,
    early,
)
from mar.tasks.registry import TASKS, load_task
from mar.tasks.resplit import by_ratio, from_files
from mar.tasks.task import Split, Task
from mar.types import Domain


class SystemOptions(Workers):
    """Options of a training run under load, whose tests workers share. Each field's description is its help text."""

    # Data
    dataset: str = Field(default="mbpp", description="benchmark: " + ", ".join(TASKS))
    split: Split = Field(default="train", description="split whose items are asked in training")
    dataset_path: Path | None = Field(default=None, description="file with the benchmark's rows")
    data: Path | None = Field(default=None, description="folder with benchmark data; default: MAR_DATA, ./Datasets")
    train_path: Path | None = Field(default=None, description="file whose rows all train (with --test_path)")
    test_path: Path | None = Field(default=None, description="file whose rows all test (with --train_path)")
    split_ratio: float | None = Field(default=None, description="share of all items that trains; the others test")
    role_domain: Domain | None = Field(default=None, description="domain whose roles are used; default: the task's")
    prompt_file: Path | None = Field(default=None, description="file that replaces the decider's prompt")
    prompts: Path | None = Field(default=None, description=PROMPTS)
    extend: tuple[str, ...] = Field(default=(), description=EXTEND)
    limit: int | None = Field(default=None, gt=0, description="at most so many items of every split")
    # Pool
    pool: str = Field(default="simulated-vllm", description="auto, simulated, simulated-vllm, or a pool file")
    max_tokens: int | None = Field(default=None, gt=0, description="tokens of a reply; default: the model card's")
    request_timeout: float | None = Field(default=None, gt=0, description="seconds for a call; default: the card's")
    concurrency: int = Field(default=256, gt=0, description="episodes under way at once; further arrivals are shed")
    max_cost: float | None = Field(default=None, ge=0, description="USD that the run may cost")
    # Arrivals and budgets
    arrival_rate: str | None = Field(default=None, description="one rate: 2 or 2/s, 120/min")
    arrival_rates: tuple[str, ...] = Field(default=(), description="several; default: the published sweep")
    arrival_pattern: Pattern = Field(default="poisson", description="how queries arrive")
    arrival_patterns: tuple[str, ...] = Field(default=(), description="several: " + ", ".join(PATTERNS))
    burst_duration: float = Field(default=3.0, gt=0, description="microburst: seconds that a spike lasts")
    spike_intensity: float = Field(default=10.0, gt=0, description="microburst: what the rate is multiplied by")
    spike_period: float = Field(default=20.0, gt=0, description="microburst: seconds from spike to spike")
    budgets: tuple[float, ...] = Field(default=(), description="seconds; default: the published tiers")
    test_budget: float = Field(default=100.0, gt=0, description="seconds within which a test answer is in time")
    # Training
    variant: Variant = Field(default="ours", description="which design: see docs/system_aware.md")
    epochs: int = Field(default=1, ge=0, description="passes over all arrival processes")
    episodes: int = Field(default=2000, gt=0, description="episodes of each arrival process in each epoch")
    test_episodes: int = Field(default=200, ge=0, description="test queries at each arrival process; 0: no test")
    estimates: bool = Field(default=False, description="published: estimated tokens and seconds as further inputs")
    masrouter: Path | None = Field(
        default=None, description="published: MasRouter checkpoint that the planner begins as"
    )
    max_agent: int = Field(default=6, gt=0, description="largest number of agents in a plan")
    deterministic: bool = Field(default=False, description="test with the most likely choices (ours always does)")
    seed: int = Field(default=0, description="of everything that is drawn")
    # Output
    out: Path | None = Field(default=None, description="run folder, gone on with if it exists")
    run_id: str | None = Field(default=None, description="name of the run in tables; default: data set, variant, seed")
    checkpoint_path: Path | None = Field(default=None, description="write the trained controller here, too")
    checkpoint_dir: Path | None = Field(default=None, description="folder for checkpoints on the way; default: out")
    checkpoint_every: int = Field(default=0, ge=0, description="one after so many arrival processes; 0: none")
    resume_checkpoint: Path | None = Field(default=None, description="controller to begin with")
    telemetry_csv: Path | None = Field(default=None, description="one row per training episode and step here")
    log_episodes: bool = Field(default=False, description="print a line for every training episode")

    def identity(self) -> dict[str, Any]:
        """What must be equal for a run to be resumed."""
        free = {
            *PLACES,
            "out",
            "checkpoint_path",
            "checkpoint_dir",
            "checkpoint_every",
            "telemetry_csv",
            "log_episodes",
        }
        return self.model_dump(mode="json", exclude=free | {"max_cost"})

    @property
    def name(self) -> str:
        """Of the run, in tables and folders."""
        return self.run_id or f"{self.dataset}-{self.variant}-seed{self.seed}"


def training_of(options: SystemOptions) -> SystemTraining:
    """The settings of the training.

    Raises:
        ConfigError: A rate, a pattern or a budget cannot be used.
    """
    o = options
    if any(not budget > 0 for budget in o.budgets):
        raise ConfigError(f"--budgets are {', '.join(f'{b:g}' for b in o.budgets)}; positive seconds are expected")
    rates = LONG_RATES if o.dataset in LONG else SHORT_RATES
    settings = SystemTraining(
        arrivals=sweep(o, [rate / 60 for rate in rates]),
        episodes=o.episodes,
        epochs=o.epochs,
        budgets_s=o.budgets or (LONG_TIERS if o.dataset in LONG else SHORT_TIERS),
        most_in_flight=o.concurrency,
        validation_budget_s=o.test_budget,
        seed=o.seed,
    )
    if o.variant != "early":
        return settings
    return early(settings) if not o.budgets else early(settings).model_copy(update={"budgets_s": o.budgets})


def task_of(options: SystemOptions) -> Task[Any]:
    """The benchmark with the splits that were asked for.

    Raises:
        UserError: A file is missing or malformed, or options contradict each other.
    """
    o = options
    if (o.train_path is None) != (o.test_path is None):
        raise ConfigError("--train_path and --test_path go together; expected both or none")
    if o.train_path is not None:
        return from_files(load_task(o.dataset, path=o.train_path), load_task(o.dataset, path=o.test_path))
    task = load_task(o.dataset, path=o.dataset_path, data=o.data)
    return task if o.split_ratio is None else by_ratio(task, o.split_ratio)


def system_options(dataset: str, argv: Sequence[str] | None = None) -> SystemOptions:
    """Read the command line of a benchmark's script.

    Raises:
        ConfigError: An option is unknown or a value out of range.
    """
    about = f"Train a system-aware router on {TASKS[dataset].title} under load and test it beside rules."
    return parse_options(SystemOptions, argv, description=about, dataset=dataset)
