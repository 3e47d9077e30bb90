"""Where votes come from: published files, or built from raw data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mar.controllers.embeddings import Encoder
from mar.controllers.gmt.builders.chatbot_arena import build_chatbot_arena
from mar.controllers.gmt.builders.mt_bench import build_mt_bench
from mar.controllers.gmt.builders.simulated import SIZES, SimulatedUsers, read_recorded, simulate_users
from mar.controllers.gmt.comparisons import Comparisons, Floats
from mar.controllers.gmt.records import Group, frequent, kept_apart, read_groups, write_groups
from mar.errors import DataError
from mar.evaluation.gmt.config import GmtConfig
from mar.evaluation.gmt.protocol import EXTRA_FILE, MIN_GROUPS, SPLIT_FILES, Split, split_votes, without_leaks
from mar.runtime.identity import digest

REMOVED = "conversations removed from training since they tell about test votes"
ARENA_FILES = ("chatbot_arena/conversations.jsonl", "chatbot_arena/conversations.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteData:
    """One or more splits of a data set."""

    splits: tuple[Split, ...]
    notes: dict[str, str]  # where the votes are from, and what was left out
    simulated: SimulatedUsers | None = None  # what made simulated users' ratings

    @property
    def groups(self) -> tuple[Group, ...]:
        """All groups of all parts, each once."""
        parts = [(*s.train, *s.validation, *s.test, *s.extra) for s in self.splits]
        return tuple({id(g): g for part in parts for g in part}.values())

    @property
    def digest(self) -> str:
        """A hash of who is asked what and rated how in which part: results of other votes are other results."""
        parts = [(s.train, s.validation, s.test, s.extra) for s in self.splits]
        known = dict[int, str]()

        def of(group: Group) -> str:
            if id(group) not in known:
                ratings = [[e.rating for e in c.conversation] for c in group.conversations]
                known[id(group)] = digest(group.user, group.question_id, group.models, group.queries, ratings)
            return known[id(group)]

        return digest(*(digest(*map(of, part)) for split in parts for part in split))


def load_votes(config: GmtConfig, data: Path | None) -> VoteData:
    """The splits that a configuration asks for.

    Raises:
        DataError: Neither published files nor raw data are there, or something in them is wrong.
    """
    folder = config.dataset.path / config.dataset.name
    files = {part: folder / f"{stem}.jsonl" for part, stem in SPLIT_FILES.items()}
    if any(f.is_file() for f in files.values()):
        return _published(files, config)
    if config.config.preprocess and list(folder.glob("*.pt")):
        raise DataError(
            f"{folder} holds preprocessed .pt files only, which are pickles; expected {files['train'].name}"
        )
    if data is None:
        raise DataError(f"no {files['train']}; give the folder of raw data with --data (or MAR_DATA) to build it")
    return _built(config, data)


def _published(files: Mapping[str, Path], config: GmtConfig) -> VoteData:
    folder = files["train"].parent
    if config.dataset.split != "votes":
        raise DataError(
            f"dataset.split {config.dataset.split} has no effect on {folder}, which is split already; expected a "
            "dataset.path without it, so that the data set is built"
        )
    read = {part: read_groups(path) for part, path in files.items()}
    notes = {
        "votes": f"files {folder}, which are one split",
        "duplicates left out": str(sum(r.duplicates for r in read.values())),
    }
    if config.config.preprocess:
        notes["preprocess"] = "read from the JSONL files; pickled tensors are never loaded"
    others = files["train"].with_name(f"{EXTRA_FILE}.jsonl")
    extra = read_groups(others).groups if others.is_file() else ()
    split = without_leaks(read["train"].groups, read["validation"].groups, read["test"].groups, extra)
    notes[REMOVED] = str(split.removed)
    for part, path in files.items():
        if not any(g.decided for g in getattr(split, part)):
            left = f" ({REMOVED}: {split.removed})" if split.removed else ""
            raise DataError(f"{path}: no vote in it prefers an LLM to another{left}; expected some")
    return VoteData(splits=(split,), notes=notes)


def _built(config: GmtConfig, data: Path) -> VoteData:
    name, seeds, kind = config.dataset.name, range(config.train.splits), config.dataset.split
    if name in ("gsm8k", "mmlu"):
        made = simulate_users(read_recorded(data, name), size=SIZES[name])
        notes = {"votes": f"SIMULATED users over recorded outcomes ({len(made.weights)} users)", "split": kind}
        splits = tuple(split_votes(made.groups, seed, kind=kind) for seed in seeds)
        return VoteData(splits=splits, notes=notes, simulated=made)
    extra: tuple[Group, ...] = ()
    if name == "mt_bench":
        votes = build_mt_bench(data)
        extra = build_mt_bench(data, judgments="gpt4_pair.jsonl").groups
    else:
        found = [p for f in ARENA_FILES for p in (data / f, data / "benchmarks" / f) if p.is_file()]
        if not found:
            raise DataError(
                f"{data} holds no {' or '.join(ARENA_FILES)}; the hub has lmsys/chatbot_arena_conversations"
            )
        votes = build_chatbot_arena(found[0])
    splits = tuple(split_votes(votes.groups, seed, extra=extra, kind=kind) for seed in seeds)
    notes = {
        "votes": f"{len(frequent(votes.groups, MIN_GROUPS))} conversations of users with at least {MIN_GROUPS}",
        "split": kind,
        "left out": f"{votes.duplicates} duplicate and {votes.incomplete} incomplete votes",
        REMOVED: str(splits[0].removed),
    }
    if extra:
        notes["GPT-4"] = f"{len(extra)} conversations judged by GPT-4, for training only"
    return VoteData(splits=splits, notes=notes)


def write_published(data: VoteData, folder: Path, encoder: Encoder) -> list[Path]:
    """Write the first split as published files, embeddings included; gives the files."""
    split = data.splits[0]
    parts = {stem: getattr(split, part) for part, stem in SPLIT_FILES.items()} | {EXTRA_FILE: split.extra}
    ordered = {folder / f"{stem}.jsonl": kept_apart(groups) for stem, groups in parts.items() if groups}
    for path, groups in ordered.items():  # what cannot be written was found before the first file is
        write_groups(path, groups, encoder)
    return list(ordered)


def told_the_weights(made: SimulatedUsers, asked: Comparisons) -> Floats:
    """Scores of a reference that is told each user's true weights, and how often each LLM solves questions at all."""
    names, recorded = asked.names, made.recorded
    columns = [recorded.models.index(m) for m in names.models]
    values = np.column_stack([recorded.solved.mean(axis=0)[columns], recorded.traits[columns]])
    weights = np.array([made.weights[u] for u in names.users])
    table = weights @ values.T
    return table[asked.user, asked.a] - table[asked.user, asked.b]
