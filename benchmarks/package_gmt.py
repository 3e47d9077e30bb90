# pyright: basic
"""Train the packaged personal router and test it on users and questions that it never saw. SIMULATED users and pool.

    uv run python benchmarks/package_gmt.py            (--show: leave the packaged file as it is)

The router learns from ratings of 200 simulated users of the default pool (`mar/controllers/gmt/builders/pool_users.py`)
about half of the questions. Tested is what `mar chat` does: new users ask 20 of the other questions, hear one LLM each
time, and rate it with 1 to 5; their tastes drift. Beside it: a router that starts from nothing, and one LLM for
everybody (the best for the training users). Since the users are made up as the training users were, there are three
more kinds who are not: some who only care for right answers, some with other shares, and some for whom the LLMs'
qualities are shuffled, so that all that was learned is wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _shared import ROOT, data_folder, machine

from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.gmt import PersonalModel, PersonalSettings, fit_personal, save_personal
from mar.controllers.gmt.builders.pool_users import pool_outcomes, pool_weights
from mar.controllers.gmt.builders.simulated import DrawWeights, Recorded, SimulatedUsers, simulate_users
from mar.controllers.gmt.comparisons import comparisons_of, names_of
from mar.evaluation.gmt.drift import Regret, World, regret_of, simulate
from mar.evaluation.gmt.experiment import verdict
from mar.evaluation.statistics import paired_bootstrap
from mar.learning.progress import Progress

PACKAGED = ROOT / "mar" / "controllers" / "checkpoints" / "gmt.safetensors"
TRAINING_USERS, CONVERSATIONS, SIDE_BY_SIDE = 200, 20, 3
USERS, TURNS, SEEDS = 50, 20, range(5)
EARLY = 5  # turns


def halves(recorded: Recorded) -> tuple[Recorded, Recorded]:
    """Questions to train on and to test on."""
    order = np.random.default_rng(0).permutation(len(recorded.questions))
    return recorded.only(np.sort(order[: len(order) // 2])), recorded.only(np.sort(order[len(order) // 2 :]))


def trained(made: SimulatedUsers, encoder: CachedEncoder) -> PersonalModel:
    votes = comparisons_of(made.groups, names_of(made.groups, encoder))
    return fit_personal(votes, PersonalSettings(contexts=4, rounds=10, questions=False))


def shuffled(recorded: Recorded, seed: int) -> Recorded:
    """Every LLM with the qualities of another one."""
    order = np.roll(np.random.default_rng(seed).permutation(len(recorded.models)), 1)
    return replace(recorded, solved=recorded.solved[:, order], traits=recorded.traits[order])


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of users."""

    name: str
    draw: DrawWeights
    pool: Callable[[Recorded, int], Recorded] = lambda recorded, seed: recorded


KINDS = (
    Kind(name="like the training users", draw=pool_weights),
    Kind(name="right answers only", draw=lambda users, rng: np.tile([1.0, 0.0, 0.0, 0.0], (users, 1))),
    Kind(name="other shares: Dirichlet(1, 1, 1, 1)", draw=lambda users, rng: rng.dirichlet(np.ones(4), users)),
    Kind(name="LLMs shuffled: what was learned is wrong", draw=pool_weights, pool=shuffled),
)


def tested(kind: Kind, model: PersonalModel, made: SimulatedUsers, test: Recorded, encoder: CachedEncoder) -> None:
    """Print a table for one kind of users."""
    weights = np.array(list(made.weights.values())).mean(axis=0)
    favourite = int(np.argmax(made.recorded.solved.mean(axis=0) * weights[0] + made.recorded.traits @ weights[1:]))
    found: dict[str, list[Regret]] = {}
    for seed in SEEDS:
        world = World.drawn(kind.pool(test, seed), users=USERS, turns=TURNS, seed=seed, draw=kind.draw)
        one = np.full(world.asked.shape, favourite)
        found.setdefault(f"{test.models[favourite]} for everybody", []).append(regret_of("one", world, one))
        for name, known in (("from nothing", None), ("packaged", model)):
            regret = simulate(name, world, known, encoder, Progress(quiet=True), seed=seed)
            found.setdefault(name, []).append(regret)
    print(f"\n### Users: {kind.name}\n")
    print(f"| router | regret of the first {EARLY} turns | of all {TURNS} | packaged minus this, all turns, 95% |")
    print("|---|---|---|---|")
    totals = {name: [r.by_turn.sum(axis=1).tolist() for r in regrets] for name, regrets in found.items()}
    for name, regrets in found.items():
        early = np.mean([r.by_turn[:, :EARLY].sum(axis=1).mean() for r in regrets])
        gap = paired_bootstrap(totals["packaged"], totals[name])
        shown = "" if name == "packaged" else verdict({"mean": gap.mean, "low": gap.low, "high": gap.high})
        print(f"| {name} | {early:.3f} | {np.mean(totals[name]):.3f} | {shown} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--show", action="store_true", help="print the figures and leave the packaged file as it is")
    show: bool = parser.parse_args().show
    encoder = CachedEncoder(MiniLM())
    train, test = halves(pool_outcomes(data_folder()))
    made = simulate_users(
        train, size=SIDE_BY_SIDE, users=TRAINING_USERS, conversations=CONVERSATIONS, draw=pool_weights
    )
    model = trained(made, encoder)
    print(f"{machine()}; SIMULATED users of the simulated pool, {len(SEEDS)} seeds of {USERS} users")
    for kind in KINDS:
        tested(kind, model, made, test, encoder)
    print("\nlearned variances: " + ", ".join(f"{k} {v:.3f}" for k, v in model.learned.items()))
    if not show:
        save(model, encoder, PACKAGED)


def save(model: PersonalModel, encoder: CachedEncoder, path: Path) -> None:
    notes = {
        "votes": f"SIMULATED: {TRAINING_USERS} users of the simulated pool, {CONVERSATIONS} conversations each",
        "made by": "benchmarks/package_gmt.py",
    }
    save_personal(path, model, encoder=encoder.name, notes=notes, simulated=True)
    print(f"\npackaged as {path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
