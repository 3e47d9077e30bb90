"""What answers where nothing was learned: one good-value model by its card, and another one only on evidence.

A card states prices, perhaps scores of benchmarks, perhaps tags. The score says how good a model is, on the scale of
what well-known models reach on the same benchmark; the price what a call of the usual length costs. The model with the
highest expected quality less the price of money is asked, alone. Evidence that another one is needed is what can be
seen without knowing the answer: the call failed, nothing can be read, the reply was cut off, the shown tests fail.
Nobody is asked for a second opinion, and no role of a benchmark is given to a question of no known domain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from mar.controllers.base import Foreseen, Planned, PlanSpace
from mar.controllers.baselines import ASSISTANT, team_of
from mar.controllers.stated import stated_percents
from mar.pool.cards import ModelCard
from mar.types import AgentSpec, Domain, ModeSpec, Move, Option, Plan, Query, Said, Settle, View, Why

COST_RATE = 20.0  # utility per USD: a cent must buy 20 percentage points
MOST_CALLS = 3
SHOWN = 4  # options that a reason names
# Mean scores of the well-known models of docs/simulator.md, in percent: what is usual on a benchmark.
USUAL: Mapping[str, float] = {"MMLU": 81, "MMLU-Pro": 66, "GSM8K": 93, "MATH": 72, "HumanEval": 86, "MBPP": 70}
GOOD = 0.8  # quality of a model that reaches what is usual
UNKNOWN = 0.7  # quality of the cheapest model where no card states a score
PER_TENFOLD = 0.05  # quality that a price ten times as high hints at, there: about what holds among well-known models
TAGGED = 0.3  # logits of quality that a tag which names the question's domain is worth
CHARS_PER_TOKEN, OVERHEAD, WRITTEN, SECONDS = 4, 300, 300, 5.0  # of a call of the usual length
BY_CARD = "best value by card"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A model that may be asked."""

    card: ModelCard
    right: float  # probability of a right answer, by the card
    usd: float | None  # expected cost of a call; None: unknown
    utility: float


class Cards:
    """Chooses by the models' cards.

    Args:
        cost_rate: Utility per USD. It may be set: every price is served.
    """

    name = "cards"

    def __init__(self, *, cost_rate: float = COST_RATE) -> None:
        self.cost_rate = cost_rate

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """A policy for each query, or a plan where there is nothing to look at before the answer is the client's."""
        return [self.planned(query, space) for query in queries]

    def quick(self, query: Query) -> bool:
        """Always: cards are at hand."""
        return True

    def planned(self, query: Query, space: PlanSpace, *, because: str = "") -> Planned:
        """How one query is worked on; `because` says in place of whom the cards decide.

        What a server replies to a client's own request is the client's to judge, cut off or not. So one model is asked,
        and shown while it writes; another one is asked only where its server is ill, which is no decision of ours.
        """
        choices = self.choices(query, space.cards)
        if query.verbatim is None or query.shown_tests.tests:
            most = min(MOST_CALLS, space.max_agents)
            return Planned(policy=partial(CardsPolicy, choices, most=most, reading=not space.alone, because=because))
        first, *others = (choice.card.name for choice in choices)
        agents = (AgentSpec(role=ASSISTANT, model=first),)
        return Planned(
            plan=Plan(mode=ModeSpec(name=space.single_mode), domain=domain_of(query) or "Commonsense", agents=agents),
            alternatives=tuple(others),
            notes={"why": "; ".join(filter(None, (because, BY_CARD)))},
            why=Why(because="; ".join(filter(None, (because, BY_CARD))), options=_options(choices)),
        )

    def choices(self, query: Query, cards: Sequence[ModelCard]) -> tuple[Choice, ...]:
        """The models that have room for a query, the best value first; of equals the pool's first."""
        tokens = OVERHEAD + sum(map(len, _texts(query))) / CHARS_PER_TOKEN
        costs = {card.name: _usual_cost(card, tokens) for card in cards}
        dearest = max((usd for usd in costs.values() if usd is not None), default=0.0)
        right = qualities(cards, domain_of(query), costs)
        found = [
            Choice(
                card=card,
                right=right[card.name],
                usd=(usd := costs[card.name]),
                utility=right[card.name] - self.cost_rate * (dearest if usd is None else usd),
            )
            for card in cards
        ]
        fitting = [c for c in found if tokens + min(WRITTEN, c.card.max_output_tokens) <= c.card.context_tokens]
        widest = max(c.card.context_tokens for c in found)
        return tuple(sorted(fitting or [c for c in found if c.card.context_tokens == widest], key=lambda c: -c.utility))


def qualities(cards: Sequence[ModelCard], domain: Domain | None, costs: Mapping[str, float | None]) -> dict[str, float]:
    """The probability of a right answer of each model, by its card.

    One that states no score is taken to be like the weakest that does; where none states any, a higher price is the
    only hint there is.
    """
    levels = {card.name: level for card in cards if (level := level_by_card(card, domain)) is not None}
    if levels:
        base = dict.fromkeys(costs, min(levels.values())) | levels
    else:
        cheapest = min((usd for usd in costs.values() if usd), default=0.0)
        hints = {n: PER_TENFOLD * math.log10(usd / cheapest) if usd and cheapest else 0.0 for n, usd in costs.items()}
        base = {name: _logit(min(UNKNOWN + hint, 0.95)) for name, hint in hints.items()}
    tagged = {card.name: TAGGED * (domain is not None and domain.lower() in card.tags) for card in cards}
    return {card.name: 1 / (1 + math.exp(-base[card.name] - tagged[card.name])) for card in cards}


def domain_of(query: Query) -> Domain | None:
    """The domain of a query, where it is known: stated, or code because there are tests to pass."""
    return query.domain or ("Code" if query.shown_tests.tests else None)


def level_by_card(card: ModelCard, domain: Domain | None) -> float | None:
    """The logit of a card's quality by the scores that it states: of the domain where it has any, else of all."""
    stated = stated_percents(card, domain) or stated_percents(card, None)
    beyond = [_logit(percent / 100) - _logit(USUAL[name] / 100) for name, percent in stated.items()]
    return _logit(GOOD) + fmean(beyond) if beyond else None


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def _usual_cost(card: ModelCard, tokens: float) -> float | None:
    written = min(WRITTEN, card.max_output_tokens)
    return card.cost_usd(prompt_tokens=round(tokens), completion_tokens=written, seconds=SECONDS)


def _texts(query: Query) -> list[str]:
    return [query.text, *(text for turn in query.history for text in (turn.query, turn.answer))]


class CardsPolicy:
    """Plays one episode.

    Args:
        choices: The models that may be asked, the best value first.
        most: Calls.
        reading: Whether a model may read what another one said.
        because: Why this policy is at work in place of another; "": it was chosen.
    """

    name = "cards"
    plan = None  # whom it asks after the first depends on what is seen

    def __init__(self, choices: Sequence[Choice], *, most: int, reading: bool, because: str = "") -> None:
        self.choices, self.most, self.reading, self.because = choices, most, reading, because

    async def next(self, view: View) -> Sequence[Move] | Settle:
        """The first model; another one while there is evidence that it is needed."""
        if view.under_way:
            return ()
        trouble = self._trouble(view)
        left = [] if view.over or len(view.said) >= self.most else self._left(view)
        if trouble and left:
            return [self._move(view, left, trouble)]
        best = max(view.messages, key=lambda s: self._worth(view, s), default=None)
        because = f"the budget of {view.over} is spent" if view.over else trouble or "nothing speaks against it"
        how = "single" if len(view.said) == 1 else "chosen"
        return Settle(how=how, messages=() if best is None else (best.id,), why=Why(because=because))

    def foresee(self, query: Query) -> Foreseen:
        """What would be done, nothing being run."""
        if len(self.choices) == 1 or self.most == 1:
            return self._point(self.choices[0], "", None, ())
        first, second = self.choices[0], self.choices[1]
        tested = "it fails the shown tests" if query.shown_tests.tests else ""
        ifs = " or ".join(filter(None, (tested, "the call fails", "nothing can be read", "it is cut off")))
        settle = Foreseen(heard="it answers", chance=None, action="settle", right=first.right, usd=0.0)
        return self._point(first, "", None, (settle, self._point(second, ifs, None, ())))

    def _point(self, choice: Choice, heard: str, chance: float | None, then: tuple[Foreseen, ...]) -> Foreseen:
        action = f"ask {choice.card.name}"
        return Foreseen(heard=heard, chance=chance, action=action, right=0.0, usd=choice.usd, then=then)

    # What is seen ---------------------------------------------------------------------------------------------

    def _trouble(self, view: View) -> str:
        """Why the latest answer does not do, in words; "" where nothing speaks against it."""
        if not view.said:
            return "; ".join(filter(None, (self.because, BY_CARD)))
        said = view.said[-1]
        if said.text is None:
            return f"{_asked(said)} failed"
        if said.cut:
            return f"{_asked(said)} was cut off"
        if view.answer(said) is None:
            return f"nothing can be read from what {_asked(said)} says"
        return f"the shown tests fail on what {_asked(said)} wrote" if said.feedback == "failed" else ""

    def _left(self, view: View) -> list[Choice]:
        """Who could be asked next: nobody twice, nobody who cannot be paid, with more room where one was cut off."""
        asked = {_asked(s) for s in view.said}
        budget, cut = view.remaining.usd, view.said[-1] if view.said and view.said[-1].cut else None
        room = 0 if cut is None else max(c.card.max_output_tokens for c in self.choices if c.card.name == _asked(cut))
        return [
            c
            for c in self.choices
            if c.card.name not in asked
            and (not view.said or budget is None or (c.usd or 0.0) <= budget)
            and c.card.max_output_tokens > room
        ]

    def _worth(self, view: View, said: Said) -> tuple[bool, bool, float]:
        """How good a message looks: passed or untested, readable and whole, by whom."""
        right = next((c.right for c in self.choices if c.card.name == _asked(said)), 0.0)
        return said.feedback != "failed", view.answer(said) is not None and not said.cut, right

    def _move(self, view: View, left: Sequence[Choice], because: str) -> Move:
        domain, tested = domain_of(view.query), bool(view.query.shown_tests.tests)
        failing = [s.id for s in view.messages if s.feedback == "failed"] if self.reading else []
        return Move(
            agent=AgentSpec(role=ASSISTANT if domain is None else team_of(domain)[0], model=left[0].card.name),
            domain=domain or "Commonsense",
            index=len(view.said),
            reads=tuple(failing),
            instruction="build_on" if failing else "alone",
            check=tested,
            why=Why(because=because, options=_options(left)),
        )


def _options(choices: Sequence[Choice]) -> tuple[Option, ...]:
    """The best choices, as a reason names them."""
    return tuple(
        Option(action=f"ask {c.card.name}", right=c.right, usd=c.usd, utility=c.utility) for c in choices[:SHOWN]
    )


def _asked(said: Said) -> str:
    return said.model or said.move.agent.model or ""
