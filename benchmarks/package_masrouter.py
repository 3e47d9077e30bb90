# pyright: basic
"""Package a MasRouter: of the five that were trained on MBPP for the comparison, the best on validation.

    uv run python benchmarks/package_masrouter.py    (after benchmarks/six_benchmarks.py --tasks mbpp --effects 1)

Simulated pool, MBPP's 90 validation tasks, four draws each. A controller's figure is its mean utility at a tenth, once
and ten times the price of money that it was trained around: what is packaged serves any budget, so it must be good
along its whole curve. Test items are not looked at.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from _learning import SEEDS
from _shared import ROOT, RUNS, data_folder, machine
from six_benchmarks import RATES

from mar import clock
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.masrouter import MasRouter
from mar.evaluation.comparison import Comparison
from mar.evaluation.experiment import Experiment
from mar.evaluation.options import RunOptions
from mar.evaluation.results import Row
from mar.learning.progress import Progress
from mar.learning.rollouts import Outcome
from mar.learning.rundir import RunDir
from mar.tasks.mbpp import Mbpp, MbppItem

FACTORS = (0.1, 1.0, 10.0)
DRAWS = 4
PACKAGED = ROOT / "mar" / "controllers" / "checkpoints" / "mbpp.safetensors"


class OnValidation(Experiment[MbppItem]):
    """Tests a controller on the validation items at several prices."""

    def __init__(self, options: RunOptions) -> None:
        task = Mbpp.load(data=data_folder())
        super().__init__(task=task, pool=None, options=options, progress=Progress(), encoder=CachedEncoder(MiniLM()))
        # All items stay known: how hard each is, is its rank among them.
        self.test_items, self.validation_items = self.validation_items, self.test_items

    async def _test(
        self, router: MasRouter, comparison: Comparison[MbppItem], cost_rate: float
    ) -> tuple[list[Row], list[Outcome]]:
        rows: list[Row] = []
        for factor in FACTORS:
            router.cost_rate = cost_rate * factor
            row, _ = await comparison.run(router, group="learned")
            rows.append(Row(name=f"x {factor:g}", group="learned", results=row.results))
        return rows, []


def score(checkpoint: Path, rate: float) -> list[tuple[float, float]]:
    """Utility at each price, and USD per 100 queries there."""
    out = RUNS / f"mbpp-prices-{hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:12]}"
    if not (out / "items.json").is_file():
        options = RunOptions(
            pool="simulated",
            epochs=0,
            checkpoint=checkpoint,
            cost_rate=rate,
            test_draws=DRAWS,
            baselines=False,
            out=out,
        )
        experiment = OnValidation(options)
        run = RunDir.open(out, arguments=options.identity(), prompts=experiment.prompts.hash)
        clock.run(lambda: experiment.main(run), virtual=True)
    items = json.loads((out / "items.json").read_text())
    found: list[tuple[float, float]] = []
    for factor in FACTORS:
        rows = items[f"x {factor:g}"]
        cost = float(np.mean([r["cost_usd"] for r in rows]))
        found.append((float(np.mean([r["value"] for r in rows])) - rate * factor * cost, 100 * cost))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--show", action="store_true", help="print the figures and leave the packaged file as it is")
    show: bool = parser.parse_args().show
    trained = {seed: RUNS / "six-mbpp-1-masrouter" / f"{seed}" for seed in SEEDS}
    missing = [str(seed) for seed, folder in trained.items() if not (folder / "checkpoint.safetensors").is_file()]
    if missing:
        command = "benchmarks/six_benchmarks.py --tasks mbpp --effects 1"
        raise SystemExit(f"no controller of seed {', '.join(missing)}; run {command}")
    scores = {seed: score(folder / "checkpoint.safetensors", RATES["mbpp"]) for seed, folder in trained.items()}
    print(f"{machine()}; simulated pool, version 2\n")
    print("| seed | " + " | ".join(f"utility at price x {f:g} (USD / 100)" for f in FACTORS) + " | mean |")
    print("|---|" + "---|" * (len(FACTORS) + 1))
    for seed, at in scores.items():
        cells = " | ".join(f"{utility:.3f} ({cost:.4f})" for utility, cost in at)
        print(f"| {seed} | {cells} | {np.mean([u for u, _ in at]):.3f} |")
    best = max(scores, key=lambda seed: float(np.mean([u for u, _ in scores[seed]])))
    print(f"\nbest: seed {best}")
    if not show:
        shutil.copyfile(trained[best] / "checkpoint.safetensors", PACKAGED)
        print(f"packaged as {PACKAGED.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
