# pyright: basic
"""Learning from traffic, on answers that real models gave once.

    uv run python benchmarks/traffic.py estimates   # do 95% intervals of other policies' worth hold?
    uv run python benchmarks/traffic.py loop        # 2,000 requests, 20% rated, 10% of it wrong: what is learned

A world answers from its table, with replacement, so what any policy is truly worth is known exactly.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from _shared import machine
from _traffic import WORLDS, World, drawn, explored, world

from mar.controllers.routers.base import Examples, Prompts
from mar.controllers.routers.pooled import Pooled
from mar.errors import ConfigError
from mar.evaluation.statistics import Interval
from mar.numerics import one_thread
from mar.traffic.comparing import Reading
from mar.traffic.estimates import others
from mar.traffic.estimates.plain import ESTIMATORS
from mar.traffic.estimates.policies import Judged
from mar.traffic.estimates.table import Floats, Ints, Table
from mar.traffic.learn.candidates import ONE, choices, learn
from mar.traffic.rollout import Rollout, Rules, Seen, decide

SIZES, SHARES = (300, 1000, 3000), (0.02, 0.05, 0.2)
OURS = "by arms"
ENOUGH = 10.0  # effective sample size from which intervals are expected to hold in 93 to 97%, and no more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("estimates", "loop"))
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="seed; settings were chosen on those from 100 on")
    parser.add_argument("--wrong", type=float, default=WRONG, help="share of ratings that say the opposite")
    parser.add_argument("--encoder", help="of the questions; MiniLM unless static is named, which takes seconds")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--rated", type=float, default=0.2)
    chosen = parser.parse_args()
    print(machine())
    with one_thread():
        for name in chosen.worlds:
            if chosen.part == "loop":
                seeds = range(chosen.first, chosen.first + chosen.seeds)
                loop(world(name, encoder=chosen.encoder), seeds, chosen.requests, chosen.wrong)
                continue
            estimates(world(name, encoder=chosen.encoder), chosen.repetitions, chosen.rated)


# Estimates ------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Tally:
    """How intervals of one kind did."""

    held: list[bool] = field(default_factory=list)
    width: list[float] = field(default_factory=list)
    ess: list[float] = field(default_factory=list)

    def add(self, interval: Interval, true: float, ess: float) -> None:
        self.held.append(interval.low <= true <= interval.high)
        self.width.append(interval.high - interval.low)
        self.ess.append(ess)

    @property
    def covers(self) -> float:
        return float(np.mean(self.held))


def estimates(world: World, repetitions: int, rated: float) -> None:
    """Coverage, width and effective sample size, by size of the log and share of exploration."""
    policies, serving = asked_about(world), world.always(world.served)
    print(
        f"\n### {world.name}; {world.models[world.served]} served, {100 * rated:.0f}% rated, {repetitions} repetitions"
    )
    names = [*ESTIMATORS, OURS]
    money = " utility: holds, width |" if world.cost_rate else ""
    print(
        f"\n| requests | explored | policy | ESS | {' | '.join(names)} | width of {OURS} | gain: holds, width |{money}"
    )
    print(f"|{'---|' * (6 + len(names) + bool(world.cost_rate))}")
    cells: list[tuple[float, float]] = []
    started = time.process_time()
    for requests in SIZES:
        for share in SHARES:
            tallies = repeated(world, policies, serving, requests, share, repetitions, rated)
            for name in policies:
                ours, gain = tallies[name, OURS], tallies[name, "gain"]
                ess = float(np.median(ours.ess))
                covers = " | ".join(f"{100 * tallies[name, kind].covers:.1f}" for kind in names)
                money = ""
                if world.cost_rate:
                    utility = tallies[name, "utility"]
                    money = f" {100 * utility.covers:.1f}, {np.median(utility.width):.2f} |"
                    cells.append((ess, utility.covers))
                print(
                    f"| {requests} | {share} | {name} | {ess:.1f} | {covers} | {np.median(ours.width):.2f} | "
                    f"{100 * gain.covers:.1f}, {np.median(gain.width):.2f} |{money}",
                    flush=True,
                )
                cells += [(ess, ours.covers), (ess, gain.covers)]
    summary(cells, time.process_time() - started)


def summary(cells: list[tuple[float, float]], seconds: float) -> None:
    """Of all intervals together."""
    enough = np.array([covers for ess, covers in cells if ess >= ENOUGH])
    few = np.array([covers for ess, covers in cells if ess < ENOUGH])
    print(
        f"\nESS of {ENOUGH:g} or more: {100 * enough.mean():.1f}% hold in the mean, between {100 * enough.min():.1f}% "
        f"and {100 * enough.max():.1f}%, {int(((enough >= 0.93) & (enough <= 0.97)).sum())} of {len(enough)} cells "
        f"within 93 to 97%. Fewer: {100 * few.mean():.1f}%, {100 * few.min():.1f}% at least. {seconds:.0f} s of "
        "processor."
    )


def repeated(
    world: World,
    policies: Mapping[str, Floats],
    serving: Floats,
    requests: int,
    share: float,
    repetitions: int,
    rated: float,
) -> dict[tuple[str, str], Tally]:
    """Tallies by policy and kind of interval."""
    base = explored(serving, share)
    true = {name: float((does * world.right).sum(axis=1).mean()) for name, does in policies.items()}
    served = float((serving * world.right).sum(axis=1).mean())
    found: dict[tuple[str, str], Tally] = {}

    def add(name: str, kind: str, interval: Interval, value: float, ess: float) -> None:
        found.setdefault((name, kind), Tally()).add(interval, value, ess)

    for seed in range(repetitions):
        table, at = drawn(world, base, requests, np.random.default_rng(seed), rated=rated)
        judged = Judged.of(table, world.cost_rate, seed=seed)
        for name, policy in policies.items():
            does = policy[at]
            for kind, plain in ESTIMATORS.items():
                add(name, kind, plain(table, does, judged.quality), true[name], 0.0)
            ours = judged.quality_of(does)
            add(name, OURS, ours.interval, true[name], ours.ess)
            gain = judged.quality_of(does - serving[at])
            add(name, "gain", gain.interval, true[name] - served, gain.ess)
            if world.cost_rate:
                utility = judged.comes(does).utility
                add(name, "utility", utility.interval, world.worth(policy), utility.ess)
    return found


def asked_about(world: World) -> dict[str, Floats]:
    """Policies that are estimated: other models, a router, and mixtures."""
    m, utility = len(world.models), world.utility
    order = np.argsort(-world.right.mean(axis=0))
    others = [int(k) for k in order if k != world.served]
    rows = np.random.default_rng(0).choice(len(world.right), min(1000, len(world.right) // 2), replace=False)
    router = Pooled()
    train = Examples(vectors=world.vectors[rows], scores=utility[rows].astype(np.float32))
    router.fit(train, train)
    score = router.score(Prompts(vectors=world.vectors))
    power = np.exp(10 * (score - score.max(axis=1, keepdims=True)))
    return {
        f"always {world.models[others[0]]}": world.always(others[0]),
        f"always {world.models[others[-1]]}": world.always(others[-1]),
        "router": np.eye(m)[score.argmax(axis=1)],
        "router, softened": power / power.sum(axis=1, keepdims=True),
        "any model": np.full(world.right.shape, 1 / m),
    }


# Loop -----------------------------------------------------------------------------------------------------------

REQUESTS, ROUND = 2000, 100  # what is believed of models is renewed every so many
RATED, WRONG = 0.2, 0.1
FEW, MOST = 0.05, 0.5  # share of requests that explores
BEARABLE = 0.05  # by which a model may be believed to be worth less than what serves, and be drawn
HEARD = " + others asked"
BOLD, ROUTER = "pooled(special=0)", "pooled(caution=1)"
STUDENT = {5: 2.776, 10: 2.262, 20: 2.093}  # quantiles of Student's t


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a log comes to be."""

    share: float  # of requests
    directed: bool  # drawn by how probably each model is the best; else evenly
    cards: bool = True  # whether what cards expect is believed beforehand
    bearable: float = BEARABLE
    heard: bool = False  # whether what the others say about rated questions is believed, too


LOGS = {
    "5% explored evenly": Way(share=FEW, directed=False),
    "half explored evenly": Way(share=MOST, directed=False),
    "half explored by belief": Way(share=MOST, directed=True),
    "all drawn by belief": Way(share=1.0, directed=True),
    "all drawn by belief, others heard": Way(share=1.0, directed=True, heard=True),
    "half explored by belief, without cards": Way(share=MOST, directed=True, cards=False),
    "Thompson sampling of all requests": Way(share=1.0, directed=True, cards=False, bearable=1.0),
}


def loop(world: World, seeds: Sequence[int], requests: int, wrong: float) -> None:
    """What is learned, and what was lost on the way, beside bandits over models and what full labels would give."""
    start = world.worth(world.always(world.served))
    card = world.always(int((world.expected - world.cost_rate * world.usd.mean(axis=0)).argmax()))
    found = [looped(world, seed, requests, wrong) for seed in seeds]
    full = np.array([of["full labels | router"][0] for of in found])
    print(
        f"\n### {world.name}; {world.models[world.served]} serves at first, utility {start:.4f}; "
        f"{len(seeds)} seeds from {seeds[0]}\n"
    )
    print("| log | learned | utility afterwards | share of the gain of full labels | lost on the way, % (most) |")
    print("|---|---|---|---|---|")
    share = (world.worth(card) - start) / (full.mean() - start)
    print(f"| none | best value by card | {world.worth(card):.4f} | {share:.2f} | |")
    for k, name in enumerate(world.models):
        alone = world.worth(world.always(k))
        print(f"| none | {name} alone | {alone:.4f} | {(alone - start) / (full.mean() - start):.2f} | |")
    for name in found[0]:
        after, lost = (np.array([of[name][i] for of in found]) for i in (0, 1))
        share = (after - start) / (full.mean() - start)
        lines = f"{shown(after, 4)} | {shown(share, 2)} | {shown(100 * lost, 2)} ({100 * lost.max():.1f})"
        print(f"| {name} | {lines} |", flush=True)
    beside(world, found, full.mean() - start)
    rollouts(world, len(seeds), requests)


def beside(world: World, found: list[dict[str, tuple[float, float]]], gain: float) -> None:
    """Logs whose rated questions the others were asked, too, less the same logs without, seed by seed."""
    pairs = [(name, name.replace(HEARD, "")) for name in found[0] if HEARD in name]
    if not pairs:
        return
    pairs.append((f"all drawn by belief, others heard{HEARD} | {ONE}", f"half explored evenly | {ONE}"))
    print("\n| this | less this | share of the gain | no worse in |\n|---|---|---|---|")
    for with_them, without in pairs:
        more = np.array([of[with_them][0] - of[without][0] for of in found]) / gain
        worse = f"{int((more >= 0).sum())} of {len(more)} seeds"
        print(f"| {cell(with_them)} | {cell(without)} | {shown(more, 2)} | {worse} |", flush=True)
    asked = [world.usd.sum(axis=1) - world.usd[:, world.served], world.usd[:, world.served]]
    calls = f"{len(world.models) - 1} calls for each rated question"
    if world.cost_rate:
        calls += f", {RATED * asked[0].mean() / asked[1].mean():.2f} of what serving everything by it costs"
    print(f"\nAsking the others: {calls}. {alike(world)}", flush=True)


def alike(world: World) -> str:
    """How often two models say the same, and are then both right or both wrong."""
    assert world.said is not None
    upper = np.triu_indices(len(world.models), 1)
    said, right = ((of[:, upper[0]], of[:, upper[1]]) for of in (world.said, world.right))
    same, both = (said[0] == said[1]) & (said[0] >= 0), right[0] == right[1]
    shares = f"in {both[same].mean():.2f} of them, else in {both[~same].mean():.2f}"
    return f"Two say the same in {same.mean():.2f} of pairs, and are both right or both wrong {shares}."


def cell(name: str) -> str:
    """A name that fits one cell of a table."""
    return name.replace(" | ", ": ")


def shown(values: Floats, digits: int) -> str:
    """A mean with the interval of Student's t over seeds."""
    half = STUDENT[len(values)] * values.std(ddof=1) / np.sqrt(len(values)) if len(values) in STUDENT else np.nan
    return f"{values.mean():.{digits}f} ({values.mean() - half:.{digits}f} to {values.mean() + half:.{digits}f})"


def looped(world: World, seed: int, requests: int, wrong: float) -> dict[str, tuple[float, float]]:
    """Utility afterwards and share of utility lost on the way (below 0: gained), by log and what was learned of it."""
    start, m = world.worth(world.always(world.served)), len(world.models)
    found: dict[str, tuple[float, float]] = {}
    for name, way in LOGS.items():
        table, at = logged(world, way, seed, requests, wrong)
        lost = 1 - float(world.utility[at, table.drawn].mean()) / start
        kinds = (BOLD, ONE, ROUTER) if name == "half explored by belief" else (BOLD, ONE)
        for kind in kinds:
            found[f"{name} | {kind}"] = (learned(world, replace(table, others=None), kind), lost)
            if table.others is not None:
                found[f"{name}{HEARD} | {kind}"] = (learned(world, table, kind), lost)
        best = int(believed(world, [table], way.cards)[0].argmax())
        found[f"{name} | the best by belief"] = (world.worth(world.always(best)), lost)
    found["epsilon-greedy, 10% | the best so far"] = greedy(world, seed, requests, wrong)
    at = np.random.default_rng(seed).integers(0, len(world.right), requests)
    full = Pooled()
    full.fit(Examples(vectors=world.vectors[at], scores=world.right[at].astype(np.float32)), Examples(
        vectors=world.vectors[:0], scores=np.zeros((0, m), np.float32)))  # fmt: skip
    scores = full.score(Prompts(vectors=world.vectors)) - world.cost_rate * world.usd[at].mean(axis=0)
    best = world.always(int(world.utility[at].mean(axis=0).argmax()))
    few = world.always(int(world.utility[at[: int(RATED * requests)]].mean(axis=0).argmax()))
    found["full labels of as many as are rated | best model"] = (world.worth(few), 0.0)
    found["full labels | best model"] = (world.worth(best), 0.0)
    found["full labels | router"] = (world.worth(np.eye(m)[scores.argmax(axis=1)]), 0.0)
    return found


def learned(world: World, table: Table, kind: str) -> float:
    """What is learned of a log, as `mar learn` does; what served where there is nothing to choose among."""
    try:
        models = choices(table)
    except ConfigError:
        return world.worth(world.always(world.served))
    return world.worth(learn(kind, table, models, world.cost_rate).does(world.vectors, len(world.models)))


def logged(world: World, way: Way, seed: int, requests: int, wrong: float) -> tuple[Table, Ints]:
    """A log, and the rows of the world that it is of."""
    rng, parts = np.random.default_rng(seed), []
    for _ in range(requests // ROUND):
        renew = heard if way.heard else believed
        mean, chance = renew(world, [part for part, _ in parts], way.cards)
        may = mean >= mean[world.served] - way.bearable
        policy = np.where(may, chance if way.directed else 1.0, 0.0)
        policy[world.served] *= way.directed
        policy *= way.share / max(float(policy.sum()), 1e-12)
        policy[world.served] += max(0.0, 1 - policy.sum())
        policy /= policy.sum()
        parts.append(drawn(world, np.tile(policy, (len(world.right), 1)), ROUND, rng, rated=RATED, wrong=wrong))
    return joined([part for part, _ in parts]), np.concatenate([rows for _, rows in parts])


def heard(world: World, parts: list[Table], cards: bool) -> tuple[Floats, Floats]:
    """As `believed`, with what the others say about rated questions; cards count half."""
    beforehand = np.full(len(world.models), 0.5)
    if cards:
        beforehand = beforehand + (world.expected - world.expected.mean()) / 2
    log = joined(parts) if parts else None
    if log is None or log.others is None:
        return likely_best(world, beforehand, np.eye(len(world.models)) * SPREAD**2)
    rows = np.flatnonzero(~np.isnan(log.worth))
    found = others.believed(log.others.rows(rows), log.drawn[rows], log.worth[rows], beforehand)
    return likely_best(world, found.mean, found.covariance)


SPREAD, SHIFT, NOISE = 0.1, 0.5, 0.25


def believed(world: World, parts: list[Table], cards: bool) -> tuple[Floats, Floats]:
    """What each model is worth and how probably it is the best, by cards and ratings.

    A model is worth what its card expects (or what all are, without cards), a shift that all share, since questions may
    be harder here, and a deviation of its own of SPREAD; all normal, so the posterior has a closed form.
    """
    m = len(world.models)
    count, total = np.zeros(m), np.zeros(m)
    for table in parts:
        seen = ~np.isnan(table.worth)
        count += np.bincount(table.drawn[seen], minlength=m)
        total += np.bincount(table.drawn[seen], table.worth[seen], m)
    precision = np.linalg.inv(SPREAD**2 * np.eye(m) + SHIFT**2)
    covariance: Floats = np.linalg.inv(precision + np.diag(count / NOISE)).astype(np.float64)
    expected = world.expected if cards else np.full(m, 0.5)
    return likely_best(world, covariance @ (precision @ expected + total / NOISE), covariance)


def likely_best(world: World, quality: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """What each model is worth at its price, and how probably it is the best."""
    mean = quality - world.cost_rate * world.usd.mean(axis=0)
    return mean, others.best_of(mean, covariance)


def greedy(world: World, seed: int, requests: int, wrong: float) -> tuple[float, float]:
    """Epsilon-greedy over models: utility of the one it ends with, and share lost on the way."""
    rng, parts, eye = np.random.default_rng(seed), [], np.eye(len(world.models))
    best = world.served
    for _ in range(requests // ROUND):
        policy = explored(eye[best][None], 0.1)[0]
        parts.append(drawn(world, np.tile(policy, (len(world.right), 1)), ROUND, rng, rated=RATED, wrong=wrong))
        best = int(believed(world, [part for part, _ in parts], cards=False)[0].argmax())
    at, did = np.concatenate([r for _, r in parts]), np.concatenate([t.drawn for t, _ in parts])
    start = world.worth(world.always(world.served))
    return world.worth(world.always(best)), 1 - float(world.utility[at, did].mean()) / start


# Rollouts -------------------------------------------------------------------------------------------------------

USERS = 100


def rollouts(world: World, seeds: int, requests: int) -> None:
    """What the rollout's own function decides of candidates that half of the users are given."""
    quality = world.right.mean(axis=0)
    order = np.argsort(-world.utility.mean(axis=0))
    worse = [int(k) for k in np.argsort(-quality) if quality[k] < quality[world.served] - Rules().quality]
    asked = {
        "the best model": (int(order[0]), False),
        "poisoned: the worst model": (int(order[-1]), False),
        "worse by more than the margin; one user's fifth of the ratings is turned round": (worse[0], True),
        "poisoned, and a user's fifth is turned round": (int(order[-1]), True),
    }
    print(f"\n| candidate | right more often | requests | promoted | rolled back | open, of {seeds} |")
    print("|---|---|---|---|---|---|")
    for name, (model, flips) in asked.items():
        steps = [decided(world, model, requests, seed, flips=flips) for seed in range(seeds)]
        counts = " | ".join(str(steps.count(step)) for step in ("promote", "roll back", "stay"))
        print(f"| {name} | {quality[model] - quality[world.served]:+.3f} | {requests} | {counts} |", flush=True)


def decided(world: World, model: int, requests: int, seed: int, *, flips: bool) -> str:
    """The first decision; it is looked ten times. A liar answers for a fifth, and is with the candidate."""
    rng = np.random.default_rng(seed)
    rated = int(RATED * requests)
    user = rng.integers(0, USERS, rated)
    liar = flips & (rng.random(rated) < 0.2)
    new = (user % 2 == 0) | liar
    right = world.right[rng.integers(0, len(world.right), rated), np.where(new, model, world.served)]
    said = np.where((rng.random(rated) < WRONG) | liar, 1 - right, right)
    readings = [
        Reading(unit="liar" if lies else f"u{u}", new=bool(n), value=float(v))
        for lies, u, n, v in zip(liar, user, new, said, strict=True)
    ]
    rules = Rules()
    rollout = Rollout(id="r", controller="mar", candidate="new", told="old", base="old", stage="canary",
                      share=rules.shares[-1], began=0.0, entered=0.0, since=0.0, because="")  # fmt: skip
    for part in range(1, 11):
        some = readings[: part * rated // 10]
        seen = Seen(readings={"quality": some}, requests=sum(one.new for one in some))
        step = decide(rollout, seen, rules, now=0.0).step
        if step != "stay":
            return step
    return "stay"


def joined(parts: list[Table]) -> Table:
    """One log after the other."""
    names = ("drawn", "probability", "worth", "usd", "seconds", "vectors")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    known = [part.others for part in parts if part.others is not None]
    together = None
    if known:
        fields = {name: np.concatenate([getattr(one, name) for one in known]) for name in ("said", "usd", "single")}
        together = others.Others(**fields)
    return Table(arms=parts[0].arms, person=np.arange(len(columns["drawn"])), others=together, **columns)


if __name__ == "__main__":
    main()
