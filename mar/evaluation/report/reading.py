"""What a report takes from run folders. What cannot be read is a gap, said on the page, and not a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from mar.errors import DataError
from mar.evaluation.report.facts import EpisodeFacts
from mar.evaluation.results import ItemResult
from mar.reading import read_json, read_json_lines, validated
from mar.runtime import episode_from_json, read_episodes
from mar.types import Episode

EPISODES = "episodes-test.jsonl"
T = TypeVar("T")
_ITEMS = TypeAdapter(dict[str, tuple[ItemResult, ...]])
_METRICS = TypeAdapter(dict[str, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A file of a run that the report does without."""

    file: str
    why: str  # "missing", or what is wrong with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A figure with its 95% interval; None where undefined."""

    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerRow:
    """One controller in results.json."""

    name: str
    group: str
    n: int
    n_failed: int
    accuracy: Range
    utility: Range
    cost_usd_per_100: float | None  # None: unknown
    calls_per_query: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """results.json."""

    title: str
    notes: dict[str, str]
    cost_rate: float  # utility per USD
    rows: tuple[ControllerRow, ...]

    @property
    def learned(self) -> ControllerRow | None:
        """The controller that the run trained: the first of its group."""
        return next((row for row in self.rows if row.group == "learned"), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What args.json says that a report must know."""

    pool: str = "unknown"
    domain: str | None = None
    paper_faithful: bool = False
    without: tuple[str, ...] = ()

    @property
    def domain_given(self) -> str | None:
        """Why the plans' domain is not the classifier's own finding; None when it is."""
        if self.domain is not None:
            return f"--domain {self.domain}"
        if self.paper_faithful:
            return "--paper_faithful"
        return "--without predicted_domain" if "predicted_domain" in self.without else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run folder, as far as it can be read."""

    number: int  # position in the report, from 1
    path: Path
    arguments: Arguments
    results: Results | None = None
    items: dict[str, ItemResult] = field(default_factory=dict[str, ItemResult])  # the learned controller's, by query
    metrics: tuple[dict[str, float], ...] = ()
    facts: tuple[EpisodeFacts, ...] = ()  # by line of the episodes' file
    stated: tuple[tuple[float, bool], ...] = ()  # stated probabilities of being right, and whether it was so
    gaps: tuple[Gap, ...] = ()

    @property
    def label(self) -> str:
        """Short and unique within the report; the folder's name, without where it is."""
        return f"{self.number} {self.path.resolve().name}"

    @property
    def benchmark(self) -> str | None:
        """Name of the benchmark, or None when nothing tells it."""
        if self.results is not None:
            return self.results.title.partition(",")[0]
        return self.facts[0].query_id.partition("/")[0] if self.facts else None

    @property
    def pool(self) -> str:
        """Where the answers came from."""
        if self.results is not None:
            simulated = "(simulated pool" in self.results.title
            return "simulated" if simulated else self.results.notes.get("pool", "unknown").partition(",")[0]
        chosen = self.arguments.pool
        known = "simulated" if chosen == "simulated" else "replay" if chosen.startswith("replay:") else ""
        return known or f"unknown (--pool {chosen})"

    @property
    def caveat(self) -> str:
        """What must stand wherever figures of this run do; empty for a real pool."""
        return "" if self.pool in {"live", "replay"} else f"{self.pool} pool"


def read_run(path: Path, number: int) -> Run:
    """Read a run folder.

    Raises:
        DataError: The folder is no run: it has no readable args.json.
    """
    gaps: list[Gap] = []
    arguments = _arguments(path)
    results = _read(path / "results.json", _results, gaps)
    tested = _read(path / "items.json", lambda file: _tested(file, results), gaps) or {}
    learned = None if results is None else results.learned
    name = learned.name if learned is not None else next(iter(tested), None)  # the learned one is written first
    facts = _facts(path / EPISODES, number, gaps)
    metrics = _read(path / "metrics.jsonl", _metrics, gaps)
    return Run(
        number=number,
        path=path,
        arguments=arguments,
        results=results,
        items={} if name is None else {item.query_id: item for item in tested.get(name, ())},
        metrics=metrics or (),
        facts=facts,
        stated=tuple(_stated(facts, tested)),
        gaps=tuple(gaps),
    )


def read_head(path: Path, number: int) -> Run:
    """A run folder's arguments and results alone, which are soon read.

    Raises:
        DataError: The folder is no run: it has no readable args.json.
    """
    gaps: list[Gap] = []
    arguments = _arguments(path)
    results = _read(path / "results.json", _results, gaps)
    return Run(number=number, path=path, arguments=arguments, results=results, gaps=tuple(gaps))


def load_episodes(run: Run, positions: Iterable[int]) -> dict[int, Episode]:
    """The episodes on these lines of the run's file, counted from 0."""
    wanted = set(positions)
    if not wanted:
        return {}
    lines = read_json_lines(run.path / EPISODES, finite=False)
    upto = islice(enumerate(lines), max(wanted) + 1)  # what comes after may be damaged
    return {i: episode_from_json(value) for i, (_, value) in upto if i in wanted}


def _arguments(path: Path) -> Arguments:
    file = path / "args.json"
    if not file.is_file():
        raise DataError(f"{path} is no run: it has no args.json; expected a folder that a benchmark script wrote")
    return validated(Arguments, read_json(file, finite=False), str(file))


def _read(file: Path, reader: Callable[[Path], T], gaps: list[Gap]) -> T | None:
    if not file.is_file():
        gaps.append(Gap(file=file.name, why="missing"))
        return None
    try:
        return reader(file)
    except DataError as error:
        gaps.append(Gap(file=file.name, why=f"cannot be read: {_brief(error, file)}"))
        return None


def _results(file: Path) -> Results:
    return validated(Results, read_json(file, finite=False), file.name)


def _tested(file: Path, results: Results | None) -> dict[str, tuple[ItemResult, ...]]:
    """Results by controller."""
    by_name = validated(_ITEMS, read_json(file, finite=False), file.name)
    learned = None if results is None else results.learned
    if learned is not None and learned.name not in by_name:
        raise DataError(f"it has no controller {learned.name!r}")
    return by_name


def _stated(facts: Sequence[EpisodeFacts], tested: Mapping[str, Sequence[ItemResult]]) -> Iterator[tuple[float, bool]]:
    """What policies stated of their answers beside what came of them; policies are called as their controllers are."""
    for name, results in tested.items():
        mine = [f for f in facts if f.mode == name]
        for fact, result in zip(mine, results, strict=False):  # other rates of arrival follow
            if fact.stated is not None and fact.query_id == result.query_id:
                yield fact.stated, result.solved


def _metrics(file: Path) -> tuple[dict[str, float], ...]:
    return tuple(validated(_METRICS, value, where) for where, value in read_json_lines(file, finite=False))


def _facts(file: Path, number: int, gaps: list[Gap]) -> tuple[EpisodeFacts, ...]:
    """Facts of all episodes up to the first line that cannot be read."""
    found: list[EpisodeFacts] = []

    def collect(path: Path) -> None:
        for position, episode in enumerate(read_episodes(path)):
            found.append(EpisodeFacts.of(episode, run=number, position=position))

    _read(file, collect, gaps)
    return tuple(found)


def _brief(error: Exception, file: Path) -> str:
    """What went wrong, without the folder it happened in."""
    return str(error).replace(str(file), file.name)


def gaps_of(runs: Sequence[Run]) -> list[tuple[Run, Gap]]:
    """Everything that is missing, by run."""
    return [(run, gap) for run in runs for gap in run.gaps]
