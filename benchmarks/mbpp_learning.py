# pyright: basic
"""Does the trained controller beat the best fixed plan on MBPP? Five seeds; half, once and twice the assumed effects.

    uv run python benchmarks/mbpp_learning.py    (--effects 1: one factor only; goes on where it was stopped)

Simulated pool on virtual time, real MBPP, first test shown. "Best fixed" is chosen in hindsight on the test items
themselves, among every LLM alone and every mode with the best LLM, so the comparison is hard on the controller. The
interval is a paired bootstrap over items and seeds, of means over four draws per item.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from _learning import SEEDS, mean, read_items, utilities, verdict
from _shared import RUNS, data_folder, machine

from mar import clock
from mar.controllers.baselines import Constant, single, team
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.evaluation.comparison import Comparison
from mar.evaluation.experiment import Experiment, run_experiment
from mar.evaluation.options import RunOptions
from mar.evaluation.results import Row
from mar.evaluation.statistics import bootstrap_mean, paired_bootstrap
from mar.learning.progress import Progress
from mar.learning.rundir import RunDir
from mar.tasks.mbpp import Mbpp, MbppItem

RETESTED = 3  # fixed modes that are tested again with more draws: the best by one draw
DRAWS = 4  # episodes per test item and controller: one draw per item is too noisy to tell a difference of 0.02
LEARNED = ("MasRouter", "MasRouter, cost_rate x 0.1", "MasRouter, cost_rate x 10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--effects", type=float, nargs="+", default=[1.0, 0.5, 2.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    arguments = parser.parse_args()
    print(machine())
    for effects in arguments.effects:
        folders = [run(effects, seed) for seed in arguments.seeds]
        report(effects, folders)


def run(effects: float, seed: int) -> Path:
    """Train one controller, then test it and everything simple with several draws per item."""
    task = Mbpp.load(data=data_folder())
    trained = RUNS / f"mbpp-learning-{effects:g}-{seed}"
    if not (trained / "items.json").is_file():
        run_experiment(task, RunOptions(pool="simulated", seed=seed, effects=effects, out=trained))
    tested = RUNS / f"mbpp-learning-{effects:g}-{seed}-test"
    if not (tested / "items.json").is_file():
        rate = json.loads((trained / "results.json").read_text())["cost_rate"]
        how = {"epochs": 0, "checkpoint": trained / "checkpoint.safetensors", "cost_rate": rate, "test_draws": DRAWS}
        run_experiment(
            task, RunOptions(pool="simulated", seed=seed, effects=effects, baselines=False, out=tested, **how)
        )
    return trained


def test_best_fixed(effects: float, folder: Path, rate: float) -> Path:
    """Test the best fixed plans of a run again, with as many draws as the controllers."""
    out = RUNS / f"mbpp-learning-{effects:g}-fixed-test"
    if not (out / "items.json").is_file():
        rows = [r for r in json.loads((folder / "results.json").read_text())["rows"] if r["group"] != "learned"]
        singles = sorted((r for r in rows if r["group"] == "single LLM"), key=lambda r: -r["utility"]["mean"])
        modes = sorted((r for r in rows if r["group"] == "fixed mode"), key=lambda r: -r["utility"]["mean"])
        best = singles[0]["name"]
        plans = [single(best, "Code"), *(team(r["name"].partition(" x ")[0], best, "Code") for r in modes[:RETESTED])]
        options = RunOptions(pool="simulated", effects=effects, epochs=0, cost_rate=rate, test_draws=DRAWS, out=out)
        run_fixed(out, options, plans)
    return out


class FixedPlans(Experiment[MbppItem]):
    """An experiment that tests some plans that nobody has learned, and nothing else."""

    def __init__(self, options: RunOptions, plans: Sequence[Constant]) -> None:
        task = Mbpp.load(data=data_folder())
        super().__init__(task=task, pool=None, options=options, progress=Progress(), encoder=CachedEncoder(MiniLM()))
        self.plans = plans

    async def _baselines(self, comparison: Comparison[MbppItem], cost_rate: float) -> list[Row]:
        groups = ["fixed mode" if " x " in plan.name else "single LLM" for plan in self.plans]
        pairs = zip(self.plans, groups, strict=True)
        return [(await comparison.run(plan, group=group, cached=True))[0] for plan, group in pairs]


def run_fixed(out: Path, options: RunOptions, plans: Sequence[Constant]) -> None:
    """Test some plans into a folder, unless that has been done."""
    if not (out / "items.json").is_file():
        options = options.model_copy(update={"controllers": ()})
        experiment = FixedPlans(options, plans)
        run = RunDir.open(out, arguments=options.identity(), prompts=experiment.prompts.hash)
        clock.run(lambda: experiment.main(run), virtual=True)


def report(effects: float, folders: list[Path]) -> None:
    """Print the learned controllers beside all fixed plans, and the difference to the best of them."""
    rate = json.loads((folders[0] / "results.json").read_text())["cost_rate"]
    items = [read_items(f) for f in folders]
    utility = {name: mean([r.utility(rate) for run in items for r in run[name]]) for name in items[0]}
    fixed = [n for n in utility if not n.startswith(("MasRouter", "oracle", "random"))]
    print(f"\n### Peer and role effects x {effects:g}; cost_rate {rate:g}; {len(folders)} seeds; simulated pool\n")
    print("| controller | accuracy % | utility | USD / 100 | calls |")
    print("|---|---|---|---|---|")
    ranked = sorted(fixed, key=lambda n: -utility[n])
    for name in [*LEARNED, "random plans", *ranked[:6], "oracle over the fixed plans"]:
        flat = [i for run in items for i in run[name]]
        accuracy, cost = 100 * mean([i.solved for i in flat]), 100 * mean([i.cost_usd or 0.0 for i in flat])
        shown = f"{utility[name]:.3f}"
        if name in LEARNED:
            over_seeds = bootstrap_mean([mean([i.utility(rate) for i in run[name]]) for run in items])
            shown += f" ({over_seeds.low:.3f} to {over_seeds.high:.3f} over seeds)"
        print(f"| {name} | {accuracy:.1f} | {shown} | {cost:.4f} | {mean([i.calls for i in flat]):.1f} |")
    again = read_items(test_best_fixed(effects, folders[0], rate))
    fixed_again = {n: utilities(r, rate, DRAWS) for n, r in again.items()}
    best = max(fixed_again, key=lambda n: mean(fixed_again[n]))
    ours = [utilities(read_items(f.with_name(f.name + "-test"))["MasRouter"], rate, DRAWS) for f in folders]
    difference = paired_bootstrap(ours, [fixed_again[best]] * len(ours))
    print(f"\nTested again with {DRAWS} draws per item:\n\n| controller | utility |\n|---|---|")
    print(f"| MasRouter, by seed | {', '.join(f'{mean(o):.3f}' for o in ours)} |")
    for name, values in fixed_again.items():
        print(f"| {name} | {mean(values):.3f} |")
    print(
        f"\nMasRouter minus the best fixed plan ({best}): {difference.mean:+.4f} "
        f"(95% interval {difference.low:+.4f} to {difference.high:+.4f}): {verdict(difference)}"
    )


if __name__ == "__main__":
    main()
