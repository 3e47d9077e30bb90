# pyright: basic
"""CASCAL on the recorded MMLU-Pro answers: five splits, the ten middle and the five strongest models.

    MAR_DATA=... python benchmarks/cascal_mmlu_pro.py [--groups middle strong] [--seeds 0 1 2 3 4]

Labels are used by the references and by the judge only. Every (group, split) is kept in runs/benchmarks/cascal and not
computed again, so a killed run goes on; `--redo` starts anew. The seconds are CPU seconds of one process, one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _shared import RUNS, data_folder, machine
from safetensors.numpy import load_file, save_file

from mar.controllers.cascal import train_local
from mar.controllers.cascal.responses import Floats
from mar.controllers.cascal.skills import Vectors
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.evaluation.generated import Judged, judge, references, simple_rules
from mar.evaluation.recorded import Recorded, read_recorded, split_rows
from mar.evaluation.statistics import paired_bootstrap
from mar.files import write_atomically
from mar.learning.generated.consensus import Consensus, learn, score_responses

FOLDER = RUNS / "cascal"
OURS = "CASCAL, families (ours)"
PUBLISHED = "CASCAL, published code"
KINDS: dict[str, Consensus] = {OURS: "families", "CASCAL, mended": "consensus", PUBLISHED: "published"}
SIMPLE = ("majority of all", "best by agreement", "best by Dawid-Skene")
Found = dict[str, Any]


def vectors_of(recorded: Recorded) -> Vectors:
    """Embeddings of the questions, computed once."""
    path = FOLDER / "vectors.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"vectors": CachedEncoder(MiniLM()).encode(recorded.texts)}, path)
    return load_file(path)["vectors"]


def one_split(recorded: Recorded, vectors: Vectors, group: str, seed: int) -> Found:
    """Right answers (as 0 and 1) of everything on one split, and the seconds that learning and routing took."""
    parts = split_rows(len(recorded.gold), seed)
    everyone = recorded.responses.of(recorded.group(group))
    train, test, gold = everyone.take(parts.train), everyone.take(parts.test), recorded.gold[parts.test]
    right = train.choices == recorded.gold[parts.train][:, None]
    subjects = [recorded.subjects[i] for i in parts.train]
    rows: list[Judged] = []
    seconds: dict[str, float] = {}
    for name, kind in KINDS.items():
        began = time.process_time()
        scored = score_responses(train, kind, seed=seed)
        model = learn(train, scored, kind, subjects, vectors[parts.train], encoder=MiniLM.name)
        routes = model.routes(vectors[parts.test])
        seconds[name] = time.process_time() - began
        rows.append(judge(name, routes.scores, test, gold, unreadable_vote=kind == "published"))
    overall: dict[str, Floats] = {
        "best by agreement": score_responses(train, "majority").scores,
        "best by Dawid-Skene": score_responses(train, "dawid_skene").scores,
    }
    rows += simple_rules(train, test, gold, overall)
    labelled = train_local(train.models, right.astype(np.float64), subjects, vectors[parts.train])
    rows.append(judge("our smoother on labels", labelled.estimate(vectors[parts.test])[0], test, gold))
    rows += references(right, test, gold)
    found = {
        r.name: {
            "top1": None if r.top1 is None else r.top1.tolist(),
            "top3": None if r.top3 is None else r.top3.tolist(),
        }
        for r in rows
    }
    return {"rows": found, "seconds": seconds}


def kept(path: Path, compute: Callable[[], Found], *, redo: bool) -> Found:
    """What was computed before, or now."""
    if redo or not path.is_file():
        write_atomically(path, json.dumps(compute()))
    return json.loads(path.read_text(encoding="utf-8"))


def show(group: str, splits: list[Found]) -> None:
    """The table of one group, and ours against the published code and the best simple rule."""
    print(f"\n{group}, {len(splits)} splits: accuracy in percent, mean over splits\n")
    print("| router | top-1 | top-3 vote |\n|---|---|---|")
    names = list(splits[0]["rows"])
    mean = {(n, k): _mean(splits, n, k) for n in names for k in ("top1", "top3")}
    for name in names:
        shown = (mean[name, k] for k in ("top1", "top3"))
        print(f"| {name} | " + " | ".join("" if m is None else f"{100 * m:.1f}" for m in shown) + " |")
    for measure, label in (("top1", "top-1"), ("top3", "top-3 vote")):
        simple = [(m, n) for n in SIMPLE for k in ("top1", "top3") if k == measure and (m := mean[n, k]) is not None]
        simple += [(m, n) for n in SIMPLE[:1] if measure == "top1" and (m := mean[n, "top3"]) is not None]
        for other in (PUBLISHED, max(simple)[1], "best single (by labels)"):
            theirs = "top3" if mean[other, measure] is None and mean[other, "top3"] is not None else measure
            theirs = "top1" if mean[other, theirs] is None else theirs
            print(f"{label}: ours - {other}: {_difference(splits, measure, other, theirs)}")
    mean_seconds = {n: np.mean([s["seconds"][n] for s in splits]) for n in KINDS}
    print("CPU seconds, consensus + train + route: " + ", ".join(f"{n} {v:.1f}" for n, v in mean_seconds.items()))


def _mean(splits: list[Found], name: str, measure: str) -> float | None:
    values = [s["rows"][name][measure] for s in splits]
    return None if values[0] is None else float(np.mean([np.mean(v) for v in values]))


def _difference(splits: list[Found], measure: str, other: str, theirs: str) -> str:
    a = [s["rows"][OURS][measure] for s in splits]
    b = [s["rows"][other][theirs] for s in splits]
    found = paired_bootstrap(a, b)
    verdict = "" if found.excludes_zero else " (a tie)"
    return f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f}){verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", nargs="+", default=["middle", "strong"], choices=["weak", "middle", "strong"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--redo", action="store_true")
    options = parser.parse_args()
    recorded = read_recorded(data_folder())
    vectors = vectors_of(recorded)
    print(machine())
    for group in options.groups:
        splits = [
            kept(
                FOLDER / f"{group}-{seed}.json",
                lambda g=group, s=seed: one_split(recorded, vectors, g, s),
                redo=options.redo,
            )
            for seed in options.seeds
        ]
        show(group, splits)


if __name__ == "__main__":
    main()
