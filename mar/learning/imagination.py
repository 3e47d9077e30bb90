# pyright: basic
"""What plans are worth to a belief about the models: worlds are drawn, and plans are played in them at no call.

The belief is an item-response model that was fitted to graded calls (`mar.controllers.belief`). For a question it draws
what nobody sees (how hard it is, how popular its popular mistake, what families and models have of their own, what its
tests are worth) about what the question's text tells, and plays plans in these worlds (`mar.learning.episodes`). All
plans on one question meet the same worlds and the same luck, so that they differ by what they do. A question's own
answers are not used, beyond what they told about all questions: a policy only ever sees its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mar.controllers.base import PlanSpace
from mar.controllers.belief.beliefs import BREADTH, SLIP
from mar.controllers.belief.likelihood import family_numbers
from mar.controllers.masrouter import CandidateNames, Choices, PlanOptions
from mar.controllers.sequential import Mind
from mar.controllers.sequential.policy import CHARS_PER_TOKEN
from mar.learning.episodes import DRAWS, Cast, Episodes, Graphs, Rules, Worlds
from mar.pool.cards import ModelCard
from mar.types import Domain, Query

UNIT = 1_000_000  # tokens by whose cost a price per token is found


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What is known of questions beforehand, (Q,)."""

    vectors: Tensor  # embeddings of their texts, (Q, E)
    tokens: Tensor  # of their texts
    choices: Tensor  # answers that there are to choose from

    @classmethod
    def of(cls, queries: Sequence[Query], vectors: Tensor) -> Questions:
        """Of some queries with their embeddings."""
        return cls(
            vectors=vectors,
            tokens=torch.tensor([len(q.text) / CHARS_PER_TOKEN for q in queries]),
            choices=torch.tensor([float(q.answer_format.choices or BREADTH) for q in queries]),
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, index: Tensor) -> Questions:
        """Some of them."""
        return Questions(vectors=self.vectors[index], tokens=self.tokens[index], choices=self.choices[index])


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What plans are expected to come to on each question, (Q, P)."""

    quality: Tensor
    cost: Tensor  # USD


class Imagination:
    """Plays plans on questions of one kind.

    Args:
        mind: What is believed of it.
        space: What plans are made of.
        names: What indices of choices stand for.
        options: How plans are finished.
        query: A question of the kind: how its answers are settled, and whether it shows tests.
        domain: Of the questions; the mind may be borrowed from another.
    """

    def __init__(
        self,
        mind: Mind,
        space: PlanSpace,
        names: CandidateNames,
        options: PlanOptions,
        query: Query,
        domain: Domain,
    ) -> None:
        self.mind = mind = mind.knowing(space.cards)
        b, habits, form = mind.beliefs, mind.habits, mind.beliefs.form
        at = [b.models.index(name) for name in names.llms]
        self.at = torch.tensor(at)
        cards = {card.name: card for card in space.cards}
        written = torch.tensor(habits.written[at], dtype=torch.float32)
        usd = [
            _usd(cards[name], tokens, seconds)
            for name, tokens, seconds in zip(names.llms, written.tolist(), habits.seconds[at].tolist(), strict=True)
        ]
        final = space.prompts.decider(query.answer_format.final_role)
        self.rules = Rules(
            graphs=Graphs.of(names.modes, space.max_agents, options.rounds),
            roles=Cast.of(space.roles(domain)),
            decider_sees_tests=final.aggregate == "run_tests",
            decision=options.decision,
            most=space.max_agents,
            form=form,
            tested=form == "programs" and bool(query.shown_tests.tests),
            gain=b.gain,
            harm=b.harm,
            copying=torch.sigmoid(b.copying),
            silence=torch.zeros(len(at)) if form == "programs" else torch.sigmoid(b.silence)[self.at],
            written=written,
            overhead=habits.overhead,
            per_token=torch.tensor([a for a, _ in usd]),
            per_call=torch.tensor([c for _, c in usd]),
        )

    def worlds(self, questions: Questions, draws: int, generator: torch.Generator) -> Worlds:
        """Worlds of questions, so many of each."""
        b, n = self.mind.beliefs, len(questions) * draws
        families = family_numbers(b)
        z = _spread(len(questions), draws, generator)
        v, of_family, own = (
            torch.randn(n, k, generator=generator) for k in (1, int(families.max()) + 1, len(b.models))
        )
        told = (b.theta + self.mind.skill(questions.vectors)).repeat_interleave(draws, 0)
        level = told - torch.exp(b.sigma) * z[:, None]
        level = level + torch.exp(b.tau) * of_family[:, families] + torch.exp(b.rho) * own
        wrong, loose = (torch.rand(n, generator=generator) < torch.sigmoid(share) for share in (b.mislabelled, b.loose))
        programs = b.form == "programs"
        if programs:  # nobody finds what the tests want
            level = torch.where(wrong[:, None], -torch.inf, level)
        rules = self.rules
        return Worlds(
            level=level[:, self.at].T.contiguous(),
            popular=torch.sigmoid(b.popular + b.by_difficulty * z + torch.exp(b.spread) * v[:, 0]),
            turned=wrong & (not programs),
            passing=torch.where(loose & ~wrong, torch.sigmoid(b.alike), torch.tensor(SLIP)),
            choices=questions.choices.repeat_interleave(draws),
            luck=torch.rand(n, int(rules.graphs.rounds.max()) + 1, rules.most, DRAWS, generator=generator)
            .movedim(0, -1)
            .contiguous(),
        )

    @torch.no_grad()
    def play(self, questions: Questions, worlds: Worlds, choices: Choices) -> Worth:
        """Play plans (Q * P), those of one question after each other, in the worlds of their questions."""
        q = len(questions)
        shape = (q, len(choices.mode) // q, worlds.level.shape[1] // q)
        right, cost = Episodes(self.rules, worlds, choices, questions.tokens, shape).play()
        return Worth(quality=right.float().mean(2), cost=cost.mean(2))


def _spread(questions: int, draws: int, generator: torch.Generator) -> Tensor:
    """Standard normal draws, spread evenly over each question's quantiles, (questions * draws,)."""
    share = (torch.arange(draws) + torch.rand(questions, draws, generator=generator)) / draws
    return torch.special.ndtri(share.clamp(1e-4, 1 - 1e-4)).flatten()


def _usd(card: ModelCard, written: float, seconds: float) -> tuple[float, float]:
    """USD per prompt token, and for what a call writes; an unknown price counts for nothing."""
    prompt, none = (
        card.cost_usd(prompt_tokens=n, completion_tokens=round(written), seconds=seconds) or 0.0 for n in (UNIT, 0)
    )
    return (prompt - none) / UNIT, none
