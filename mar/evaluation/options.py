"""The options of the `run_*.py` scripts: one documented record, saved with the run, turned into a command line."""

from __future__ import annotations

import argparse
import math
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from mar.controllers.masrouter import Fixes
from mar.errors import ConfigError
from mar.execution import Workers
from mar.execution.options import PLACES
from mar.extensions import use
from mar.learning.arrivals import Pattern
from mar.tasks.registry import TASKS
from mar.types import Decision, Domain

OTHER_NAMES = {"dataset_json": "dataset_path", "data": "dataset_root"}
"""Further names of options, known from other runners of these benchmarks."""
PROMPTS = "folder of roles and prompts beside, or in the place of, those of mar (docs/extending.md)"
EXTEND = "Python files or modules of your own to import, for what they register (docs/extending.md)"
DECISION_METHODS: dict[str, Decision] = {"FinalRefer": "final", "Vote": "vote", "Last": "last"}


def _cost_rate(value: Any) -> Any:
    if value == "auto":
        return value
    try:
        rate = float(value)
    except (TypeError, ValueError):
        rate = math.nan
    if not (math.isfinite(rate) and rate >= 0):
        raise ValueError("expected auto or a number of utility per USD, 0 or more")
    return rate


# Not fixes of the published list, but switched off in the same way.
IMAGINATION = "imagination"  # learning on episodes that a fitted belief plays
PRICE = "price"  # a policy that knows the price of money
SWITCHES = (*Fixes.model_fields, IMAGINATION, PRICE)


class RunOptions(Workers):
    """Options of a benchmark run. Each field's description is its help text."""

    # Data
    dataset_json: Path | None = Field(default=None, description="file with the benchmark's rows (JSON or JSONL)")
    data: Path | None = Field(
        default=None, description="folder with benchmark data; default: MAR_DATA, else ./Datasets"
    )
    show_tests: Literal["first", "all"] = Field(
        default="first", description="tests that the query shows; all is the published protocol"
    )
    limit: int | None = Field(default=None, ge=0, description="at most so many items of every split")
    train_limit: int | None = Field(default=None, ge=0, description="at most so many training items")
    test_limit: int | None = Field(default=None, ge=0, description="at most so many test items")
    # Pool
    pool: str = Field(
        default="auto",
        description="auto (as .env or pool.toml say, else simulated), simulated, simulated-vllm (five models on two "
        "GPUs), a pool file, or replay:TABLE (recorded answers; docs/recorded.md)",
    )
    effects: float = Field(
        default=1.0, gt=0, description="simulated pool: factor on its peer, role and feedback effects"
    )
    lookup: bool = Field(default=False, description="let roles that look things up ask Wikipedia (live pools)")
    request_timeout: float | None = Field(
        default=None, gt=0, description="seconds for a model call; default: the model card's"
    )
    concurrency: int = Field(default=64, gt=0, description="episodes under way at once")
    max_cost: float | None = Field(
        default=None, ge=0, description="USD that the whole run may cost, honoured to the last call"
    )
    # Controller
    max_agent: int = Field(default=6, gt=0, description="largest number of agents in a plan")
    num_rounds: int | None = Field(default=None, gt=0, description="rounds of every mode; default: each mode's own")
    domain: Domain | None = Field(default=None, description="task domain; default: the classifier decides")
    decision_method: Literal["FinalRefer", "Vote", "Last"] = Field(
        default="FinalRefer", description="how an answer is settled"
    )
    prompt_file: Path | None = Field(default=None, description="file that replaces the decider's prompt")
    prompts: Path | None = Field(default=None, description=PROMPTS)
    extend: tuple[str, ...] = Field(default=(), description=EXTEND)
    modes: tuple[str, ...] = Field(
        default=(),
        description="collaboration modes to choose from, by name or module:name; default: the checkpoint's, else the "
        "published six",
    )
    tools: Path | None = Field(default=None, description="file of tools that roles may call (docs/tools.md)")
    checkpoint: Path | None = Field(
        default=None, description="controller to start from (with --epochs 0: to test), which is then the only one"
    )
    save_checkpoint: Path | None = Field(default=None, description="also write the trained controller here")
    paper_faithful: bool = Field(default=False, description="the published controller with its mistakes")
    without: tuple[str, ...] = Field(default=(), description="parts to switch off, by name: " + ", ".join(SWITCHES))
    controllers: tuple[Literal["masrouter", "sequential"], ...] = Field(
        default=("masrouter", "sequential"), description="what is trained and tested"
    )
    calls: int = Field(
        default=3000, ge=0, description="calls from which each controller learns; 0: from model cards alone"
    )
    # Training
    epochs: int = Field(default=10, ge=0, description="rounds of training; 0: none")
    start_epoch: int = Field(default=0, ge=0, description="epoch to count from")
    batch_size: int = Field(default=16, gt=0, description="queries per update")
    rollouts: int = Field(default=4, gt=0, description="plans drawn per query")
    lr: float = Field(default=0.01, gt=0, description="learning rate of Adam")
    cost_rate: Annotated[float | Literal["auto"], BeforeValidator(_cost_rate)] = Field(
        default="auto", description="utility per USD; auto: the median random plan costs 0.1 of utility"
    )
    patience: int = Field(
        default=4, gt=0, description="epochs without a better validation utility before training stops"
    )
    seed: int = Field(default=0, description="of everything that is drawn")
    # Test
    test_draws: int = Field(default=1, gt=0, description="episodes per test item and controller")
    baselines: bool = Field(default=True, description="also test fixed plans and other prices of money")
    arrival_rate: str | None = Field(
        default=None, description="test queries a second: 2, 2/s, 120/min; default: closed loop"
    )
    arrival_rates: tuple[str, ...] = Field(default=(), description="several rates: the controller is tested at each")
    arrival_pattern: Pattern = Field(default="poisson", description="how test queries arrive")
    arrival_patterns: tuple[str, ...] = Field(default=(), description="several patterns: tested with each")
    burst_duration: float = Field(default=3.0, gt=0, description="microburst: seconds that a spike lasts")
    spike_intensity: float = Field(default=10.0, gt=0, description="microburst: what the rate is multiplied by")
    spike_period: float = Field(default=20.0, gt=0, description="microburst: seconds from spike to spike")
    # Output
    out: Path | None = Field(
        default=None, description="run folder, gone on with if it exists; default: runs/<task>-seed<seed>"
    )
    result_file: Path | None = Field(default=None, description="write the table as JSON here, too")
    train_telemetry_csv: Path | None = Field(default=None, description="write one row per test episode and step here")
    dry_run: bool = Field(default=False, description="say what the run would take and stop")

    @model_validator(mode="after")
    def _known_fixes(self) -> Self:
        unknown = [name for name in self.without if name not in SWITCHES]
        if unknown:
            raise ValueError(f"--without names {unknown[0]!r}; expected some of {', '.join(SWITCHES)}")
        if self.checkpoint is not None and (self.without or self.paper_faithful):
            raise ValueError("--without and --paper_faithful make a new controller; they cannot go with --checkpoint")
        return self

    @property
    def imagines(self) -> bool:
        """Whether MasRouter learns on imagined episodes."""
        return not self.paper_faithful and IMAGINATION not in self.without

    @property
    def decision(self) -> Decision:
        """The decision method by its name in plans."""
        return DECISION_METHODS[self.decision_method]

    def identity(self) -> dict[str, Any]:
        """What must be equal for a run to be resumed: everything but where work is done, where results go, its cost."""
        free = {*PLACES, "out", "result_file", "train_telemetry_csv", "save_checkpoint", "dry_run", "max_cost"}
        return self.model_dump(mode="json", exclude=free)


OptionsT = TypeVar("OptionsT", bound=BaseModel)


def parse_options(
    model: type[OptionsT],
    argv: Sequence[str] | None = None,
    *,
    description: str,
    program: str | None = None,
    omit: Sequence[str] = (),
    **defaults: Any,
) -> OptionsT:
    """Read a command line into a record of options; `--a-b` and `--a_b` are the same option.

    Args:
        model: The record.
        argv: The command line's words; default: those of this process.
        description: What the help says about the command.
        program: What the help calls it; default: the name of the running script.
        omit: Options that would do nothing here; they are not offered.
        defaults: Other defaults than the record's, by option.

    Raises:
        ConfigError: An option is unknown or a value out of range; names the option, the value and what is expected.
    """
    parser = _Parser(
        prog=program, usage="%(prog)s [options]", description=description, formatter_class=_Help, allow_abbrev=False
    )
    for name, field in model.model_fields.items():
        if name in omit:
            continue
        default = defaults.get(name, field.get_default())
        names = (name, OTHER_NAMES.get(name, name))
        spellings = dict.fromkeys(f"--{n}" for each in names for n in (each, each.replace("_", "-")))
        kind: dict[str, Any] = {"metavar": name.upper()}
        if field.annotation is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        elif get_origin(field.annotation) is tuple:
            kind = {"nargs": "+", "metavar": "NAME"}
        elif choices := _choices(field.annotation):
            kind = {"choices": choices}
        parser.add_argument(*spellings, dest=name, default=default, help=field.description, **kind)
    values = vars(parser.parse_args(argv))
    for place in values.get("extend", ()):
        use(place)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"--{first['loc'][0]} is {first['input']!r}: " if first["loc"] else ""
        raise ConfigError(where + first["msg"].removeprefix("Value error, ")) from None


def benchmark_options(name: str, model: type[OptionsT], argv: Sequence[str] | None = None) -> OptionsT:
    """Read the command line of a benchmark's script: its published epochs are the default, the help says the rest.

    The cost_rate stays "auto" unless it is given: the published one is meant for the published pool and its prices.

    Raises:
        ConfigError: As `parse_options`.
    """
    entry = TASKS[name]
    published, of = entry.published, f" for {entry.published.of}" if entry.published.of else ""
    about = (
        f"Train and test MasRouter on {entry.title}. Published{of}: cost_rate {published.cost_rate:g} at the published "
        f"pool's prices, {published.epochs} epochs, batch size 16, max_agent 6."
    )
    omit = () if name == "mbpp" else ("show_tests",)
    return parse_options(model, argv, description=about, omit=omit, epochs=published.epochs)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, raised like those of all other input."""

    def error(self, message: str) -> NoReturn:
        """A wrong command line."""
        raise ConfigError(f"{message}; --help lists the options")


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Defaults behind each option's text, where there is one; of the others the text says what happens without."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default: object = action.default
        if default in (None, ()):
            return action.help
        if isinstance(default, tuple):
            return f"{action.help} (default: {' '.join(map(str, cast('tuple[object, ...]', default)))})"
        return super()._get_help_string(action)


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in {Union, types.UnionType}:
        parts = [p for p in get_args(annotation) if p is not type(None)]
        return _choices(parts[0]) if len(parts) == 1 else ()
    return ()
