"""RouterEval's files: ready-made routing problems (router_dataset) and the leaderboards they are made from.

router_dataset: a pickle per benchmark, {easy|hard}{m}{group}{data: {train_score, val_score, test_score, train_label},
model: [names]}, split_index, embedding {train_embed, ...}, prompt {train_prompt, ...}. Leaderboards: {model: [names],
data: {sub-benchmark: {correctness: [prompts x models]}}}, embeddings and prompts alike.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from mar.controllers.routers.base import Examples, Floats
from mar.errors import DataError
from mar.evaluation.routereval.construct import RoutingSet, Split, difficulty
from mar.evaluation.routereval.metrics import REFERENCE
from mar.evaluation.routereval.table import OutcomeTable
from mar.files import write_atomically
from mar.reading.pickles import read_pickle

PARTS = {"train": "train", "validation": "val", "test": "test"}  # our names, theirs
EMBEDDINGS = ("sentence_bert", "RoBERTa", "RoBERTa_last", "longformer")

_MARKS = ("mmlu_pro", *(name for name in REFERENCE if name != "mmlu_pro"))  # mmlu_pro first: mmlu begins it


def benchmark_of(text: str) -> str:
    """The benchmark that a published name belongs to: harness_truthfulqa_mc_0 is truthfulqa, math_lvl_5 is math."""
    flat = text.lower().replace("-", "_")
    return next((mark for mark in _MARKS if mark in flat), flat)


# router_dataset -----------------------------------------------------------------------------------------------


def read_router_dataset(path: Path, *, embedding: str = EMBEDDINGS[0]) -> list[RoutingSet]:
    """The routing problems of one benchmark.

    Args:
        path: The pickle.
        embedding: Which of the published embeddings, where a file has several.

    Raises:
        DataError: A file is missing, refused, or has another shape.
    """
    whole = _mapping(read_pickle(path), path)
    vectors = _inner(whole, path, "embedding", kind=embedding)
    prompts = _inner(whole, path, "prompt")
    found: list[RoutingSet] = []
    for level in ("easy", "hard"):
        for size, groups in _mapping(whole.get(level, {}), path).items():
            for group, problem in _mapping(groups, path).items():
                found.append(
                    _problem(_mapping(problem, path), vectors, prompts, f"{path}: {level} {size} {group}", group)
                )
    if not found:
        raise DataError(f"{path} holds no routing problem; expected easy or hard, a size, and a group")
    return found


def write_router_dataset(sets: Sequence[RoutingSet], split: Split | None, path: Path) -> None:
    """Write routing problems of one benchmark and one split as one pickle in the published form."""
    whole: dict[str, Any] = {}
    if split is not None:
        whole["split_index"] = {theirs: getattr(split, ours) for ours, theirs in PARTS.items()}
    for one in sets:
        data = {f"{theirs}_score": getattr(one, ours).scores for ours, theirs in PARTS.items()}
        if one.train.labels is not None:
            data["train_label"] = one.train.labels
        place = whole.setdefault(difficulty(len(one.models)), {}).setdefault(len(one.models), {})
        place[one.group] = {"data": data, "model": list(one.models)}
    whole["embedding"] = {f"{theirs}_embed": getattr(sets[0], ours).vectors for ours, theirs in PARTS.items()}
    whole["prompt"] = {f"{theirs}_prompt": list(getattr(sets[0], ours).texts) for ours, theirs in PARTS.items()}
    write_atomically(path, pickle.dumps(whole, protocol=4))


def _problem(
    problem: Mapping[str, Any], vectors: Mapping[str, Any], prompts: Mapping[str, Any], where: str, group: str
) -> RoutingSet:
    try:
        data, models = problem["data"], tuple(str(name) for name in problem["model"])
        parts = {
            ours: Examples(
                vectors=_matrix(vectors[f"{theirs}_embed"], where),
                texts=tuple(str(text) for text in prompts.get(f"{theirs}_prompt", ())),
                scores=_matrix(data[f"{theirs}_score"], where, len(models)),
                labels=_matrix(data["train_label"], where) if ours == "train" and "train_label" in data else None,
            )
            for ours, theirs in PARTS.items()
        }
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{where}: no {error}; expected data with train_score, val_score, test_score, and model"
        ) from None
    for name, part in parts.items():
        if len(part.vectors) != len(part.scores):
            raise DataError(f"{where}: {len(part.vectors)} embeddings for {len(part.scores)} prompts of {name}")
    return RoutingSet(
        benchmark=benchmark_of(Path(where.split(": ")[0]).stem),
        group=group,
        models=models,
        **cast("dict[str, Any]", parts),
    )


def _inner(whole: Mapping[str, Any], path: Path, key: str, *, kind: str = "") -> Mapping[str, Any]:
    """Embeddings or prompts by part; nothing where the file has none."""
    found = _mapping(whole.get(key, {}), path)
    return _mapping(found[kind], path) if kind in found else found


# Leaderboards -------------------------------------------------------------------------------------------------


def read_leaderboard(path: Path, *, embedding: str = EMBEDDINGS[0]) -> list[OutcomeTable]:
    """The tables of a leaderboard_*.pkl of the folder leaderboard_score, one per benchmark.

    Prompts and embeddings are taken from the folders leaderboard_prompt and leaderboard_embed beside it, if there.

    Raises:
        DataError: A file is missing, refused, or has another shape.
    """
    whole = _mapping(read_pickle(path), path)
    try:
        models = tuple(str(name) for name in whole["model"])
        parts = {
            str(name): _matrix(part["correctness"], f"{path}: {name}", len(models))
            for name, part in whole["data"].items()
        }
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: no {error}; expected model, and data with the correctness of each sub-benchmark"
        ) from None
    prompts, vectors = _beside(path, "leaderboard_prompt"), _beside(path, "leaderboard_embed", embedding)
    by_benchmark: dict[str, list[str]] = {}
    for name in parts:
        by_benchmark.setdefault(benchmark_of(name), []).append(name)
    return [
        OutcomeTable(
            name=benchmark,
            models=models,
            scores=np.concatenate([parts[n] for n in names]),
            groups=tuple(n for n in names for _ in range(len(parts[n]))),
            prompts=tuple(str(t) for n in names for t in prompts[n]) if set(names) <= prompts.keys() else (),
            vectors=np.concatenate([_matrix(vectors[n], f"{path}: {n}") for n in names])
            if set(names) <= vectors.keys()
            else None,
            notes={"source": f"published leaderboard {path.name}"},
        )
        for benchmark, names in by_benchmark.items()
    ]


def _beside(path: Path, folder: str, kind: str = "") -> Mapping[str, Any]:
    """What a leaderboard's companion file holds for each sub-benchmark; nothing where there is none."""
    for place in (path.parent.parent / folder / kind / path.name, path.parent.parent / folder / path.name):
        if place.is_file():
            whole = _mapping(read_pickle(place), place)
            found = _mapping(whole.get(kind, whole.get("data", whole)), place)
            return {str(k): _only(v) for k, v in found.items()}
    return {}


def _only(value: Any) -> Any:
    """The values of a dictionary of one entry, as in {"prompt": [...]}."""
    if not isinstance(value, dict):
        return value
    found = cast("dict[Any, Any]", value)
    return next(iter(found.values())) if len(found) == 1 else found


# Checks -------------------------------------------------------------------------------------------------------


def _mapping(value: Any, path: Path) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{path}: found {type(value).__name__} where a dictionary was expected")
    return cast("Mapping[str, Any]", value)


def _matrix(value: Any, where: str, columns: int | None = None) -> Floats:
    try:
        found = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        raise DataError(f"{where}: found values that are no numbers") from None
    if not np.isfinite(found).all():
        raise DataError(f"{where}: found values that are not finite")
    if found.ndim != 2 or (columns is not None and found.shape[1] != columns):
        raise DataError(f"{where}: an array of shape {found.shape}; expected (prompts, {columns or 'width'})")
    return found
