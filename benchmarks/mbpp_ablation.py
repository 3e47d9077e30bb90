# pyright: basic
"""What each fix buys over the published controller, on a reduced setting: 120 training tasks, 5 epochs, 5 seeds.

    uv run python benchmarks/mbpp_ablation.py    (goes on where it was stopped; --show: only print)

Simulated pool on virtual time, real MBPP. From the published controller each fix is switched on alone; ours learns on
imagined episodes, and once on real ones. Learning curves with intervals over seeds: docs/ablation.png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from _shared import ROOT, RUNS, data_folder, machine

from mar.controllers.masrouter import Fixes
from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import IMAGINATION, SWITCHES, RunOptions
from mar.evaluation.statistics import bootstrap_mean, paired_bootstrap
from mar.tasks.mbpp import Mbpp

FIXES = tuple(Fixes.model_fields)
COST_RATE = 17.4  # as --cost_rate auto found it on the full training set
SEEDS = range(5)


def variants() -> dict[str, dict[str, object]]:
    """Option values by name: the published controller, each fix alone, ours, and ours without each part."""
    found: dict[str, dict[str, object]] = {"published": {"paper_faithful": True}}
    for fix in FIXES:
        found[f"published + {fix}"] = {"without": tuple(name for name in SWITCHES if name != fix)}
    found["ours"] = {}
    found["ours - imagination"] = {"without": (IMAGINATION,)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--show", action="store_true", help="only print what has been run so far")
    arguments = parser.parse_args()
    print(machine())
    done: dict[str, list[Path]] = {}
    for name, values in variants().items():
        for seed in SEEDS:
            out = RUNS / f"ablation-{name.replace(' ', '')}-{seed}"
            if not (out / "items.json").is_file():
                if arguments.show:
                    continue
                shared = {"pool": "simulated", "train_limit": 120, "epochs": 5, "patience": 99, "baselines": False}
                options = RunOptions(**shared, **values, cost_rate=COST_RATE, seed=seed, out=out)  # pyright: ignore[reportArgumentType]
                run_experiment(Mbpp.load(data=data_folder()), options)
            done.setdefault(name, []).append(out)
    report(done)


def report(done: dict[str, list[Path]]) -> None:
    utilities = {name: [_utilities(folder) for folder in folders] for name, folders in done.items()}
    reference = utilities["published"]
    print("\n| controller | seeds | test utility | 95% over seeds | minus published | 95%, paired |")
    print("|---|---|---|---|---|---|")
    for name, runs in utilities.items():
        means = bootstrap_mean([float(np.mean(r)) for r in runs])
        paired = paired_bootstrap(runs, reference[: len(runs)])
        print(
            f"| {name} | {len(runs)} | {means.mean:.3f} | {means.low:.3f} to {means.high:.3f} | {paired.mean:+.3f} | "
            f"{paired.low:+.3f} to {paired.high:+.3f} |"
        )
    _plot(done)


def _utilities(folder: Path) -> list[float]:
    items = json.loads((folder / "items.json").read_text())["MasRouter"]
    return [i["value"] - COST_RATE * i["cost_usd"] for i in items]


def _plot(done: dict[str, list[Path]]) -> None:
    figure, axis = plt.subplots(figsize=(9, 6), constrained_layout=True)
    palette = plt.get_cmap("tab20")
    for k, (name, folders) in enumerate(done.items()):
        curves = [_curve(folder) for folder in folders]
        length = min(len(c) for c in curves)
        runs = np.array([c[:length] for c in curves])
        middle, spread = runs.mean(0), 1.96 * runs.std(0) / np.sqrt(len(runs))
        width = 2.5 if name in {"published", "ours"} else 1.2
        axis.plot(range(length), middle, label=name, color=palette(k), linewidth=width)
        if name in {"published", "ours"}:
            axis.fill_between(range(length), middle - spread, middle + spread, color=palette(k), alpha=0.2)
    axis.set_xlabel("updates")
    axis.set_ylabel("utility of the plans drawn in training (moving average)")
    axis.set_title("MBPP, 120 tasks, 5 epochs, 5 seeds, simulated pool", loc="left", fontsize=10)
    axis.legend(frameon=False, fontsize=7, ncols=2)
    figure.savefig(ROOT / "docs" / "ablation.png", dpi=120)


def _curve(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    values = [m["utility"] for m in lines if "loss" in m]
    return [float(np.mean(values[max(0, i - 7) : i + 1])) for i in range(len(values))]


if __name__ == "__main__":
    main()
