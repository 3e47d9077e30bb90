"""What a benchmark's table comes to, in one sentence: the one that `mar route` ends with.

The controllers of a table were learned from other items, once. So nothing is learned again for the folds of the
validation; they say which controller, at which price of money, is chosen by the items of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from mar.evaluation.results import Row
from mar.evaluation.route.play import Played
from mar.evaluation.route.validation import FOLDS, Validated, Way
from mar.evaluation.route.verdict import verdict_of

LEARNED, SINGLE = "learned", "single LLM"  # groups of rows
FEWEST = 4 * FOLDS  # items from which it is chosen and tested


def last_line(rows: Sequence[Row], *, measure: str) -> str:
    """How much cheaper than a single model as accurate, or plainly that nothing is, or why it cannot be said."""
    whole = [row for row in rows if row.n and not row.n_not_run and row.cost_per_100 is not None]
    learned, singles = ([row for row in whole if row.group == group] for group in (LEARNED, SINGLE))
    if not any(row.group == LEARNED for row in rows):
        return "Nothing was learned, so there is nothing to compare with single models"
    if not any(row.group == SINGLE for row in rows):
        return "No model was tested alone, so nothing is said about being cheaper than one"
    if not learned or not singles:
        return "Not everything was run, or a cost is not known: nothing is said about being cheaper than a single model"
    items = list(dict.fromkeys(result.query_id for result in singles[0].results))
    if len(items) < FEWEST:
        return f"{len(items)} test items are too few to say whether a single model is beaten; expected {FEWEST} or more"
    ways = [*(Way(kind="", model=row.name) for row in singles), *(Way(kind=row.name) for row in learned)]
    outcomes = {way: _played(row, items) for way, row in zip(ways, [*singles, *learned], strict=True)}
    fold = np.random.default_rng(0).permutation(len(items)) % FOLDS
    return verdict_of(Validated(fold=fold, outcomes=outcomes), None, measure).sentence


def end_with(console: Console, picture: Path, sentence: str) -> None:
    """What a run prints last."""
    console.print(f"picture: {picture}", highlight=False, markup=False, soft_wrap=True)
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _played(row: Row, items: Sequence[str]) -> Played:
    """Means over each item's draws."""
    figures = {item: list[tuple[float, float, float]]() for item in items}
    for result in row.results:
        figures[result.query_id].append((float(result.solved), result.cost_usd or 0.0, float(result.calls)))
    quality, usd, calls = np.array([np.mean(of_item, axis=0) for of_item in figures.values()]).T
    return Played(quality=quality, usd=usd, calls=calls)
