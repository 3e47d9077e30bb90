# pyright: basic
"""Weighing answers, and asking step by step, on the answers that 28 real LLMs gave to MMLU-Pro.

    uv run python benchmarks/sequential_recorded.py answers   # four pools, all answers and few calls
    uv run python benchmarks/sequential_recorded.py prices    # five strongest at list prices: utility, ECE

Mean of the five splits of benchmarks/_routing.py; everything learns from the 10,800 training and validation questions,
where whatever is chosen is chosen, too (on 2,000 of them); test questions are only answered. "+ options" also shows the
aggregator how the options are worded, which tells of how the benchmark was made as well as of the question. A call is
looked at only after it was made. Intervals resample splits and, within each, questions. A run that was killed goes on.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from _recorded_answers import EVERYBODY, FOLDER, Problem, Table, load, problem
from _routing import POOLS
from _shared import ROOT, machine
from routereval_better import difference, run, verdict_of

from mar.controllers.cascal.responses import Responses
from mar.controllers.routers.base import Examples, choose, prior
from mar.controllers.weighing.aggregator import Aggregator
from mar.controllers.weighing.answered import WeighedAnswers
from mar.controllers.weighing.asking import Asking
from mar.controllers.weighing.certainty import Certainty
from mar.controllers.weighing.options import Answers
from mar.evaluation.generated import judge
from mar.evaluation.routereval.construct import RoutingSet
from mar.evaluation.routereval.state import digest_of_files
from mar.learning.generated.consensus import learn, score_responses

SEEDS = range(5)
CALLS = (1, 2, 3)
SINGLE, ROUTER, MAJORITY, CASCAL = "best single", "text router (shrunken)", "majority of all", "CASCAL, vote of three"
SIMPLE = (SINGLE, ROUTER, MAJORITY, CASCAL)
PLAIN, WORDED, STEPS = "aggregator", "aggregator + options", "step by step"
TUNING = 2000  # training questions on which orders, sets and thresholds are chosen
STOPS = (0.5, 0.65, 0.8, 0.9)
RATES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15)  # utility that the best single LLM's mean call costs
PATIENCE = (0.5, 1.0, 2.0)
Found = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("answers", "prices"))
    parser.add_argument("--pools", nargs="+", default=[*POOLS, EVERYBODY])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    chosen = parser.parse_args()
    print(machine())
    table = load()
    if chosen.part == "answers":
        for pool in chosen.pools:
            show_answers(pool, [answers_of(table, pool, seed) for seed in chosen.seeds])
    else:
        show_prices([prices_of(table, seed) for seed in chosen.seeds])


def kept(name: str, compute: Callable[[], Found]) -> Found:
    """What was computed before by the same code, or now."""
    path = FOLDER / f"{name.replace(' ', '_')}-{code()}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, **compute())
        part.replace(path)
    with np.load(path) as found:
        return dict(found)


@cache
def code() -> str:
    """Digest of what figures hang on."""
    names = ("aggregator", "answered", "asking", "certainty", "options", "skills", "wording")
    ours = [ROOT / "mar" / "controllers" / "sequential" / f"{name}.py" for name in names]
    beside = [
        ROOT / "mar/controllers/routers/kernel.py",
        Path(__file__),
        Path(__file__).with_name("_recorded_answers.py"),
    ]
    return digest_of_files([*ours, *beside])


# Answers --------------------------------------------------------------------------------------------------------


def answers_of(table: Table, pool: str, seed: int) -> Found:
    """Whether each way of answering is right on each test question, and how sure ours were."""

    def compute() -> Found:
        task = problem(table, pool, seed)
        model = WeighedAnswers(families=task.families)
        learned = model.fit(task.train, task.validation)
        test, right = model.read(task.test), np.concatenate([task.train.right, task.validation.right])
        blind = Aggregator(families=task.families).fit(unworded(learned), right)
        return ours(PLAIN, blind, unworded(learned), right, unworded(test), task.test.right) | ours(
            WORDED, model.aggregator_, learned, right, test, task.test.right
        )

    simple = kept(f"simple {pool} {seed}", lambda: simple_ways(table, problem(table, pool, seed), pool, seed))
    return simple | kept(f"answers {pool} {seed}", compute)


def ours(name: str, model: Aggregator, learned: Answers, right: np.ndarray, test: Answers, gold: np.ndarray) -> Found:
    """The aggregator over all answers, over the calls that it chose, and over fixed sets of calls."""
    found: Found = {}
    some = np.random.default_rng(0).permutation(len(right))[:TUNING]
    tuning, known = learned.rows(some), right[some]

    def add(way: str, asked: np.ndarray, tuned: np.ndarray) -> None:
        found[way], found[f"sure of {way}"] = decided(model, test, gold, asked, (tuning, known, tuned))

    everybody = np.ones(test.choices.shape, dtype=bool)
    add(f"{name}, all answers", everybody, np.ones(tuning.choices.shape, dtype=bool))
    order = best_first(model, tuning, known, max(CALLS))
    asking = Asking(aggregator=model, prices=np.zeros(test.choices.shape[1]))
    asked, tuned = np.zeros_like(everybody), np.zeros(tuning.choices.shape, dtype=bool)
    for calls in CALLS:
        add(f"{name}, {calls} calls, the same for all", only(test, order[:calls]), only(tuning, order[:calls]))
        for answers, so_far in ((test, asked), (tuning, tuned)):
            so_far[np.arange(len(answers)), asking.following(answers, so_far)] = True
        add(f"{name}, {calls} calls, step by step", asked.copy(), tuned.copy())
    return found


def decided(
    model: Aggregator, test: Answers, gold: np.ndarray, asked: np.ndarray, tuned: tuple[Answers, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Whether the most probable option is right, and how sure one was, by what was learned on training questions."""
    tuning, known, asked_then = tuned
    before = model.posterior(tuning, asked_then)
    certainty = Certainty().fit(before.max(axis=1), asked_then, before.argmax(axis=1) == known)
    chances = model.posterior(test, asked)
    return (chances.argmax(axis=1) == gold).astype(np.float64), certainty.of(chances.max(axis=1), asked)


def unworded(answers: Answers) -> Answers:
    """Without what shows on the options."""
    return replace(answers, wording=answers.wording[:, :, :0])


def best_first(model: Aggregator, tuning: Answers, right: np.ndarray, most: int) -> list[int]:
    """Models in the order in which each adds most to the training accuracy of those before."""
    order: list[int] = []
    for _ in range(most):
        rest = [j for j in range(tuning.choices.shape[1]) if j not in order]
        found = [model.posterior(tuning, only(tuning, [*order, j])).argmax(axis=1) == right for j in rest]
        order.append(rest[int(np.argmax([some.mean() for some in found]))])
    return order


def simple_ways(table: Table, task: Problem, pool: str, seed: int) -> Found:
    """What is there without an aggregator."""
    best = int(np.argmax(prior(task.train)))
    learned, cut = task.rows[0], len(task.train)
    parts = ((task.train, learned[:cut]), (task.validation, learned[cut:]), (task.test, task.rows[1]))
    plain = [
        Examples(vectors=p.vectors, texts=p.texts, scores=p.scores, groups=tuple(table.subjects[i] for i in rows))
        for p, rows in parts
    ]
    routing = RoutingSet(benchmark="mmlu_pro_query", group=pool, models=task.models,
                         train=plain[0], validation=plain[1], test=plain[2])  # fmt: skip
    train, test = (responses(table, task, rows) for rows in task.rows)
    strongest = np.argsort(-prior(task.train), kind="stable")
    scored = score_responses(train, "families", families=task.families, seed=seed)
    subjects = [table.subjects[i] for i in task.rows[0]]
    routes = learn(train, scored, "families", subjects, table.vectors[task.rows[0]], encoder="MiniLM").routes(
        table.vectors[task.rows[1]]
    )
    judged = judge(CASCAL, routes.scores, test, task.test.right)
    assert judged.top1 is not None
    assert judged.top3 is not None
    return {
        "oracle": task.test.scores.max(axis=1).astype(np.float64),
        SINGLE: task.test.scores[:, best].astype(np.float64),
        ROUTER: np.asarray(run("shrunken", routing, seed).values, dtype=np.float64),
        MAJORITY: majority(task, strongest),
        "CASCAL, one call": judged.top1,
        CASCAL: judged.top3,
    }


def responses(table: Table, task: Problem, rows: np.ndarray) -> Responses:
    """Answers of a pool as CASCAL takes them."""
    at = np.array([table.models.index(m) for m in task.models])
    return Responses(
        questions=tuple(str(i) for i in rows),
        models=task.models,
        options=table.shown.options[rows],
        choices=table.shown.choices[rows][:, at].astype(np.int8),
    )


def majority(task: Problem, strongest: np.ndarray) -> np.ndarray:
    """The most frequent answer of all; of several, the one of the model that was strongest in training."""
    said = task.test.shown.choices[:, strongest]
    votes = ((said[:, :, None] == said[:, None, :]) & (said >= 0)[:, :, None]).sum(axis=2)
    first = votes.argmax(axis=1)
    return (said[np.arange(len(said)), first] == task.test.right).astype(np.float64)


def show_answers(pool: str, splits: Sequence[Mapping[str, np.ndarray]]) -> None:
    """The table of a pool."""
    names = [name for name in splits[0] if not name.startswith("sure of ")]
    print(f"\n| {pool} | accuracy | over {' | over '.join(SIMPLE)} | ECE |\n|{'---|' * (3 + len(SIMPLE))}")
    for name in names:
        values = [split[name] for split in splits]
        gaps = [] if name in ("oracle", *SIMPLE) else [difference(values, [s[o] for s in splits]) for o in SIMPLE]
        cells = [f"{g.mean:+.3f} ({g.low:+.3f} to {g.high:+.3f}){' tie' * (verdict_of(g) == 'tie')}" for g in gaps]
        sure = f"sure of {name}"
        error = f"{calibration(splits, name, sure):.3f}" if sure in splits[0] else ""
        row = cells or [""] * len(SIMPLE)
        print(f"| {name} | {np.mean([v.mean() for v in values]):.4f} | {' | '.join(row)} | {error} |", flush=True)


def calibration(splits: Sequence[Mapping[str, np.ndarray]], name: str, sure: str, bins: int = 15) -> float:
    """ECE of how sure a way was, over all splits together, bins of equal size."""
    right, chance = (np.concatenate([split[key] for split in splits]) for key in (name, sure))
    parts = np.array_split(np.argsort(chance), bins)
    return float(sum(len(p) * abs(right[p].mean() - chance[p].mean()) for p in parts) / len(right))


# Prices ---------------------------------------------------------------------------------------------------------


def prices_of(table: Table, seed: int) -> Found:
    """Right answers and USD of each way at each price, five strongest."""
    return kept(f"prices {seed}", lambda: priced(table, problem(table, "five strongest", seed)))


def priced(table: Table, task: Problem) -> Found:
    """The same, computed."""
    usd = table.usd("five strongest")
    paid, paid_test = usd[task.rows[0]], usd[task.rows[1]]
    mean, best = paid.mean(axis=0), int(np.argmax(prior(task.train)))
    fitted = WeighedAnswers(families=task.families)
    learned = fitted.fit(task.train, task.validation)
    test, gold = fitted.read(task.test), task.test.right
    right = np.concatenate([task.train.right, task.validation.right])
    some = np.random.default_rng(0).permutation(len(right))[:TUNING]
    known, paid = right[some], paid[some]
    plain = Aggregator(families=task.families).fit(unworded(learned), right)
    models = ((STEPS, plain, unworded), (f"{STEPS} + options", fitted.aggregator_, lambda answers: answers))
    found: Found = {}

    def add(way: str, rate: float, correct: np.ndarray, asked: np.ndarray, sure: np.ndarray | None = None) -> None:
        found[f"{way} @{rate}"], found[f"usd of {way} @{rate}"] = correct, (paid_test * asked).sum(axis=1)
        if sure is not None:
            found[f"sure of {way} @{rate}"] = sure

    def utility(correct: np.ndarray, asked: np.ndarray, price: float) -> float:
        return float(correct.mean() - price * (paid * asked).sum(axis=1).mean())

    for name, model, view in models:
        tuning, tested = view(learned.rows(some)), view(test)
        for rate in RATES:
            price = rate / float(mean[best])
            tried = []
            for patience in PATIENCE:
                asking = Asking(aggregator=model, prices=price * mean, patience=patience)
                asked = asking.run(tuning)
                correct = model.posterior(tuning, asked).argmax(axis=1) == known
                tried.append((utility(correct, asked, price), asking, asked))
            _, asking, before = max(tried, key=lambda one: one[0])
            asked = asking.run(tested)
            correct, sure = decided(model, tested, gold, asked, (tuning, known, before))
            add(name, rate, correct, asked, sure)
    chances, rows = 1 / (1 + np.exp(-test.skills)), np.arange(len(gold))
    for way, outcomes in simple_policies(plain, unworded(learned.rows(some)), known, unworded(test), gold).items():
        for rate in RATES:
            price = rate / float(mean[best])
            _, (correct, asked) = max(outcomes, key=lambda one: utility(one[0][0], one[0][1], price))
            add(way, rate, correct, asked)
    for rate in RATES:
        at = choose((chances - rate / float(mean[best]) * mean).astype(np.float32), None)
        add("text router", rate, task.test.scores[rows, at], np.eye(len(mean))[at])
        add(SINGLE, rate, task.test.scores[:, best], np.tile(np.eye(len(mean))[best], (len(gold), 1)))
    return found


def simple_policies(model: Aggregator, tuning: Answers, known: np.ndarray, test: Answers, gold: np.ndarray):
    """Policies by kind: what each decides and asks on the tuning questions, and on the test questions."""

    def weighed(asks: Callable[[Answers], np.ndarray]) -> tuple:
        asked, asked_test = asks(tuning), asks(test)
        return (
            (model.posterior(tuning, asked).argmax(axis=1) == known, asked),
            (model.posterior(test, asked_test).argmax(axis=1) == gold, asked_test),
        )

    count = tuning.choices.shape[1]
    sets = [s for k in range(1, count + 1) for s in itertools.combinations(range(count), k)]
    orders = list(itertools.permutations(range(count), 3))
    return {
        "fixed set, aggregator": [weighed(partial(only, models=s)) for s in sets],
        "fixed order, threshold": [weighed(partial(in_order, model, order=o, stop=x)) for o in orders for x in STOPS],
        "agreement cascade": [(cascade(tuning, known, o), cascade(test, gold, o)) for o in orders],
    }


def only(answers: Answers, models: Sequence[int]) -> np.ndarray:
    asked = np.zeros(answers.choices.shape, dtype=bool)
    asked[:, list(models)] = True
    return asked


def in_order(model: Aggregator, answers: Answers, order: Sequence[int], stop: float) -> np.ndarray:
    """Ask in this order until the best option is as probable as this."""
    asked = np.zeros(answers.choices.shape, dtype=bool)
    active = np.arange(len(answers))
    for j in order:
        asked[active, j] = True
        active = active[model.posterior(answers.rows(active), asked[active]).max(axis=1) < stop]
    return asked


def cascade(answers: Answers, right: np.ndarray, order: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Ask two; where they agree that is it, else ask the third, whose answer counts: what is right, who was asked."""
    a, b, c = (answers.choices[:, j] for j in order)
    agree = (a == b) & (a >= 0)
    asked = only(answers, order)
    asked[agree, order[2]] = False
    return np.where(agree, a, c) == right, asked


def show_prices(splits: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Accuracy, cost and utility of each way at each price."""
    ways = dict.fromkeys(k.split(" @")[0] for k in splits[0] if not k.startswith(("usd of ", "sure of ")))
    for rate in RATES:
        prices = [rate / s[f"usd of {SINGLE} @{rate}"].mean() for s in splits]
        values = {
            way: [s[f"{way} @{rate}"] - p * s[f"usd of {way} @{rate}"] for s, p in zip(splits, prices, strict=True)]
            for way in ways
        }
        print(f"\n| a call of the best single LLM costs {rate} | accuracy | USD / 1000 | utility | over best single | "
              "over text router | ECE |\n|---|---|---|---|---|---|---|")  # fmt: skip
        for way in ways:
            gaps = [difference(values[way], values[other]) for other in (SINGLE, "text router")]
            cells = [f"{g.mean:+.4f} ({g.low:+.4f} to {g.high:+.4f}) {verdict_of(g)}" for g in gaps]
            key, sure = f"{way} @{rate}", f"sure of {way} @{rate}"
            error = f"{calibration(splits, key, sure):.3f}" if sure in splits[0] else ""
            accuracy, cost = (np.mean([s[k].mean() for s in splits]) for k in (key, f"usd of {key}"))
            utility = np.mean([v.mean() for v in values[way]])
            print(
                f"| {way} | {accuracy:.4f} | {1e3 * cost:.3f} | {utility:.4f} | {' | '.join(cells)} | {error} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
