"""200 simulated users with drifting tastes: regret of the live router, with and without exploration.

uv run python benchmarks/gmt_drift.py
"""

from __future__ import annotations

from _shared import RUNS, data_folder

from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.gmt import Exploration, PersonalSettings, fit_personal
from mar.controllers.gmt.builders.simulated import SIZES, read_recorded, simulate_users
from mar.controllers.gmt.comparisons import comparisons_of, names_of
from mar.evaluation.gmt.drift import World, simple_choices, simulate, table_of
from mar.evaluation.plots import plot_regret
from mar.learning.progress import Progress

POLICIES: tuple[tuple[str, Exploration, bool], ...] = (
    ("GMT, best guess", "none", True),
    ("GMT, UCB (default)", "ucb", True),
    ("GMT, best guess, without training", "none", False),
    ("GMT, UCB, without training", "ucb", False),
)


def main() -> None:
    encoder, progress = CachedEncoder(MiniLM()), Progress()
    made = simulate_users(read_recorded(data_folder(), "gsm8k"), size=SIZES["gsm8k"])
    names = names_of(made.groups, encoder)
    model = fit_personal(comparisons_of(made.groups, names), PersonalSettings(contexts=2))
    world = World.drawn(made.recorded)
    regrets = simple_choices(world)
    for name, exploration, trained in POLICIES:
        known = model if trained else None
        regrets.append(simulate(name, world, known, encoder, progress, exploration=exploration))
    title = f"SIMULATED users with drifting tastes: {world.asked.shape[0]} users, {world.asked.shape[1]} turns"
    print(f"{title}\n\n{table_of(regrets)}")
    curves = {r.name: r.curve.tolist() for r in regrets}
    plot_regret(curves, RUNS / "gmt_drift.png", title=title)
    print(f"\npicture: {(RUNS / 'gmt_drift.png').relative_to(RUNS.parents[1])}")


if __name__ == "__main__":
    main()
