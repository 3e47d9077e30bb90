# pyright: basic
"""Episodes that are played in tensors: many plans in many worlds at once, one agent of all of them after the other.

An agent hears the right and wrong messages of those it reads, knows the answer or not, and answers as the belief says
(`mar.controllers.belief.beliefs`). With tests, a program that passes is handed on without a call, and a role that
revises does so where its draft has not passed. Then the decider, the vote or the last agent settles. What the belief
has no number for is taken from published figures: what a revision gains from a reported failure (Chen et al. 2023,
table 2: 4.6 to 8.0 points on MBPP) and loses without any report (Huang et al. 2023, table 3: 75.9 to 75.1 on GSM8K).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mar.controllers.belief import Form
from mar.controllers.masrouter import Choices
from mar.runtime.modes import get_mode
from mar.runtime.prompts import Role
from mar.types import Decision, ModeSpec

KEPT_LUCK = 0.9  # probability that who speaks again has the luck of the message before; assumed
AFTER_FAILURE = 0.5  # logits that a reported failure is worth to a revision
BLIND = -0.15  # logits of a revision without any report
SHOWN_PASSED = 0.95  # probability that who is shown a right program that passes repeats it; assumed
SILENT, RIGHT, POPULAR = -1, 0, 1  # answers; further numbers are further mistakes
LUCK, KEEP, COPY, PICK, SPEAK, TRAP, GUESS, PASS, LUCK_AGAIN, KEEP_AGAIN, PASS_AGAIN, DRAWS = range(12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graphs:
    """Modes: who reads whom, by mode, number of agents and agent."""

    rounds: Tensor  # (modes,)
    now: Tensor  # whose messages of this round are read, (modes, most + 1, most, most)
    before: Tensor  # whose messages of the round before, likewise
    revises: Tensor  # whether roles make their revise calls, (modes,)
    votes: Tensor  # whether the answer is the majority's, (modes,)

    @classmethod
    def of(cls, modes: Sequence[str], most: int, rounds: int | None) -> Graphs:
        """Of some modes, for up to `most` agents, with the number of rounds that plans ask for."""
        specs = [ModeSpec(name=name, rounds=rounds) for name in modes]
        found = [get_mode(spec) for spec in specs]
        now, before = (torch.zeros(len(modes), most + 1, most, most, dtype=torch.bool) for _ in range(2))
        for m, (mode, spec) in enumerate(zip(found, specs, strict=True)):
            for n in range(1, most + 1):
                graph = mode.graph(n, spec)[-1]
                for i in range(n):
                    now[m, n, i, list(graph.reads_now[i])] = True
                    before[m, n, i, list(graph.reads_before[i])] = True
        return cls(
            rounds=torch.tensor([mode.n_rounds(spec) for mode, spec in zip(found, specs, strict=True)]),
            now=now,
            before=before,
            revises=torch.tensor([mode.revises for mode in found]),
            votes=torch.tensor([mode.votes for mode in found]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """What roles do beside answering, (roles,)."""

    code: Tensor  # whether it writes programs
    tests: Tensor  # whether its program is put to the shown tests
    revises: Tensor  # whether it has a revise call
    sees_tests: Tensor  # whether it is shown how what it reads does in the tests

    @classmethod
    def of(cls, roles: Sequence[Role]) -> Cast:
        """Of a domain's roles."""
        return cls(
            code=torch.tensor([r.output == "code" for r in roles]),
            tests=torch.tensor([r.post == "run_tests" for r in roles]),
            revises=torch.tensor([r.revise for r in roles]),
            sees_tests=torch.tensor([r.aggregate == "run_tests" for r in roles]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds in all worlds of one kind of question. M models."""

    graphs: Graphs
    roles: Cast
    decider_sees_tests: bool
    decision: Decision
    most: int  # agents
    form: Form
    tested: bool  # whether shown tests are run
    gain: Tensor  # logits, of reading right messages
    harm: Tensor  # logits, of reading wrong ones
    copying: Tensor  # probability of repeating a mistake that was read
    silence: Tensor  # probability of saying nothing where the answer is not known, (M,)
    written: Tensor  # tokens of a message, (M,)
    overhead: float  # prompt tokens beside the question and what is read
    per_token: Tensor  # USD for each prompt token, (M,)
    per_call: Tensor  # USD for what a call writes, (M,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worlds:
    """Draws of what is unseen of some questions, W in all."""

    level: Tensor  # log-odds of knowing, of each model alone, (M, W)
    popular: Tensor  # probability of the popular mistake where the answer is not known, (W,)
    turned: Tensor  # whether the popular mistake is what counts as right, (W,)
    passing: Tensor  # probability that a wrong program passes, (W,)
    choices: Tensor  # answers that there are to choose from, (W,)
    luck: Tensor  # uniform draws, (rounds + 1, agents, DRAWS, W); those of the last round are the decider's


class Said(NamedTuple):
    """What one agent said, each of a shape that broadcasts to (Q, P, S)."""

    answer: Tensor
    knew: Tensor
    luck: Tensor
    passed: Tensor  # whether it is a program that passes the shown tests
    tokens: Tensor

    def where(self, so: Tensor, other: Said) -> Said:
        """This where it is so, else the other."""
        return Said(*(torch.where(so, a, b) for a, b in zip(self, other, strict=True)))


NOTHING = Said(  # before anybody has spoken
    torch.tensor(SILENT), torch.tensor(False), torch.tensor(0.0), torch.tensor(False), torch.tensor(0.0)
)


class Heard:
    """What an agent reads: messages of others, each where it is read, and its own of the round before.

    Args:
        messages: Of others, in their order, each with where it is read (Q, P, 1).
        own: What it said in the round before.
        reads_own: Where it reads that, (Q, P, 1).
    """

    def __init__(self, messages: Sequence[tuple[Tensor, Said]], own: Said, reads_own: Tensor) -> None:
        self.messages, self.own, self.reads_own = messages, own, reads_own
        self.any = _sum([read for read, _ in messages]) > 0
        self.wrong = [read & (said.answer > RIGHT) for read, said in messages]
        self.n_wrong = _sum(self.wrong)
        self.n_right = _sum([read & (said.answer == RIGHT) for read, said in messages])
        self.tokens = _sum([read * said.tokens for read, said in messages])

    def mistake(self, luck: Tensor) -> Tensor:
        """One of the wrong answers that are read, by a uniform draw; nothing where there is none."""
        nth, seen = (luck * self.n_wrong).floor() + 1, torch.zeros(())
        found = NOTHING.answer
        for so, (_, said) in zip(self.wrong, self.messages, strict=True):
            seen = seen + so
            found = torch.where(so & (seen == nth), said.answer, found)
        return found

    @property
    def passing(self) -> tuple[Tensor, Said]:
        """Whether a message that is read passes, and the last one that does."""
        there, last = torch.tensor(False), NOTHING
        for read, said in self.messages:
            so = read & said.passed
            there, last = there | so, said.where(so, last)
        return there, last


class Episodes:
    """Q * P * S episodes: S worlds for each of P plans on each of Q questions.

    What a plan says has shape (Q, P, 1), what a world says (Q, 1, S): nothing is copied for all episodes. Who is not
    there, and what nobody reads or does, is not computed, so plans that are much alike are best played together.

    Args:
        rules: What holds in all of them.
        worlds: Of the questions, (Q * S).
        choices: Plans, (Q * P).
        tokens: Of the questions' texts, (Q,).
        shape: Q, P, S.
    """

    def __init__(
        self, rules: Rules, worlds: Worlds, choices: Choices, tokens: Tensor, shape: tuple[int, int, int]
    ) -> None:
        q, p, s = shape
        self.rules = rules
        self.mode, self.count = choices.mode.view(q, p, 1), choices.count.view(q, p, 1)
        self.agents = range(int(self.count.max()))
        self.roles, self.llms = (x.T.reshape(-1, q, p, 1)[: len(self.agents)] for x in (choices.roles, choices.llms))
        self.level = worlds.level.view(-1, q, s)
        self.luck = worlds.luck.view(*worlds.luck.shape[:3], q, 1, s)
        self.popular, self.passing = worlds.popular.view(q, 1, s), worlds.passing.view(q, 1, s)
        self.turned, self.choices = worlds.turned.view(q, 1, s), worlds.choices.view(q, 1, s)
        self.prompt = tokens.view(q, 1, 1) + rules.overhead
        self.latest = [NOTHING for _ in self.agents]
        self.before = list(self.latest)  # as it stood when the round began
        self.cost = torch.zeros(shape)

    def play(self) -> tuple[Tensor, Tensor]:
        """Whether each answer counts as right, and what the episode costs, (Q, P, S)."""
        rounds = self.rules.graphs.rounds[self.mode]
        for number in range(int(rounds.max())):
            self.before = list(self.latest)
            for agent in self.agents:
                there = (agent < self.count) & (number < rounds)
                if bool(there.any()):
                    self._turn(agent, number, there)
        answer = self._settled()
        return torch.where(self.turned, answer == POPULAR, answer == RIGHT).expand_as(self.cost), self.cost

    # One agent ------------------------------------------------------------------------------------------------

    def _turn(self, agent: int, number: int, there: Tensor) -> None:
        rules, role, llm = self.rules, self.roles[agent], self.llms[agent]
        draw, heard = self.luck[number, agent], self._heard(agent, number)
        prompt = self.prompt + heard.tokens + heard.reads_own * heard.own.tokens
        writes = rules.roles.code[role] | (self.count == 1)  # alone it answers, whatever its role
        said = self._draft(agent, heard, draw, writes)
        cost = self._usd(llm, prompt)
        revises = rules.roles.revises[role] & rules.graphs.revises[self.mode] & there
        if bool(revises.any()):
            report = rules.roles.tests[role] & rules.tested
            again = revises & ~(report & said.passed)
            said = self._revised(agent, heard, draw, said, report, writes).where(again, said)
            cost = cost + again * self._usd(llm, prompt + rules.written[llm])
        if rules.tested and (heard.messages or number):
            passing, hands_on = self._passing(heard)
            hands_on = hands_on & rules.roles.code[role]
            said, cost = passing.where(hands_on, said), cost * ~hands_on
        self.latest[agent] = said.where(there, self.latest[agent])
        self.cost += there * cost

    def _heard(self, agent: int, number: int) -> Heard:
        graphs = self.rules.graphs
        before = graphs.before[self.mode, self.count, agent] & (number > 0)  # (Q, P, 1, agents)
        now = graphs.now[self.mode, self.count, agent]
        earlier = [(before[..., i], self.before[i]) for i in self.agents if i != agent]
        messages = [*earlier, *((now[..., i], self.latest[i]) for i in self.agents)]
        read = [(so, said) for so, said in messages if bool(so.any())]
        return Heard(read, own=self.before[agent], reads_own=before[..., agent])

    def _draft(self, agent: int, heard: Heard, draw: Tensor, writes: Tensor) -> Said:
        own = heard.own
        sees_tests = self.rules.roles.sees_tests[self.roles[agent]]
        knows = self._knows(agent, heard, sees_tests, torch.where(heard.reads_own & ~heard.any, BLIND, 0.0))
        kept = heard.reads_own & (draw[KEEP] < KEPT_LUCK)
        luck = torch.where(kept, own.luck, draw[LUCK])
        mistake = torch.where(kept & ~own.knew, own.answer, self._mistake(agent, heard, draw))
        knew = luck < knows
        answer = torch.where(knew, RIGHT, mistake)
        tokens = self.rules.written[self.llms[agent]]
        return Said(answer, knew, luck, self._passes(answer, draw[PASS], writes), tokens)

    def _revised(self, agent: int, heard: Heard, draw: Tensor, draft: Said, report: Tensor, writes: Tensor) -> Said:
        knows = self._knows(agent, heard, torch.tensor(False), torch.where(report, AFTER_FAILURE, BLIND))
        kept = draw[KEEP_AGAIN] < KEPT_LUCK
        luck = torch.where(kept, draft.luck, draw[LUCK_AGAIN])
        knew = luck < knows
        mistake = torch.where(draft.answer == RIGHT, self._mistake(agent, heard, draw), draft.answer)
        answer = torch.where(knew, RIGHT, torch.where(kept & ~draft.knew, draft.answer, mistake))
        return Said(answer, knew, luck, self._passes(answer, draw[PASS_AGAIN], writes), draft.tokens)

    def _passing(self, heard: Heard) -> tuple[Said, Tensor]:
        """The latest message among those read that passes, and whether there is one."""
        there, last = heard.passing
        own = heard.reads_own & heard.own.passed
        other = Said(last.answer, last.answer == RIGHT, heard.own.luck, there, last.tokens)
        return heard.own.where(own, other), there | own

    # The end --------------------------------------------------------------------------------------------------

    def _settled(self) -> Tensor:
        """The answer of every episode."""
        rules = self.rules
        there = [agent < self.count for agent in self.agents]
        answer = NOTHING.answer
        for so, said in zip(there, self.latest, strict=True):
            answer = torch.where(so, said.answer, answer)
        if rules.decision == "last":
            return answer
        votes = rules.graphs.votes[self.mode] | (rules.decision == "vote")
        if bool(votes.any()):
            answer = torch.where(votes, self._vote(there), answer)
        decides = ~votes & (self.count > 1)
        return torch.where(decides, self._decided(there, decides), answer) if bool(decides.any()) else answer

    def _decided(self, there: Sequence[Tensor], decides: Tensor) -> Tensor:
        """What the decider answers. It is the model that most agents run on."""
        rules, draw = self.rules, self.luck[-1, 0]
        agent = _most_frequent(list(self.llms), there)
        heard = Heard(list(zip(there, self.latest, strict=True)), own=NOTHING, reads_own=torch.tensor(False))
        knows = self._knows_on(agent, heard, torch.tensor(rules.decider_sees_tests), torch.zeros(()))
        self.cost += decides * self._usd(agent, self.prompt + heard.tokens)
        return torch.where(draw[LUCK] < knows, RIGHT, self._mistake_on(agent, rules.most, heard, draw))

    def _vote(self, there: Sequence[Tensor]) -> Tensor:
        answers = [said.answer for said in self.latest]
        return _most_frequent(answers, [so & (a != SILENT) for so, a in zip(there, answers, strict=True)])

    # One call -------------------------------------------------------------------------------------------------

    def _knows(self, agent: int, heard: Heard, sees_tests: Tensor, further: Tensor) -> Tensor:
        return self._knows_on(self.llms[agent], heard, sees_tests, further)

    def _knows_on(self, llm: Tensor, heard: Heard, sees_tests: Tensor, further: Tensor) -> Tensor:
        """Probability that a call of a model (Q, P, 1) knows the answer, (Q, P, S)."""
        rules = self.rules
        level = self.level[llm[..., 0], torch.arange(len(llm))[:, None]] + further
        if not heard.messages:
            return torch.sigmoid(level)
        worth = rules.gain * torch.log1p(heard.n_right) - rules.harm * torch.log1p(heard.n_wrong)
        knows = torch.sigmoid(level + worth)
        if not (rules.tested and bool(sees_tests.any())):
            return knows
        read = [(so, said.passed & (said.answer == RIGHT)) for so, said in heard.messages]
        last = torch.tensor(False)
        for so, right in read:
            last = torch.where(so, right, last)
        return torch.where(sees_tests & last, knows.clamp(min=SHOWN_PASSED), knows)

    def _mistake(self, agent: int, heard: Heard, draw: Tensor) -> Tensor:
        return self._mistake_on(self.llms[agent], agent, heard, draw)

    def _mistake_on(self, llm: Tensor, place: int, heard: Heard, draw: Tensor) -> Tensor:
        """What is answered by those who do not know: one of the mistakes read, or one of their own."""
        rules = self.rules
        if rules.form == "programs":  # every wrong program is another
            own = torch.tensor(POPULAR + 1 + place)
        else:
            first = RIGHT if rules.form == "options" else POPULAR  # without options no guess is right
            guess = (draw[GUESS] * (self.choices - first)).long() + first
            own = torch.where(draw[TRAP] < self.popular, POPULAR, guess)
            own = torch.where(draw[SPEAK] < rules.silence[llm], SILENT, own)
        if not heard.messages:
            return own
        copies = (draw[COPY] < rules.copying) & (heard.n_wrong > 0)
        return torch.where(copies, heard.mistake(draw[PICK]), own)

    def _passes(self, answer: Tensor, luck: Tensor, writes: Tensor) -> Tensor:
        if not self.rules.tested:
            return NOTHING.passed
        return ((answer == RIGHT) | (luck < self.passing)) & writes

    def _usd(self, llm: Tensor, prompt: Tensor) -> Tensor:
        return self.rules.per_token[llm] * prompt + self.rules.per_call[llm]


def _sum(parts: Sequence[Tensor]) -> Tensor:
    """The sum of some tensors that broadcast to each other; 0 of none."""
    total = torch.zeros(())
    for part in parts:
        total = total + part
    return total


def _most_frequent(values: Sequence[Tensor], there: Sequence[Tensor]) -> Tensor:
    """The most frequent of the values that are there, of several the first; the first of all where none is."""
    best, found = torch.zeros(()), values[0]
    for value, so in zip(values, there, strict=True):
        times = so * _sum([(value == other) & too for other, too in zip(values, there, strict=True)])
        found = torch.where(times > best, value, found)
        best = torch.maximum(times, best)
    return found
