# pyright: basic
"""One episode: what was heard is weighed, and the call that is worth most is made, while any is worth its price."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from anyio.lowlevel import checkpoint

from mar.controllers.base import Foreseen
from mar.controllers.baselines import team_of
from mar.controllers.belief.likelihood import Said as Heard
from mar.controllers.sequential.calls import Asked, Numbered, evidence_of, in_view
from mar.controllers.sequential.knowing import Floats
from mar.controllers.sequential.mind import Mind
from mar.controllers.sequential.planner import Case, Outlook, Planner
from mar.controllers.sequential.together import SELDOM, Prospect, World, worlds
from mar.pool.cards import ModelCard
from mar.types import AgentSpec, Belief, Move, Option, Query, Said, Settle, View, Why

MOST_CALLS = 8
CHARS_PER_TOKEN = 4
SHOWN = 4  # options that a reason names
LEAST = 1e-9  # utilities that differ by less are the same: their last bits are a matter of chance
LATE = 1.5  # a call that is expected to take so many times the time that is left is not made


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an answer may cost."""

    cost_rate: float  # utility per USD
    time_rate: float = 0.0  # utility per second
    most_calls: int = MOST_CALLS
    most_at_once: int = 4  # calls that are made together where that is worth more than waiting
    reading: bool = True  # whether models may read what others said
    again: bool = True  # whether a model may be asked a second time


@dataclass(frozen=True, slots=True)
class Candidate:
    """A call that could be made."""

    model: int
    strategy: int
    reads: bool
    right: float  # probability of being right after it
    usd: float
    seconds: float
    utility: float


class SequentialPolicy:
    """Plays one episode.

    Args:
        mind: What is believed about this kind of question.
        planner: Weighs what was said by this mind.
        skill: What the query's text tells about each model's skill, (M,).
        cards: Models that may be asked, by name.
        terms: What an answer may cost.
    """

    name = "sequential"
    plan = None  # what is done depends on what is heard

    def __init__(
        self,
        mind: Mind,
        planner: Planner,
        skill: Floats,
        cards: Mapping[str, ModelCard],
        terms: Terms,
    ) -> None:
        self.mind, self.planner, self.skill, self.cards, self.terms = mind, planner, skill, cards, terms

    async def next(self, view: View) -> Sequence[Move] | Settle:
        """Ask once more, or settle."""
        if view.under_way:
            return ()
        asked = Asked.of(view.query, in_view(view))
        said, numbered = evidence_of(asked, self.mind.habits)
        outlook = await self.planner.weigh(self.case(view.query, said))
        now = outlook.now
        heard = float(sum(call.completion_tokens or 0 for call in asked.calls))
        ends = view.over or len(view.said) >= self.terms.most_calls
        best = [] if ends else self.candidates(view, outlook, heard)
        if best and (not view.messages or best[0].utility > now + LEAST):
            chosen = await self._at_once(view, said, best[0])
            why = self._why(asked, numbered, outlook, now, best, because="worth its price", at_once=chosen)
            return [self._move(view, c, i, why if i == 0 else None) for i, c in enumerate(chosen)]
        because = f"the budget of {view.over} is spent" if view.over else "nothing else is worth its price"
        why = self._why(asked, numbered, outlook, now, best, because=because, settles=True)
        return Settle(how="chosen", messages=self._chosen(view, asked, numbered, outlook), why=why)

    def case(self, query: Query, said: Sequence[Heard]) -> Case:
        """The query as it stands after some calls."""
        return Case(
            said=tuple(said),
            skill=self.skill,
            options=query.answer_format.choices or 0,
            reading=self.terms.reading,
            tested=bool(query.shown_tests.tests),
        )

    def foresee(self, query: Query) -> Foreseen:
        """The first steps of an episode, nothing being run."""
        from mar.controllers.sequential.foresight import foresee  # it builds on this module

        return foresee(self, query)

    # What could be done ---------------------------------------------------------------------------------------

    def candidates(self, view: View, outlook: Outlook, heard: float) -> list[Candidate]:
        """Calls that may be made, the best first; `heard` counts the tokens that one who reads would read."""
        found = self._priced(view, outlook.alone, 0.0, reads=False)
        if outlook.reading is not None:
            found += self._priced(view, outlook.reading, heard, reads=True)
        return sorted(found, key=lambda c: -round(c.utility / LEAST))

    def _priced(self, view: View, right: Floats, heard: float, *, reads: bool, spent: float = 0.0) -> list[Candidate]:
        habits, terms = self.mind.habits, self.terms
        barred = _barred(view.said, again=terms.again)
        prompt = len(view.query.text) / CHARS_PER_TOKEN + habits.overhead + heard
        telemetry = view.telemetry
        left = None if view.deadline is None else view.deadline - view.now
        found: list[Candidate] = []
        for m, name in enumerate(habits.models):
            card = self.cards.get(name)
            if card is None or name in barred or prompt + card.max_output_tokens > card.context_tokens:
                continue
            load = telemetry.get(name)
            queue = 0.0 if load is None else (load.waiting or 0) / max(1, load.running or 1)
            for s, factor in enumerate(habits.factor):
                seconds = habits.seconds[m] * (factor + queue)
                written = min(habits.written[m] * factor, card.max_output_tokens)
                usd = card.cost_usd(prompt_tokens=round(prompt), completion_tokens=round(written), seconds=seconds)
                if (usd is None and terms.cost_rate) or not _fits(view, spent + (usd or 0.0), seconds, left):
                    continue
                utility = right[s, m] - terms.cost_rate * (usd or 0.0) - terms.time_rate * seconds
                found.append(Candidate(m, s, reads, float(right[s, m]), usd or 0.0, seconds, float(utility)))
        return found

    async def _at_once(self, view: View, said: Sequence[Heard], first: Candidate) -> list[Candidate]:
        """The first call, and others that are worth more now than after its answer (`together`)."""
        terms, chosen = self.terms, [first]
        if not terms.time_rate and view.deadline is None:
            return chosen
        left = None if view.deadline is None else view.deadline - view.now
        reached = [World(1.0, tuple(said), "")]
        while len(chosen) < min(terms.most_at_once, terms.most_calls - len(view.said)):
            readable = tuple(i for i, s in enumerate(said) if s.answer >= 0) if chosen[-1].reads else ()
            call = Heard(model=chosen[-1].model, answer=0, strategy=chosen[-1].strategy, read=readable)
            wider: list[World] = []
            for before in reached:
                await checkpoint()  # others have their turn
                found = worlds(self.planner, self.case(view.query, before.said), call)
                wider += [World(before.chance * after.chance, after.said, after.words) for after in found]
            reached = [world for world in wider if world.chance >= SELDOM]
            outlooks = [await self.planner.weigh(self.case(view.query, world.said)) for world in reached]
            spent, taken = sum(c.usd for c in chosen), max(c.seconds for c in chosen)
            further = self._priced(view, outlooks[0].alone, 0.0, reads=False, spent=spent)
            if not further:
                break
            places = ([c.strategy for c in further], [c.model for c in further])
            chance = np.array([world.chance for world in reached])
            prospect = Prospect(
                chance=chance / chance.sum(),
                now=np.array([o.now for o in outlooks]),
                right=np.array([o.alone[places] for o in outlooks]),
                price=np.array([terms.cost_rate * c.usd for c in further]),
                seconds=np.array([c.seconds for c in further]),
                in_time=[left is None or (taken + c.seconds) * LATE <= left for c in further],
            )
            worth = prospect.at_once(terms.time_rate, taken)
            if worth.max() <= prospect.later(terms.time_rate) + LEAST:
                break
            chosen.append(further[int(worth.argmax())])
        return chosen

    def _move(self, view: View, candidate: Candidate, place: int, why: Why | None) -> Move:
        habits, domain = self.mind.habits, self.mind.domain
        readable = tuple(s.id for s in view.messages if view.answer(s) is not None)
        return Move(
            agent=AgentSpec(
                role=team_of(domain)[0],
                model=habits.models[candidate.model],
                strategy=habits.strategies[candidate.strategy],
            ),
            domain=domain,
            index=len(view.said) + place,
            reads=readable if candidate.reads else (),
            instruction="build_on" if candidate.reads else "alone",
            check=self.mind.beliefs.form == "programs" and bool(view.query.shown_tests.tests),
            logprobs=habits.telling > 0,
            why=why,
        )

    # What is believed -----------------------------------------------------------------------------------------

    def _chosen(self, view: View, asked: Asked, numbered: Numbered, outlook: Outlook) -> tuple[str, ...]:
        """The message whose answer is most probably right; the last one where no answer could be read."""
        if asked.calls and outlook.now > 0:
            known = [i for i, call in enumerate(asked.calls) if call.model in self.mind.habits.models]
            best = int(outlook.right.argmax())
            if self.mind.beliefs.form == "programs":
                return (asked.calls[known[best]].message_id,)
            return (asked.calls[next(i for i in known if numbered.said[i] == best)].message_id,)
        return tuple(s.id for s in view.messages[-1:])

    def _why(
        self,
        asked: Asked,
        numbered: Numbered,
        outlook: Outlook,
        now: float,
        candidates: Sequence[Candidate],
        *,
        because: str,
        settles: bool = False,
        at_once: Sequence[Candidate] = (),
    ) -> Why:
        chances = outlook.right.tolist()
        pairs = sorted(zip(numbered.answers, chances, strict=False), key=lambda p: -p[1])
        beliefs = tuple(Belief(answer=answer, probability=chance) for answer, chance in pairs if asked.calls)
        stop = Option(action="settle", right=now, usd=0.0, seconds=0.0, utility=now)
        options = [self.option(c) for c in candidates[:SHOWN]]
        if len(at_once) > 1:
            action = " and ".join(
                [options[0].action, *(self.option(c).action.removeprefix("ask ") for c in at_once[1:])]
            )
            options[0] = replace(options[0], action=f"{action}, at once")
        if asked.calls or settles:
            options = [stop, *options] if settles else [*options[:1], stop, *options[1:]]
        return Why(because=because, beliefs=beliefs, options=tuple(options))

    def option(self, c: Candidate) -> Option:
        """A call in words."""
        habits = self.mind.habits
        how = f", {habits.strategies[c.strategy]}" if habits.strategies[c.strategy] else ""
        reads = " to read the others" if c.reads else ""
        action = f"ask {habits.models[c.model]}{reads}{how}"
        return Option(action=action, right=c.right, usd=c.usd, seconds=c.seconds, utility=c.utility)


def _barred(said: Sequence[Said], *, again: bool) -> Collection[str]:
    """Models that are not asked again: those that failed in this episode, or all that were asked."""
    return {s.move.agent.model for s in said if (s.text is None or not again) and s.move.agent.model is not None}


def _fits(view: View, usd: float, seconds: float, left: float | None) -> bool:
    """Whether what is expected of a call fits what may still be spent. The first call is made in any case."""
    if view.remaining.usd is not None and usd > view.remaining.usd:
        return False
    return left is None or not view.messages or seconds * LATE <= left
