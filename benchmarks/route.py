# pyright: basic
"""From questions to cheaper answers: what `mar route` promises on some rows, and what comes of it on others.

    uv run python benchmarks/route.py specialists    # two kinds of questions, two cheap specialists, one dear model
    uv run python benchmarks/route.py mmlu_pro       # five strongest of 28 real LLMs, recorded answers, list prices
    uv run python benchmarks/route.py routerbench    # eleven real LLMs on MBPP's prompts, recorded scores and costs

Five splits each. The promise is that of the sentence: cross-validated on the rows that are learned from, and chosen
there. The kept controller then answers rows that nobody has seen, and is compared with the same model. Intervals of
the latter resample splits and rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from _recorded_answers import CHARACTERS, LIST_PRICES, _characters, _numbers
from _routing import POOLS
from _shared import data_folder, machine

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import encoder_of
from mar.controllers.sequential.calls import Asked, Call
from mar.evaluation.recorded import read_recorded
from mar.evaluation.route.calls import Calls
from mar.evaluation.route.kinds import KINDS, kinds_for
from mar.evaluation.route.play import Played, play
from mar.evaluation.route.validation import validate
from mar.evaluation.route.verdict import Verdict, kept_way, verdict_of
from mar.evaluation.routereval.recorded import RECORDED
from mar.evaluation.statistics import paired_bootstrap
from mar.learning.progress import Progress
from mar.pool.cards import ModelCard
from mar.runtime import PromptLibrary
from mar.tasks.registry import load_task
from mar.tasks.scoring.formats import Choice
from mar.types import Query

SPLITS = range(5)
LETTERS = "ABCDEFGHIJ"
SPECIALISTS = (("sums", 0.1, (0.97, 0.3)), ("facts", 0.1, (0.1, 0.97)), ("dear", 2.5, (0.97, 0.97)))
"""Name, USD per million tokens, and how probably it is right on each kind of question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Rows that are learned from, and others."""

    known: Calls
    new: Calls
    cards: Sequence[ModelCard]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("specialists", "mmlu_pro", "routerbench"))
    parser.add_argument("--controllers", nargs="+", default=list(KINDS))
    parser.add_argument("--splits", nargs="+", type=int, default=list(SPLITS))
    chosen = parser.parse_args()
    print(machine())
    make = {"specialists": specialists, "mmlu_pro": mmlu_pro, "routerbench": routerbench}[chosen.part]
    print("\n| split | learned | kept | promised: cheaper by | accuracy | unseen rows: cheaper by | accuracy |")
    print("|---|---|---|---|---|---|---|")
    found = [shown(seed, make(seed), chosen.controllers) for seed in chosen.splits]
    ours, theirs = zip(*found, strict=True)
    least = min(len(played.quality) for played in ours)
    gain = paired_bootstrap([p.quality[:least] for p in ours], [p.quality[:least] for p in theirs])
    spent, whole = ([p.usd[:least] for p in of] for of in (ours, theirs))
    scale = float(np.mean(whole))
    saved = paired_bootstrap([w / scale for w in whole], [s / scale for s in spent])
    print(f"\nUnseen rows, all splits: {interval(saved)}% cheaper; accuracy {interval(gain)} points.")


def shown(seed: int, split: Split, controllers: Sequence[str]) -> tuple[Played, Played]:
    """A line of the table; what the kept controller and the reference did on unseen rows."""
    encoder = encoder_of(None)
    kinds = kinds_for(controllers, split.known, split.cards, encoder, "Commonsense")
    models = split.known.models
    space = PlanSpace(cards=tuple(split.cards), prompts=PromptLibrary.load(), alone=True, max_agents=len(models))
    validated = validate(split.known, kinds, space, Progress(quiet=True), seed=seed)
    verdict: Verdict = verdict_of(validated, None)
    kept = kept_way(validated.outcomes, verdict.reference)
    controller = next(k for k in kinds if k.name == kept.kind).fit(split.known)
    controller.cost_rate = kept.cost_rate
    ours = play(controller, split.new, space)
    at = models.index(verdict.reference.model)
    quality, usd = split.new.quality[:, at], split.new.usd[:, at]
    same = verdict.same
    print(
        f"| {seed} | {len(split.known)} rows, {split.known.usd.sum():.2f} USD | {kept.name} "
        f"| {interval(same.saving)}%{'' if verdict.worth else ', said to be no better'} | {interval(same.gain)} "
        f"| {100 * (1 - ours.usd.mean() / usd.mean()):.0f}% of {verdict.reference.model} "
        f"| {100 * (ours.quality.mean() - quality.mean()):+.1f} of {100 * quality.mean():.1f} |",
        flush=True,
    )
    return ours, Played(quality=quality, usd=usd, calls=np.ones(len(usd)))


def interval(found) -> str:
    """A share in percent with its interval."""
    return f"{100 * found.mean:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def specialists(seed: int) -> Split:
    """GSM8K's and MMLU-Pro's questions, 100 learned from and 400 new; who knows what is drawn, tokens are made up."""
    rng = np.random.default_rng(seed)
    cards = [ModelCard(name=name, price_in=usd, price_out=usd) for name, usd, _ in SPECIALISTS]
    rows: list[tuple[Query, Asked]] = []
    for kind, name in enumerate(("gsm8k", "mmlu_pro")):
        task = load_task(name, data=data_folder())
        items = task.items("test")
        for i in rng.choice(len(items), 250, replace=False):
            query = task.query(items[int(i)])
            calls = [drawn(rng, model, able[kind], query) for model, _, able in SPECIALISTS]
            rows.append((query, Asked.of(query, calls)))
    rng.shuffle(rows)
    whole = Calls.of([q for q, _ in rows], [a for _, a in rows], cards)
    return Split(known=whole.rows(np.arange(100)), new=whole.rows(np.arange(100, len(whole))), cards=cards)


def drawn(rng: np.random.Generator, model: str, able: float, query: Query) -> Call:
    """A made-up call: about 200 tokens, right with a probability."""
    right = bool(rng.random() < able)
    return Call(
        message_id=model,
        model=model,
        strategy=None,
        answer="1" if right else str(rng.integers(2, 9)),
        quality=float(right),
        prompt_tokens=200 + len(query.text) // CHARACTERS,
        completion_tokens=int(rng.integers(100, 400)),
    )


def mmlu_pro(seed: int) -> Split:
    """Recorded letters: 500 questions learned from, 1,000 new."""
    found, data = read_recorded(data_folder()), data_folder()
    models = found.responses.models
    first, last = POOLS["five strongest"]
    names = models[first - 1 : last]
    table = RECORDED["mmlu_pro_query"](data)
    where = {name: i for i, name in enumerate(table.ids)}
    rows = np.random.default_rng(seed).permutation(len(found.gold))[:1500]
    ids = _numbers(found.responses)
    characters = _characters(data, models, [ids[i] for i in rows])
    cards = [ModelCard(name=n, price_in=LIST_PRICES[n][0], price_out=LIST_PRICES[n][1]) for n in names]
    queries, asked = [], []
    for at, i in enumerate(rows):
        text = table.prompts[where[found.responses.questions[i]]]
        options = int(found.responses.options[i])
        query = Query(text=text, id=str(i), answer_format=Choice(options=tuple(LETTERS[:options])))
        calls = []
        for m, name in enumerate(names, first - 1):
            choice = int(found.responses.choices[i, m])
            calls.append(
                Call(
                    message_id=name,
                    model=name,
                    strategy=None,
                    answer=LETTERS[choice] if choice >= 0 else None,
                    quality=float(choice == found.gold[i]),
                    prompt_tokens=len(text) // CHARACTERS,
                    completion_tokens=int(np.nan_to_num(characters[at, m])) // CHARACTERS,
                )
            )
        queries.append(query)
        asked.append(Asked.of(query, calls))
    whole = Calls.of(queries, asked, cards)
    return Split(known=whole.rows(np.arange(500)), new=whole.rows(np.arange(500, len(whole))), cards=cards)


def routerbench(seed: int) -> Split:
    """427 prompts, 300 learned from."""
    table = RECORDED["routerbench_mbpp"](data_folder())
    whole = Calls.of_scores(table, "Code")
    order = np.random.default_rng(seed).permutation(len(whole))
    cards = [ModelCard(name=name) for name in table.models]
    return Split(known=whole.rows(order[:300]), new=whole.rows(order[300:]), cards=cards)


if __name__ == "__main__":
    main()
