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
from dataclasses import dataclass, replace

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

    level: Tensor  # log-odds of knowing, of each model alone, (W, M)
    popular: Tensor  # probability of the popular mistake where the answer is not known, (W,)
    turned: Tensor  # whether the popular mistake is what counts as right, (W,)
    passing: Tensor  # probability that a wrong program passes, (W,)
    choices: Tensor  # answers that there are to choose from, (W,)
    luck: Tensor  # uniform draws, (W, rounds + 1, agents, DRAWS); those of the last round are the decider's


@dataclass(frozen=True, slots=True)
class Said:
    """Messages, of all agents (N, agents) or of one (N,)."""

    answer: Tensor
    knew: Tensor
    luck: Tensor
    passed: Tensor  # whether it is a program that passes the shown tests
    tokens: Tensor

    @classmethod
    def nothing(cls, n: int, agents: int) -> Said:
        """Before anybody has spoken."""
        none = torch.zeros(n, agents, dtype=torch.bool)
        return cls(torch.full((n, agents), SILENT), none, torch.zeros(n, agents), none.clone(), torch.zeros(n, agents))

    @property
    def columns(self) -> tuple[Tensor, ...]:
        """All of it."""
        return self.answer, self.knew, self.luck, self.passed, self.tokens

    def copy(self) -> Said:
        """As it stands now."""
        return Said(*(column.clone() for column in self.columns))

    def of(self, agent: int) -> Said:
        """One agent's."""
        return Said(*(column[:, agent] for column in self.columns))

    def where(self, so: Tensor, other: Said) -> Said:
        """These where it is so, else the others."""
        return Said(*(torch.where(so, a, b) for a, b in zip(self.columns, other.columns, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What an agent reads: messages of others of the round before and of this one, (N, 2 * agents), and its own."""

    read: Tensor  # which of them
    answer: Tensor
    passed: Tensor
    tokens: Tensor
    own: Said  # what it said in the round before, (N,)
    reads_own: Tensor  # (N,)

    @property
    def wrong(self) -> Tensor:
        """Which messages are wrong."""
        return self.read & (self.answer > RIGHT)

    def last(self, so: Tensor) -> Tensor:
        """Whether it is so of the last message that is read, (N,)."""
        return (self.read & so).gather(1, _last(self.read))[:, 0]


class Episodes:
    """N = Q * P * S episodes: S worlds for each of P plans on each of Q questions.

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
        plan = torch.arange(q * p).repeat_interleave(s)
        world = (torch.arange(q).repeat_interleave(p)[:, None] * s + torch.arange(s)).flatten()
        self.rules = rules
        self.mode, self.count = choices.mode[plan], choices.count[plan]
        self.roles, self.llms = choices.roles[plan], choices.llms[plan]
        self.level, self.luck = worlds.level[world], worlds.luck[world]
        self.popular, self.passing, self.turned = worlds.popular[world], worlds.passing[world], worlds.turned[world]
        self.choices = worlds.choices[world]
        self.prompt = tokens[plan // p] + rules.overhead
        self.latest = Said.nothing(len(plan), rules.most)
        self.before = self.latest  # as it stood when the round began
        self.cost = torch.zeros(len(plan))

    def play(self) -> tuple[Tensor, Tensor]:
        """Whether each answer counts as right, and what the episode costs, (N,)."""
        rounds = self.rules.graphs.rounds[self.mode]
        for number in range(int(rounds.max())):
            self.before = self.latest.copy()
            for agent in range(int(self.count.max())):
                self._turn(agent, number, (agent < self.count) & (number < rounds))
        answer = self._settled()
        return torch.where(self.turned, answer == POPULAR, answer == RIGHT), self.cost

    # One agent ------------------------------------------------------------------------------------------------

    def _turn(self, agent: int, number: int, there: Tensor) -> None:
        rules, role, llm = self.rules, self.roles[:, agent], self.llms[:, agent]
        draw, heard = self.luck[:, number, agent], self._heard(agent, number)
        prompt = self.prompt + (heard.read * heard.tokens).sum(1) + heard.reads_own * heard.own.tokens
        writes = rules.roles.code[role] | (self.count == 1)  # alone it answers, whatever its role
        said = self._draft(agent, heard, draw, writes)
        cost = self._usd(llm, prompt)
        report = rules.roles.tests[role] & rules.tested
        again = rules.roles.revises[role] & rules.graphs.revises[self.mode] & ~(report & said.passed)
        said = self._revised(agent, heard, draw, said, report, writes).where(again, said)
        cost = cost + again * self._usd(llm, prompt + rules.written[llm])
        if rules.tested:
            passing, hands_on = self._passing(heard)
            hands_on = hands_on & rules.roles.code[role]
            said, cost = passing.where(hands_on, said), cost * ~hands_on
        for column, new in zip(self.latest.columns, said.columns, strict=True):
            column[:, agent] = torch.where(there, new, column[:, agent])
        self.cost += there * cost

    def _heard(self, agent: int, number: int) -> Heard:
        graphs, b, c = self.rules.graphs, self.before, self.latest
        before = graphs.before[self.mode, self.count, agent] & (number > 0)
        reads_own = before[:, agent].clone()
        before[:, agent] = False
        return Heard(
            read=torch.cat([before, graphs.now[self.mode, self.count, agent]], 1),
            answer=torch.cat([b.answer, c.answer], 1),
            passed=torch.cat([b.passed, c.passed], 1),
            tokens=torch.cat([b.tokens, c.tokens], 1),
            own=b.of(agent),
            reads_own=reads_own,
        )

    def _draft(self, agent: int, heard: Heard, draw: Tensor, writes: Tensor) -> Said:
        llm, own = self.llms[:, agent], heard.own
        sees_tests = self.rules.roles.sees_tests[self.roles[:, agent]]
        knows = self._knows(llm, heard, sees_tests, torch.where(heard.reads_own & ~heard.read.any(1), BLIND, 0.0))
        kept = heard.reads_own & (draw[:, KEEP] < KEPT_LUCK)
        luck = torch.where(kept, own.luck, draw[:, LUCK])
        mistake = torch.where(kept & ~own.knew, own.answer, self._mistake(agent, heard, draw))
        knew = luck < knows
        answer = torch.where(knew, RIGHT, mistake)
        return Said(answer, knew, luck, self._passes(answer, draw[:, PASS], writes), self.rules.written[llm])

    def _revised(self, agent: int, heard: Heard, draw: Tensor, draft: Said, report: Tensor, writes: Tensor) -> Said:
        llm = self.llms[:, agent]
        knows = self._knows(llm, heard, torch.zeros_like(report), torch.where(report, AFTER_FAILURE, BLIND))
        kept = draw[:, KEEP_AGAIN] < KEPT_LUCK
        luck = torch.where(kept, draft.luck, draw[:, LUCK_AGAIN])
        knew = luck < knows
        mistake = torch.where(draft.answer == RIGHT, self._mistake(agent, heard, draw), draft.answer)
        answer = torch.where(knew, RIGHT, torch.where(kept & ~draft.knew, draft.answer, mistake))
        return Said(answer, knew, luck, self._passes(answer, draw[:, PASS_AGAIN], writes), draft.tokens)

    def _passing(self, heard: Heard) -> tuple[Said, Tensor]:
        """The latest message among those read that passes, and whether there is one."""
        passed = heard.read & heard.passed
        place = _last(passed)
        answer, tokens = heard.answer.gather(1, place)[:, 0], heard.tokens.gather(1, place)[:, 0]
        there, own = passed.any(1), heard.reads_own & heard.own.passed
        other = replace(heard.own, answer=answer, knew=answer == RIGHT, passed=there, tokens=tokens)
        return heard.own.where(own, other), there | own

    # The end --------------------------------------------------------------------------------------------------

    def _settled(self) -> Tensor:
        """The answer of every episode."""
        rules, latest = self.rules, self.latest
        last = latest.answer.gather(1, self.count[:, None] - 1)[:, 0]
        if rules.decision == "last":
            return last
        there = torch.arange(rules.most) < self.count[:, None]
        votes = rules.graphs.votes[self.mode] | (rules.decision == "vote")
        decides = ~votes & (self.count > 1)
        answer = torch.where(votes, self._vote(there), last)
        if not bool(decides.any()):
            return answer
        llm = _most_frequent(self.llms, there)
        heard = Heard(
            read=there,
            answer=latest.answer,
            passed=latest.passed,
            tokens=latest.tokens,
            own=latest.of(0),
            reads_own=torch.zeros_like(votes),
        )
        draw = self.luck[:, -1, 0]
        sees_tests = torch.full_like(votes, rules.decider_sees_tests)
        knew = draw[:, LUCK] < self._knows(llm, heard, sees_tests, torch.zeros(()))
        said = torch.where(knew, RIGHT, self._mistake_of(llm, rules.most, heard, draw))
        self.cost += decides * self._usd(llm, self.prompt + (there * latest.tokens).sum(1))
        return torch.where(decides, said, answer)

    def _vote(self, there: Tensor) -> Tensor:
        answer = self.latest.answer
        return _most_frequent(answer, there & (answer != SILENT))

    # One call -------------------------------------------------------------------------------------------------

    def _knows(self, llm: Tensor, heard: Heard, sees_tests: Tensor, further: Tensor) -> Tensor:
        """Probability that a call knows the answer, (N,)."""
        rules = self.rules
        right, wrong = (heard.read & (heard.answer == RIGHT)).sum(1), heard.wrong.sum(1)
        worth = rules.gain * torch.log1p(right) - rules.harm * torch.log1p(wrong)
        knows = torch.sigmoid(self.level.gather(1, llm[:, None])[:, 0] + worth + further)
        if not rules.tested:
            return knows
        shown = sees_tests & heard.last(heard.passed & (heard.answer == RIGHT))
        return torch.where(shown, knows.clamp(min=SHOWN_PASSED), knows)

    def _mistake(self, agent: int, heard: Heard, draw: Tensor) -> Tensor:
        return self._mistake_of(self.llms[:, agent], agent, heard, draw)

    def _mistake_of(self, llm: Tensor, place: int, heard: Heard, draw: Tensor) -> Tensor:
        """What is answered by those who do not know: one of the mistakes read, or one of their own."""
        rules, wrong = self.rules, heard.wrong
        if rules.form == "programs":  # every wrong program is another
            own = torch.full_like(llm, POPULAR + 1 + place)
        else:
            first = RIGHT if rules.form == "options" else POPULAR  # without options no guess is right
            guess = (draw[:, GUESS] * (self.choices - first)).long() + first
            own = torch.where(draw[:, TRAP] < self.popular, POPULAR, guess)
            own = torch.where(draw[:, SPEAK] < rules.silence[llm], SILENT, own)
        copies = (draw[:, COPY] < rules.copying) & wrong.any(1)
        nth = (draw[:, PICK] * wrong.sum(1)).long()
        place_read = ((wrong.cumsum(1) > nth[:, None]) & wrong).float().argmax(1, keepdim=True)
        return torch.where(copies, heard.answer.gather(1, place_read)[:, 0], own)

    def _passes(self, answer: Tensor, luck: Tensor, writes: Tensor) -> Tensor:
        return ((answer == RIGHT) | (luck < self.passing)) & writes & self.rules.tested

    def _usd(self, llm: Tensor, prompt: Tensor) -> Tensor:
        return self.rules.per_token[llm] * prompt + self.rules.per_call[llm]


def _last(so: Tensor) -> Tensor:
    """The last place where it is so, (N, 1); 0 where it is nowhere."""
    return (so * torch.arange(1, so.shape[1] + 1)).argmax(1, keepdim=True)


def _most_frequent(values: Tensor, there: Tensor) -> Tensor:
    """The most frequent of the values that are there, of several the first, (N,); the first of all where none is."""
    n = values.shape[1]
    same = (values[:, :, None] == values[:, None, :]) & there[:, None, :]
    rank = torch.where(there, same.sum(2) * n - torch.arange(n), -n)
    return values.gather(1, rank.argmax(1, keepdim=True))[:, 0]
