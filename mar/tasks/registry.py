"""Tasks by name, for everything that takes a benchmark's name: `run_all`, reports, `mar data`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mar.errors import ConfigError
from mar.tasks import gsm8k, humaneval, math, mbpp, mmlu, mmlu_pro
from mar.tasks.task import Task
from mar.types import Domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Settings that MasRouter was published with (batch 16 and at most 6 agents everywhere)."""

    cost_rate: float  # utility per USD, at the published pool's prices
    epochs: int
    of: str = ""  # the benchmark that they are for, where it is another one


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One benchmark."""

    name: str  # as in run_<name>.py
    title: str  # for people
    domain: Domain
    load: Callable[..., Task[Any]]  # takes path (a file) and data (a folder), both optional
    hub: str  # name of the data set on the hub
    files: tuple[str, ...]  # where its files may be below a data folder
    published: Published


TASKS: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="gsm8k",
            title="GSM8K",
            domain="Math",
            load=gsm8k.Gsm8k.load,
            hub=gsm8k.HUB,
            files=gsm8k.FILES,
            published=Published(cost_rate=200, epochs=5),
        ),
        Entry(
            name="humaneval",
            title="HumanEval",
            domain="Code",
            load=humaneval.HumanEval.load,
            hub=humaneval.HUB,
            files=humaneval.FILES,
            published=Published(cost_rate=200, epochs=10),
        ),
        Entry(
            name="math",
            title="MATH",
            domain="Math",
            load=math.Math.load,
            hub=math.HUB,
            files=math.FILES,
            published=Published(cost_rate=100, epochs=5),
        ),
        Entry(
            name="mbpp",
            title="MBPP",
            domain="Code",
            load=mbpp.Mbpp.load,
            hub=mbpp.HUB,
            files=mbpp.FILES,
            published=Published(cost_rate=400, epochs=10),
        ),
        Entry(
            name="mmlu",
            title="MMLU",
            domain="Commonsense",
            load=mmlu.Mmlu.load,
            hub=mmlu.HUB,
            files=mmlu.FILES,
            published=Published(cost_rate=500, epochs=10),
        ),
        Entry(
            name="mmlu_pro",
            title="MMLU-Pro",
            domain="Commonsense",
            load=mmlu_pro.MmluPro.load,
            hub=mmlu_pro.HUB,
            files=mmlu_pro.FILES,
            published=Published(cost_rate=500, epochs=10, of="MMLU"),
        ),
    )
}


def load_task(name: str, *, path: Path | None = None, data: Path | None = None, **options: Any) -> Task[Any]:
    """Load a benchmark by name, from a file, a data folder, the hub or its bundled sample, in this order.

    Args:
        name: One of TASKS.
        path: A file.
        data: A data folder.
        options: What else the benchmark's own loader takes, such as `show_tests` of MBPP.

    Raises:
        ConfigError: There is no benchmark of this name.
        DataError: A file is missing or malformed.
    """
    entry = TASKS.get(name)
    if entry is None:
        raise ConfigError(f"no benchmark {name!r}; there are {', '.join(TASKS)}")
    return entry.load(path=path, data=data, **options)
