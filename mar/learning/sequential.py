# pyright: basic
"""Learning a mind from calls: training questions are put to the pool, every message is graded, and the beliefs are
those under which all that was said is most likely.

One episode of a training question asks several models at once, mostly as they are and now and then with a strategy, and
then some more that read a few of the answers. So a question gives not one reward but as many observations as it has
calls. Fitting takes seconds and no call.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic

import numpy as np
import torch

from mar.clock import real_work
from mar.concurrency import gather
from mar.controllers.baselines import team_of
from mar.controllers.belief.beliefs import Beliefs, Form
from mar.controllers.belief.likelihood import Evidence, Posterior, hypotheses
from mar.controllers.belief.topics import Topics
from mar.controllers.embeddings import Encoder
from mar.controllers.sequential.calls import RIGHT, Asked, Numbered, evidence_of, in_episode
from mar.controllers.sequential.habits import Habits, Heard
from mar.controllers.sequential.mind import SCALE, Mind
from mar.controllers.sequential.policy import CHARS_PER_TOKEN
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Rollouts
from mar.numerics import minimise, one_thread
from mar.pool.cards import ModelCard
from mar.runtime import RunIdentity
from mar.tasks.task import ItemT
from mar.types import AgentSpec, Domain, Episode, Move, Query, Settle, View

MOST_CALLS = 3000
READERS = 1  # calls of a question that read others' answers
MOST_READ = 3  # answers that such a call reads
STRATEGIES = (None, "Flash")
WITH_STRATEGY = 0.5  # share of calls that draw a strategy
FEWEST = 8  # questions of a kind from which it gets a mind of its own; other kinds borrow one
FEWEST_FOR_TOPICS = 100  # questions from which what texts tell is learned
TOPICS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """Puts a question to some models at once, and their answers to others."""

    moves: tuple[Move, ...]
    readers: tuple[Move, ...]
    seed: str
    asked: set[int] = field(default_factory=set[int])

    name = "inquiry"
    plan = None  # it carries none out

    async def next(self, view: View) -> Sequence[Move] | Settle:
        """Everybody, then the readers, then the end."""
        if view.under_way:
            return ()
        if not view.said and not view.over:
            return self.moves
        readable = [s.id for s in view.messages if view.answer(s) is not None]
        if len(view.said) == len(self.moves) and readable and self.readers and not view.over:
            rng = random.Random(self.seed)
            heard = [rng.sample(readable, min(len(readable), rng.randint(1, MOST_READ))) for _ in self.readers]
            return [
                replace(move, reads=tuple(sorted(ids, key=readable.index)))
                for move, ids in zip(self.readers, heard, strict=True)
            ]
        return Settle(how="chosen", messages=tuple(s.id for s in view.messages[-1:]))


def inquiry(
    domain: Domain, models: Sequence[str], strategies: Sequence[str | None], *, readers: int, check: bool, seed: str
) -> Inquiry:
    """An inquiry of these models; which strategies they use and who reads is drawn with the seed."""
    rng = random.Random(seed)

    def move(index: int, model: str, strategy: str | None, instruction: str) -> Move:
        return Move(
            agent=AgentSpec(role=team_of(domain)[0], model=model, strategy=strategy),
            domain=domain,
            index=index,
            instruction=instruction,
            check=check,
            logprobs=True,
        )

    drawn = [rng.choice(strategies) if rng.random() < WITH_STRATEGY else strategies[0] for _ in models]
    moves = [move(i, m, s, "alone") for i, (m, s) in enumerate(zip(models, drawn, strict=True))]
    further = [move(len(moves) + i, rng.choice(models), strategies[0], "build_on") for i in range(readers)]
    return Inquiry(moves=tuple(moves), readers=tuple(further), seed=seed)


@dataclass(slots=True, kw_only=True)
class Gathering(Generic[ItemT]):
    """Puts training questions to a pool."""

    rollouts: Rollouts[ItemT]
    cards: Sequence[ModelCard]
    progress: Progress
    seed: int = 0
    most_calls: int = MOST_CALLS
    readers: int = READERS
    strategies: tuple[str | None, ...] = STRATEGIES

    def affordable(self, items: Sequence[ItemT]) -> list[ItemT]:
        """As many of the items as the calls are enough for, in a drawn order."""
        order = list(items)
        random.Random(f"inquiry/{self.seed}").shuffle(order)
        return order[: max(1, self.most_calls // (len(self.cards) + self.readers))]

    async def gather(self, items: Sequence[ItemT]) -> list[Asked]:
        """Ask and grade. Stops early where the run's limit in USD is reached."""
        task = self.rollouts.task
        alone = self.rollouts.runtime.pool.reach != "anything"
        jobs: list[Job[ItemT]] = []
        for item in items:
            query = task.query(item)
            make: Callable[[], Inquiry] = partial(
                inquiry,
                query.domain or task.domain,
                [c.name for c in self.cards],
                self.strategies[:1] if alone else self.strategies,
                readers=0 if alone else self.readers,
                check=bool(query.shown_tests.tests),
                seed=f"{self.seed}/{query.id}",
            )
            jobs.append(Job(item=item, how=make, identity=RunIdentity(seed=self.seed, epoch="inquiry")))
        with self.progress.bar("asking training questions", total=len(jobs)) as bar:
            outcomes = await self.rollouts.run(jobs, on_done=bar.advance)
        pairs = [(job.item, o.episode) for job, o in zip(jobs, outcomes, strict=True)]
        return list(await gather([partial(self._graded, item, episode) for item, episode in pairs]))

    async def _graded(self, item: ItemT, episode: Episode) -> Asked:
        task, sandbox = self.rollouts.task, self.rollouts.sandbox
        query: Query = task.query(item)
        asked = Asked.of(query, in_episode(episode, query))
        grades: dict[str | None, float | None] = {}
        for answer in {call.answer for call in asked.calls}:
            score = await real_work(partial(task.score, item, answer, sandbox))
            grades[answer] = None if score.failure is not None and answer is not None else score.value
        asked = replace(asked, domain=query.domain or task.domain)
        return asked.graded([grades[call.answer] for call in asked.calls])


def learn_minds(
    asked: Sequence[Asked],
    cards: Sequence[ModelCard],
    domain: Domain,
    encoder: Encoder,
    *,
    strategies: Sequence[str | None] = STRATEGIES,
    use_cards: bool = True,
) -> list[Mind]:
    """A mind for every kind of question that was asked often enough, the most frequent kind first.

    Args:
        asked: Questions with their calls; calls that are not graded count only for what they agree with.
        cards: Of the pool's models.
        domain: Of questions that do not state one, and of the only mind where nothing was asked.
        encoder: Of texts; give a cached one.
        strategies: That models may be asked with; the first is their own way.
        use_cards: Whether what cards state is believed beforehand.
    """
    kinds: dict[tuple[Domain, Form], list[Asked]] = {}
    for question in asked:
        if question.calls:
            kinds.setdefault((question.domain or domain, question.form), []).append(question)
    ordered = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    learned = [
        learn_mind(of_kind, cards, of, encoder, strategies=strategies, use_cards=use_cards)
        for place, ((of, _), of_kind) in enumerate(ordered)
        if not place or len(of_kind) >= FEWEST
    ]
    return learned or [learn_mind([], cards, domain, encoder, strategies=strategies, use_cards=use_cards)]


def learn_mind(
    asked: Sequence[Asked],
    cards: Sequence[ModelCard],
    domain: Domain,
    encoder: Encoder,
    *,
    strategies: Sequence[str | None] = STRATEGIES,
    topics: int = TOPICS,
    use_cards: bool = True,
    iterations: int = 30,
) -> Mind:
    """The mind under which what was said is most likely.

    Args:
        asked: Questions of one kind with their calls; calls that are not graded count only for what they agree with.
        cards: Of the pool's models.
        domain: Of the questions.
        encoder: Of texts; give a cached one.
        strategies: That models were asked with; the first is their own way.
        topics: Coordinates of texts, where there are enough questions.
        use_cards: Whether what cards state is believed beforehand.
        iterations: Of L-BFGS.
    """
    form: Form = asked[0].form if asked else "open"
    mind = Mind.vague(cards, domain, form, strategies=strategies, embedding=encoder.width, use_cards=use_cards)
    if not asked:
        return mind
    mind = replace(mind, habits=learned_habits(asked, mind))
    with one_thread():
        vectors = torch.from_numpy(encoder.encode([a.text for a in asked]))
        width = topics if len(asked) >= FEWEST_FOR_TOPICS else 0
        mind.beliefs.common, mind.beliefs.own = torch.zeros(width), torch.zeros(width, len(cards))
        mind = replace(mind, topics=Topics.of(vectors, width))
        _climb(mind, asked, vectors, iterations)
    return mind


def learned_habits(asked: Sequence[Asked], mind: Mind) -> Habits:
    """How models write, by all calls."""
    places = {name: i for i, name in enumerate(mind.beliefs.models)}
    ways = {name: i for i, name in enumerate(mind.beliefs.strategies)}
    heard = [
        Heard(
            model=places[call.model],
            strategy=ways.get(call.strategy, 0),
            query_tokens=len(question.text) / CHARS_PER_TOKEN,
            prompt_tokens=call.prompt_tokens,
            completion_tokens=call.completion_tokens,
            seconds=call.latency_s,
            mean_logprob=call.mean_logprob,
            right=None if call.quality is None else call.quality >= RIGHT,
            alone=not call.read,
        )
        for question in asked
        for call in question.calls
        if call.model in places
    ]
    return Habits.of(mind.beliefs.models, mind.beliefs.strategies, heard)


def _climb(mind: Mind, asked: Sequence[Asked], vectors: torch.Tensor, iterations: int) -> None:
    """Climb the posterior of the beliefs, in place, from where accuracies put the skills."""
    beliefs = mind.beliefs
    known = [all(call.quality is not None for call in a.calls) for a in asked]
    labelled = all(known)
    pairs = [evidence_of(a, replace(mind.habits, apart=0.0)) for a in asked]  # how sure they sound is counted once
    evidence = Evidence.of([said for said, _ in pairs], [a.options for a in asked], torch.zeros(0))
    gold = [n.gold for _, n in pairs] if labelled else None
    solved = _solved(asked, pairs, evidence) if labelled and beliefs.form == "programs" else None
    rows = hypotheses(beliefs, evidence, gold)
    if labelled:
        _begin(beliefs, asked)
    coordinates = mind.topics(vectors)

    def loss() -> torch.Tensor:
        seen = replace(evidence, skill=beliefs.offsets(coordinates))
        likelihood = Posterior.of(beliefs, seen, rows, gold=labelled, solved=solved).log_likelihood()
        return (beliefs.penalty() - likelihood.sum()) / len(asked)

    minimise(loss, list(beliefs.learned.values()), iterations=iterations)


def _solved(asked: Sequence[Asked], pairs: Sequence[tuple[list, Numbered]], evidence: Evidence) -> torch.Tensor:
    """Which programs are right, (Q, N)."""
    solved = torch.zeros(evidence.answer.shape)
    for i, (question, (said, _)) in enumerate(zip(asked, pairs, strict=True)):
        grades = [float((call.quality or 0.0) >= RIGHT) for call in question.calls]
        solved[i, : len(said)] = torch.tensor(grades[: len(said)])
    return solved


def _begin(beliefs: Beliefs, asked: Sequence[Asked]) -> None:
    """Skills at which the models' accuracies are what was seen: far from there the climb can end elsewhere."""
    right: Mapping[str, list[float]] = {name: [1.0, 2.0] for name in beliefs.models}  # one right, one wrong before
    for question in asked:
        for call in question.calls:
            if call.model in right and not call.read:
                right[call.model][0] += float((call.quality or 0.0) >= RIGHT)
                right[call.model][1] += 1.0
    shares = np.array([right[m][0] / right[m][1] for m in beliefs.models])
    beliefs.theta = torch.tensor([SCALE * math.log(s / (1 - s)) for s in shares], dtype=torch.float32)
    beliefs.overall = (beliefs.theta - beliefs.level).mean()
