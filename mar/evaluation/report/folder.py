"""A folder of runs: which there are, and the curves of some of them as numbers that anything can plot."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mar.errors import ConfigError, DataError
from mar.evaluation.report.reading import Run, read_head

DEPTH = 3  # folders between the one that was given and a run
MOST_FOLDERS, MOST_RUNS = 20_000, 1_000  # that are looked into, and shown
MOST_POINTS = 1_000  # of a curve; longer ones are thinned
MOST_CHARTS = 12
SMOOTHING = 0.9  # weight of the past in the moving average over updates
FIRST = ("utility", "accuracy", "cost_usd", "agents", "loss")  # quantities that are looked at before others
POSITIONS = frozenset({"step", "epoch", "batch", "segment"})  # where a line stands: no quantities
CHECKED = "validation_"  # how the names of quantities begin that were measured in between


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A run in a folder of runs."""

    name: str  # its place below that folder
    changed: float  # seconds since 1970
    run: Run | None  # its arguments and results; None: they cannot be read
    problem: str = ""  # why not


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A quantity of one run."""

    label: str
    values: tuple[float | None, ...]  # at each of the chart's steps; None: not measured there
    dots: bool  # measured now and then, so that points are no line


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A quantity of some runs, by updates."""

    title: str
    steps: tuple[float, ...]
    curves: tuple[Curve, ...]


def list_runs(root: Path) -> list[Listed]:
    """The runs below a folder, or the folder itself where it is one; what was changed last comes first.

    Raises:
        ConfigError: There is no such folder.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is no folder; expected one that holds runs")
    found = sorted(((_changed(path), path) for path in _folders(root)), reverse=True)[:MOST_RUNS]
    return [_listed(root, path, changed) for changed, path in found]


def _folders(root: Path) -> Iterator[Path]:
    """Folders that hold an args.json; links to other places are not followed."""
    if (root / "args.json").is_file():
        yield root
        return
    for place, below, files in islice(os.walk(root, followlinks=False), MOST_FOLDERS):
        path = Path(place)
        if "args.json" in files:
            yield path
        if "args.json" in files or len(path.relative_to(root).parts) >= DEPTH:
            below.clear()


def _changed(path: Path) -> float:
    files = (path / name for name in ("args.json", "metrics.jsonl", "results.json"))
    try:
        return max((file.stat().st_mtime for file in files if file.is_file()), default=0.0)
    except OSError:  # it went away meanwhile
        return 0.0


def _listed(root: Path, path: Path, changed: float) -> Listed:
    name = path.name if path == root else path.relative_to(root).as_posix()
    try:
        return Listed(name=name, changed=changed, run=read_head(path, 1))
    except DataError as error:
        return Listed(name=name, changed=changed, run=None, problem=str(error).replace(str(path), name))


def charts(runs: Sequence[Run]) -> list[Chart]:
    """What runs logged while they trained, a chart per quantity, with all runs in each."""
    names = {name.removeprefix(CHECKED) for run in runs for line in run.metrics for name in line} - POSITIONS
    ordered = sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return [chart for name in ordered[:MOST_CHARTS] if (chart := _chart(name, runs)).curves]


def _chart(name: str, runs: Sequence[Run]) -> Chart:
    lines: list[tuple[str, Mapping[float, float], bool]] = []
    for run in runs:
        label = run.label.partition(" ")[2]
        steps = _values(run, name)
        if steps:
            lines.append((label, _thin(dict(zip(steps, smooth(list(steps.values())), strict=True))), False))
        checks = _values(run, f"{CHECKED}{name}")
        if checks:
            lines.append((f"{label}, validation", _thin(checks), True))
    steps = tuple(sorted({step for _, values, _ in lines for step in values}))
    curves = tuple(
        Curve(label=label, values=tuple(values.get(step) for step in steps), dots=dots) for label, values, dots in lines
    )
    return Chart(title=name.replace("_", " "), steps=steps, curves=curves)


def _values(run: Run, name: str) -> dict[float, float]:
    found = ((line["step"], line[name]) for line in run.metrics if "step" in line and name in line)
    return {step: value for step, value in found if math.isfinite(step) and math.isfinite(value)}


def _thin(values: Mapping[float, float]) -> dict[float, float]:
    every = -(-len(values) // MOST_POINTS)
    return dict(list(values.items())[:: max(1, every)])


def smooth(values: Sequence[float]) -> list[float]:
    """Exponential moving average, started at the first value."""
    smoothed: list[float] = []
    for value in values:
        smoothed.append(value if not smoothed else SMOOTHING * smoothed[-1] + (1 - SMOOTHING) * value)
    return smoothed
