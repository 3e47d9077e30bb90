"""MT-Bench's votes as groups: 65 people and, apart from them, GPT-4, over 80 questions of two turns and six LLMs.

Source: lmsys/mt_bench_human_judgments (CC-BY-4.0) and FastChat's question.jsonl (Apache-2.0); see
Zheng et al. 2023, arXiv 2306.05685. The answers' texts are not part of the votes, so responses are empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mar.controllers.gmt.records import Conversation, Exchange, Group
from mar.errors import DataError
from mar.tasks.readers import Row, read_located

RATINGS: Mapping[str, tuple[float, float]] = {"model_a": (1.0, 0.0), "model_b": (0.0, 1.0)}
"""What a vote says about both answers; any kind of tie is half a win for both."""
TIES = ("tie", "tie (inconsistent)")
TURNS = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """Groups made from raw votes."""

    groups: tuple[Group, ...]
    duplicates: int  # votes that repeat one of the same user on the same answers; the first one counts
    incomplete: int  # votes on one turn only, left out since a conversation has two


def build_mt_bench(folder: Path, *, judgments: str = "human_judgments.jsonl") -> Votes:
    """Groups from question.jsonl and votes: one per judge, question and pair of LLMs, with both turns.

    The files are looked for in the folder, its subfolder mt_bench and benchmarks/mt_bench.

    Raises:
        DataError: A file is missing or a row is wrong; names file and line.
    """
    places = [folder, folder / "mt_bench", folder / "benchmarks" / "mt_bench"]
    folder = next((p for p in places if (p / judgments).is_file()), places[-1])
    queries = dict(_question(row, where) for where, row in read_located(folder / "question.jsonl"))
    path = folder / judgments
    votes = dict[tuple[str, str, frozenset[str]], dict[int, Row]]()
    duplicates = 0
    for where, row in read_located(path):
        question = _checked(row, queries, where)
        turns = votes.setdefault((row["judge"], question, frozenset((row["model_a"], row["model_b"]))), {})
        duplicates += row["turn"] in turns
        turns.setdefault(row["turn"], row)
    whole = {key: turns for key, turns in votes.items() if set(turns) == set(TURNS)}
    groups = tuple(_group(turns, queries[question]) for (_, question, _), turns in whole.items())
    return Votes(groups=groups, duplicates=duplicates, incomplete=sum(map(len, votes.values())) - 2 * len(groups))


def _question(row: Row, where: str) -> tuple[str, tuple[str, ...]]:
    turns: Any = row.get("turns")
    texts = [t for t in cast("list[Any]", turns) if isinstance(t, str) and t] if isinstance(turns, list) else []
    if len(texts) != len(TURNS):
        raise DataError(f"{where}: turns is {turns!r}; expected the texts of {len(TURNS)} turns")
    return str(row.get("question_id")), tuple(texts)


def _checked(row: Row, queries: Mapping[str, object], where: str) -> str:
    for name in ("judge", "model_a", "model_b"):
        if not isinstance(row.get(name), str) or not row[name]:
            raise DataError(f"{where}: {name} is {row.get(name)!r}; expected a name")
    if row["model_a"] == row["model_b"]:
        raise DataError(f"{where}: {row['model_a']} against itself; expected two LLMs")
    if str(row.get("question_id")) not in queries:
        raise DataError(f"{where}: question_id {row.get('question_id')!r} is in no row of question.jsonl")
    if row.get("turn") not in TURNS:
        raise DataError(f"{where}: turn is {row.get('turn')!r}; expected 1 or 2")
    if row.get("winner") not in (*RATINGS, *TIES):
        raise DataError(f"{where}: winner is {row.get('winner')!r}; expected {', '.join((*RATINGS, *TIES))}")
    return str(row["question_id"])


def _group(turns: Mapping[int, Row], queries: Iterable[str]) -> Group:
    first = turns[1]
    models = (first["model_a"], first["model_b"])
    asked = tuple(queries)
    rated = [_ratings(turns[t], models) for t in TURNS]
    return Group(
        tuple(
            Conversation(
                question_id=first["question_id"],
                turn=len(TURNS),
                judge=first["judge"],
                model=model,
                conversation=tuple(Exchange(query=q, rating=r[side]) for q, r in zip(asked, rated, strict=True)),
            )
            for side, model in enumerate(models)
        )
    )


def _ratings(row: Row, models: tuple[str, str]) -> tuple[float, float]:
    """The ratings of both LLMs, whichever of them the row calls a."""
    a, b = RATINGS.get(row["winner"], (0.5, 0.5))
    return (a, b) if row["model_a"] == models[0] else (b, a)
