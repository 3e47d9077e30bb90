"""`mar probe`: a few telling questions to a model that nobody tried, and what it is worth on all of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from rich.table import Table

from mar.clock import run as run_async
from mar.controllers.belief.probing import Bank, Estimate, Skill
from mar.controllers.cards import CHARS_PER_TOKEN, OVERHEAD, SECONDS, WRITTEN, level_by_card
from mar.controllers.embeddings import Encoder
from mar.controllers.sequential.checkpoint import load_sequential, save_sequential
from mar.controllers.sequential.controller import Sequential
from mar.controllers.sequential.probed import joined
from mar.errors import ConfigError
from mar.evaluation.route.kinds import ALONE
from mar.evaluation.routereval.files import load
from mar.evaluation.routereval.table import OutcomeTable
from mar.evaluation.session import Session
from mar.files import write_atomically
from mar.learning.progress import Progress
from mar.learning.sequential import Gathering
from mar.pool.cards import ModelCard
from mar.pool.choose import configured_pool, empty_pool
from mar.pool.pool import Pool
from mar.tasks.custom import CustomTask
from mar.tasks.grading.texts import Nobody
from mar.tasks.registry import load_task
from mar.tasks.splits import SPLITS
from mar.tasks.task import Task
from mar.terminal import Terminal

BATCH = 8  # questions that are asked at once, before the next are chosen
FEWEST, OTHERS = 25, 2  # questions and other models in a table
HELD = "Intervals of 95% take the belief for true. On recorded answers 91 to 95% of them held after 10 to 80 questions."


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOptions:
    """What is asked of whom."""

    model: str
    table: str  # others' grades: as `mar route` keeps them, or another table of scores
    rows: str  # the questions: JSONL rows, a task's TOML file, or a benchmark's name
    pool: str
    out: Path
    router: Path | None = None  # a sequential controller that the model is to enter
    questions: int = 40
    max_cost: float | None = None  # USD
    request_timeout: float | None = None  # seconds
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What came out."""

    prior: Skill
    skill: Skill
    failed: int  # questions without an answer that could be graded


def run_probe(
    options: ProbeOptions, encoder: Encoder, progress: Progress, *, pool: Pool | None = None
) -> Probed | None:
    """Do what the options say; None where a forecast was all that was wanted.

    Raises:
        UserError: Something given cannot be used.
    """
    pool = configured_pool(options.pool, cache=True)
    known = pool or empty_pool(options.pool)
    card = known.card(options.model)
    if options.max_cost is not None and card.name in known.without_price():
        raise ConfigError(f"--max_cost cannot be kept: no price is known for {card.name}")
    if options.out.suffix != ".json":
        raise ConfigError(f"--out is {options.out}; expected a file that ends in .json")
    task, table = _task(options), _others(options)
    every = [item for split in SPLITS for item in task.items(split)]
    items = {name: item for item in every for name in (item.id, task.query(item).id)}
    ids = table.ids or tuple(str(i + 1) for i in range(len(table)))
    allowed = [i for i, name in enumerate(ids) if name in items]
    if len(allowed) < options.questions:
        raise ConfigError(
            f"{len(allowed)} of {len(ids)} questions of {options.table} are in {options.rows} (by id); expected "
            f"{options.questions} or more, as many as are to be asked"
        )
    controller = None if options.router is None else load_sequential(options.router, encoder)
    others = dict(zip(table.models, np.nanmean(table.scores, axis=0).tolist(), strict=True))
    if controller is not None:  # refused before anything is paid
        even = Estimate(mean=0.5, low=0.4, high=0.6)
        joined(list(controller.controller.minds.values()), card, task.domain, even, others)
    bank = Bank.of(table.scores.astype(np.float64), table.groups or ("all",) * len(table))
    bank, stated = _by_card(bank, card, known.cards, others)
    progress.say(f"before any answer: {stated}")
    progress.say(_forecast(card, [task.query(items[ids[i]]).text for i in allowed], options.questions))
    if options.dry_run:
        return None
    asking = _Asking(options, task, items, ids, allowed, bank, encoder, progress)
    probed = run_async(lambda: asking.probe(pool), virtual=pool is None or pool.virtual_time)
    _written(options, ids, probed)
    if controller is not None:
        whole, _ = probed.skill.accuracies()
        terms, header = controller.controller.terms, controller.header
        minds = joined(list(controller.controller.minds.values()), card, task.domain, whole, others)
        told = {**header.trained_on, f"probed {card.name}": f"{len(probed.skill.grades)} questions of {options.table}"}
        path = options.out.with_suffix(".safetensors")
        simulated = header.simulated or known.simulated
        save_sequential(path, Sequential(minds, encoder, terms), trained_on=told, simulated=simulated)
        progress.say(f"a controller that knows {card.name}: {path}")
    _shown(options, probed, others, simulated=known.simulated)
    return probed


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks batch after batch."""

    options: ProbeOptions
    task: Task[Any]
    items: Mapping[str, Any]
    ids: Sequence[str]
    allowed: Sequence[int]
    bank: Bank
    encoder: Encoder
    progress: Progress

    async def probe(self, pool: Pool | None) -> Probed:
        """Until so many were answered, the limit is reached, or a whole batch failed."""
        o = self.options
        session = Session(
            task=self.task,
            items=[self.items[self.ids[i]] for i in self.allowed],
            pool=pool or o.pool,
            progress=self.progress,
            encoder=self.encoder,
            max_cost=o.max_cost,
            spending=o.out.with_suffix(".spending.jsonl"),
            request_timeout_s=o.request_timeout,
            concurrency=BATCH,
        )
        prior = skill = Skill.after(self.bank, {})
        left = np.array(self.allowed, dtype=np.int64)
        failed = 0
        async with session.open() as rollouts:
            card = rollouts.runtime.pool.card(o.model)
            gathering = Gathering(rollouts=rollouts, cards=(card,), progress=self.progress, readers=0, strategies=ALONE)
            while len(skill.grades) + failed < o.questions and rollouts.limit_reached is None:
                batch = skill.worth_asking(min(BATCH, o.questions - len(skill.grades) - failed), left)
                asked = await gathering.gather([self.items[self.ids[i]] for i in batch])
                graded = {i: a.calls[0].quality for i, a in zip(batch, asked, strict=False) if a.calls}
                new = {i: grade for i, grade in graded.items() if grade is not None}
                if not new:
                    break
                failed += len(batch) - len(new)
                left = left[~np.isin(left, batch)]
                skill = Skill.after(self.bank, {**skill.grades, **new})
            if not skill.grades:
                why = rollouts.limit_reached or "mar pool shows whether it answers"
                raise ConfigError(f"{o.model} answered none of the first {BATCH} questions: {why}")
            if rollouts.limit_reached is not None:
                self.progress.say(f"stopped after {len(skill.grades)} questions: {rollouts.limit_reached}")
        return Probed(prior=prior, skill=skill, failed=failed)


def _task(options: ProbeOptions) -> Task[Any]:
    path = Path(options.rows)
    if path.suffix == ".toml":
        task = CustomTask.load(path, pool=options.pool)
    elif path.is_file():
        task = CustomTask.of_rows(path)
    else:
        return load_task(options.rows)
    if isinstance(task.grader, Nobody):
        raise ConfigError(f"{options.rows} holds no answers; expected rows that can be graded")
    return task


def _others(options: ProbeOptions) -> OutcomeTable:
    """Others' grades, without the model's own."""
    found = load(options.table)
    table = next(iter(found), None)
    if len(found) != 1 or not isinstance(table, OutcomeTable):
        raise ConfigError(f"{options.table} holds {len(found)} problems; expected one table of scores")
    table = table.columns([name for name in table.models if name != options.model])
    if len(table) < FEWEST or len(table.models) < OTHERS:
        raise ConfigError(
            f"{options.table} has {len(table)} questions and {len(table.models)} models beside {options.model}; "
            f"expected {FEWEST} and {OTHERS} or more"
        )
    return table


def _by_card(
    bank: Bank, card: ModelCard, cards: Mapping[str, ModelCard], others: Mapping[str, float]
) -> tuple[Bank, str]:
    """The prior that the model's card makes, beside those of others in the table; and what it is, in words."""
    level = level_by_card(card, None)
    known = [
        (_logit(accuracy), of)
        for name, accuracy in others.items()
        if name in cards and (of := level_by_card(cards[name], None)) is not None
    ]
    if level is None or not known:
        who = "its card states no score" if level is None else "no card of the others states a score"
        return bank, f"as the {len(others)} others, since {who}"
    logit = level + fmean(accuracy - of for accuracy, of in known)
    accuracy = 1 / (1 + float(np.exp(-logit)))
    return bank.stated(min(max(accuracy, 0.02), 0.98)), f"{100 * accuracy:.0f}% by its card, beside {len(known)} others"


def _forecast(card: ModelCard, texts: Sequence[str], questions: int) -> str:
    tokens = OVERHEAD + fmean(map(len, texts)) / CHARS_PER_TOKEN
    written = min(WRITTEN, card.max_output_tokens)
    usd = card.cost_usd(prompt_tokens=round(tokens), completion_tokens=written, seconds=SECONDS)
    cost = "a cost that is not known" if usd is None else f"about {questions * usd:.2g} USD"
    return f"{questions} questions to {card.name}: {cost} by its card, at usual lengths"


def _written(options: ProbeOptions, ids: Sequence[str], probed: Probed) -> None:
    whole, topics = probed.skill.accuracies()
    before, _ = probed.prior.accuracies()
    write_atomically(
        options.out,
        json.dumps(
            {
                "model": options.model,
                "table": options.table,
                "failed": probed.failed,
                "prior": asdict(before),
                "accuracy": asdict(whole),
                "topics": {name: asdict(e) for name, e in topics.items()},
                "asked": {ids[i]: grade for i, grade in probed.skill.grades.items()},
            },
            indent=2,
        ),
    )


def _shown(options: ProbeOptions, probed: Probed, others: Mapping[str, float], *, simulated: bool) -> None:
    """The table, and the sentence."""
    (before, priors), (after, posteriors) = probed.prior.accuracies(), probed.skill.accuracies()
    bank, label = probed.skill.bank, " (simulated pool)" if simulated else ""
    console = Terminal(width=None if sys.stdout.isatty() else 160)
    shown = Table(title=f"{options.model} on {len(bank):,} questions of {options.table}{label}", caption=HELD)
    for column in ("topic", "questions", "asked", "right of these", "before", "accuracy", "95% interval"):
        shown.add_column(column, justify="left" if column == "topic" else "right")
    asked = {name: list[float]() for name in bank.topics}
    for question, grade in probed.skill.grades.items():
        asked[bank.topics[bank.topic[question]]].append(grade)
    if len(bank.topics) > 1:
        counts = np.bincount(bank.topic)
        for name, count in zip(bank.topics, counts.tolist(), strict=True):
            shown.add_row(*_cells(name, count, asked[name], priors[name], posteriors[name]))
    every = list(probed.skill.grades.values())
    shown.add_row(*_cells("all", len(bank), every, before, after))
    console.print(shown)
    if probed.failed:
        console.print(f"{probed.failed} questions had no answer that could be graded, and are left out.")
    below = max(((a, n) for n, a in others.items() if a <= after.mean), default=None)
    above = min(((a, n) for n, a in others.items() if a > after.mean), default=None)
    places = [f"above {below[1]} ({below[0]:.1%})"] if below else []
    places += [f"below {above[1]} ({above[0]:.1%})"] if above else []
    console.print(
        f"{options.model}: {after.mean:.1%} of all questions right (95% interval {after.low:.1%} to {after.high:.1%}), "
        f"estimated from {len(every)} of {len(bank):,}; {', '.join(places)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _cells(name: str, count: int, grades: Sequence[float], before: Estimate, after: Estimate) -> tuple[str, ...]:
    right = f"{sum(grades):g}" if grades else ""
    interval = f"{after.low:.1%} to {after.high:.1%}"
    return (name, f"{count:,}", str(len(grades)), right, f"{before.mean:.1%}", f"{after.mean:.1%}", interval)


def _logit(p: float) -> float:
    p = min(max(p, 0.005), 0.995)
    return float(np.log(p / (1 - p)))
