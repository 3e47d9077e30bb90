# pyright: basic
"""RouterEval's procedure: which LLMs compete, which prompts train, validate and test, and what is learned.

- Easy settings have 3 or 5 candidates, hard ones 10, 100 or 1,000.
- LLMs are ranked by mean score. Those below 0.1 are left out of all_weak and strong_to_weak, those above 0.9 out of
  all_strong and strong_to_weak.
- all_strong and all_weak slide a window of m over the strongest or weakest max(n / 5, m) and keep the window whose
  oracle is best; strong_to_weak draws one LLM from each of m quantile groups, 1,000 times, and keeps the best oracle.
  As published, that oracle counts all prompts, test included.
- 80/10/10 within every sub-benchmark, seed 42.
- Where scores are not binary, an LLM's label is 1 where it reaches 0.95 of the best score on the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from scipy.ndimage import maximum_filter1d

from mar.controllers.routers.base import Examples, Floats, Indices
from mar.errors import ConfigError, DataError
from mar.evaluation.routereval.table import OutcomeTable

Group = Literal["all_strong", "all_weak", "strong_to_weak"]
GROUPS: tuple[Group, ...] = get_args(Group)
SIZES = (3, 5, 10, 100, 1000)
EASY = 5  # the largest pool of the easy settings
LOW, HIGH = 0.1, 0.9  # mean scores below or above which an LLM makes routing trivial
DRAWS = 1000  # of strong_to_weak
NEAR_BEST = 0.95  # of the best score on a prompt counts as right
SEED = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Indices of a table."""

    train: Indices
    validation: Indices
    test: Indices


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSet:
    """One routing problem: candidates, and prompts to train, validate and test on."""

    benchmark: str
    group: str  # one of GROUPS, or how else the candidates were chosen
    models: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples
    notes: Mapping[str, str] = field(default_factory=dict[str, str])  # the table's

    @property
    def name(self) -> str:
        """How result tables call it."""
        return f"{self.benchmark}/{self.group}/{len(self.models)}"


def difficulty(m: int) -> str:
    """What the published files call a pool of m candidates."""
    return "easy" if m <= EASY else "hard"


# Candidates ---------------------------------------------------------------------------------------------------


def candidates(table: OutcomeTable, m: int, group: Group, *, seed: int = SEED) -> tuple[str, ...]:
    """The m LLMs of a group, by ascending mean score.

    Raises:
        ConfigError: Fewer than m LLMs are left.
    """
    means = table.scores.mean(axis=0, dtype=np.float64)
    order = np.argsort(means, kind="stable")
    low, high = group != "all_strong", group != "all_weak"
    order = order[(means[order] >= LOW if low else True) & (means[order] <= HIGH if high else True)]
    if len(order) < m:
        raise ConfigError(f"{table.name}: {len(order)} LLMs are left for {group}; {m} are needed")
    at = _drawn(table.scores, order, m, seed) if group == "strong_to_weak" else _window(table.scores, order, m, group)
    return tuple(table.models[i] for i in at)


def ranked(table: OutcomeTable, first: int, last: int) -> tuple[str, ...]:
    """The LLMs from one rank to another by ascending mean score; rank 1 is the weakest."""
    order = np.argsort(table.scores.mean(axis=0, dtype=np.float64), kind="stable")
    return tuple(table.models[i] for i in order[first - 1 : last])


def _window(scores: Floats, order: Indices, m: int, group: Group) -> Indices:
    """Every window of m neighbours by rank, in time that does not depend on m (a running maximum)."""
    width = max(len(order) // 5, m)
    pool = order[-width:] if group == "all_strong" else order[:width]
    running: Any = maximum_filter1d(np.asarray(scores[:, pool]), m, axis=1, origin=-(m // 2), mode="nearest")
    best = int(np.argmax(running[:, : width - m + 1].mean(axis=0, dtype=np.float64)))
    return pool[best : best + m]


def _drawn(scores: Floats, order: Indices, m: int, seed: int) -> Indices:
    rng = np.random.default_rng(seed)
    groups = np.array_split(order, m)
    draws = np.stack([rng.choice(group, DRAWS) for group in groups], axis=1)
    oracles = _oracles(scores, draws)
    return draws[int(np.argmax(oracles))]


def _oracles(scores: Floats, draws: Indices) -> list[float]:
    """Mean score of the best LLM of each draw; scores of 0 and 1 are packed into bits, eight prompts a byte."""
    columns = np.unique(draws)
    block = np.ascontiguousarray(scores[:, columns].T)
    at = np.searchsorted(columns, draws)
    if _binary(block):
        bits = np.packbits(block > 0, axis=1)
        return [float(np.bitwise_count(np.bitwise_or.reduce(bits[draw])).sum(dtype=np.int64)) for draw in at]
    return [float(np.maximum.reduce(block[draw]).mean(dtype=np.float64)) for draw in at]


def _binary(scores: Floats) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())


# Prompts ------------------------------------------------------------------------------------------------------


def stratified(groups: Sequence[str], *, seed: int = SEED) -> Split:
    """80/10/10 within every sub-benchmark."""
    rng = np.random.default_rng(seed)
    names = np.array(groups)
    parts: list[list[np.ndarray]] = [[], [], []]
    for name in sorted(set(groups)):
        rows = rng.permutation(np.flatnonzero(names == name))
        tenth = len(rows) // 10
        for part, some in zip(parts, np.split(rows, [len(rows) - 2 * tenth, len(rows) - tenth]), strict=True):
            part.append(some)
    train, validation, test = (np.sort(np.concatenate(p)) for p in parts)
    return Split(train=train, validation=validation, test=test)


def permuted(n: int, *, seed: int, train: int, validation: int) -> Split:
    """The first `train` rows of a permutation train, the next `validation` validate, the rest test."""
    order = np.random.default_rng(seed).permutation(n)
    return Split(train=order[:train], validation=order[train : train + validation], test=order[train + validation :])


def stated(splits: Sequence[str], *, seed: int = SEED) -> Split:
    """Published parts "train" and "test"; a tenth of the training rows validates.

    Raises:
        DataError: A part is empty, or has another name.
    """
    names = np.array(splits)
    if set(splits) != {"train", "test"}:
        raise DataError(f"the published parts are {', '.join(sorted(set(splits)))}; expected train and test")
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(names == "train"))
    tenth = max(1, len(rows) // 10)
    return Split(train=np.sort(rows[tenth:]), validation=np.sort(rows[:tenth]), test=np.flatnonzero(names == "test"))


def split_of(table: OutcomeTable) -> Split:
    """The published parts where there are any, else 80/10/10 within every sub-benchmark."""
    return stated(table.splits) if table.splits else stratified(table.groups or ("",) * len(table))


def labels(scores: Floats) -> Floats | None:
    """What to train on: 1 within 0.95 of the best score on the prompt; None where scores are 0 or 1 already."""
    if _binary(scores):
        return None
    best = scores.max(axis=1, keepdims=True)
    return ((scores >= NEAR_BEST * best) & (best > 0)).astype(np.float32)


def routing_set(
    table: OutcomeTable, models: Sequence[str], split: Split, *, group: str, relabel: bool = True
) -> RoutingSet:
    """A routing problem over some LLMs of a table.

    Args:
        table: With embeddings.
        models: The candidates, in the order of the columns.
        split: Which rows train, validate and test.
        group: What the choice of candidates is called.
        relabel: Whether non-binary scores get binary labels to train on, as published.

    Raises:
        DataError: The prompts have no embeddings, or a part is empty.
    """
    chosen = table.columns(models)

    def part(rows: Indices) -> Examples:
        some = chosen.rows(rows)
        if some.vectors is None:
            raise DataError(f"{table.name} has no embeddings of its prompts; expected OutcomeTable.with_vectors")
        scores = np.ascontiguousarray(some.scores, dtype=np.float32)
        return Examples(
            vectors=np.ascontiguousarray(some.vectors, dtype=np.float32),
            texts=some.prompts,
            scores=scores,
            labels=labels(scores) if relabel else None,
            groups=some.groups,
        )

    rows: dict[str, Indices] = {name: getattr(split, name) for name in ("train", "validation", "test")}
    if empty := [name for name, some in rows.items() if not len(some)]:
        raise DataError(f"{table.name}: no prompts for {empty[0]}; {len(table)} prompts are too few to split")
    parts = {name: part(some) for name, some in rows.items()}
    notes = {f"{table.name}, {key}": value for key, value in table.notes.items()}
    return RoutingSet(benchmark=table.name, group=group, models=tuple(models), notes=notes, **parts)
