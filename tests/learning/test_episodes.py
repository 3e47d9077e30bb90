import pytest
import torch

from mar.controllers.masrouter import Choices
from mar.learning.episodes import DRAWS, LUCK, PASS, Cast, Episodes, Graphs, Rules, Worlds

MODES = ("IO", "Chain", "Debate", "Vote")
KNOWS, NOT = 50.0, -50.0  # log-odds
CODER, ANALYST, REVISER = range(3)
ROLES = Cast(
    code=torch.tensor([True, False, True]),
    tests=torch.tensor([True, False, True]),
    revises=torch.tensor([False, False, True]),
    sees_tests=torch.tensor([True, False, True]),
)
SURE, NEVER = torch.tensor(1.0), torch.tensor(0.0)


def rules(**other):
    known = {
        "graphs": Graphs.of(MODES, 3, None),
        "roles": ROLES,
        "decider_sees_tests": False,
        "decision": "last",
        "most": 3,
        "form": "options",
        "tested": False,
        "gain": torch.tensor(200.0),
        "harm": torch.tensor(0.0),
        "copying": NEVER,
        "silence": torch.zeros(3),
        "written": torch.tensor([100.0, 10.0, 1.0]),
        "overhead": 0.0,
        "per_token": torch.ones(3),
        "per_call": torch.zeros(3),
    }
    return Rules(**known | other)


def played(rules, levels, mode, llms, roles=None, *, luck=0.5, popular=0.0, turned=False, passing=0.0):
    """Whether one plan is right in one world, and its cost: with a price of one for every prompt token that is read."""
    worlds = Worlds(
        level=torch.tensor(levels)[:, None],
        popular=torch.tensor([popular]),
        turned=torch.tensor([turned]),
        passing=torch.tensor([passing]),
        choices=torch.tensor([4.0]),
        luck=torch.full((3, 3, DRAWS, 1), luck),
    )
    pad = [0] * (3 - len(llms))
    choices = Choices(
        domain=torch.tensor([0]),
        mode=torch.tensor([MODES.index(mode)]),
        count=torch.tensor([len(llms)]),
        roles=torch.tensor([[*(roles or [CODER] * len(llms)), *pad]]),
        llms=torch.tensor([[*llms, *pad]]),
    )
    right, cost = Episodes(rules, worlds, choices, torch.tensor([1000.0]), (1, 1, 1)).play()
    return bool(right), cost.item()


def test_one_agent_is_right_if_it_knows_and_reads_only_the_question():
    assert played(rules(), [KNOWS, NOT, NOT], "IO", [0]) == (True, 1000)
    assert played(rules(), [KNOWS, NOT, NOT], "IO", [1]) == (False, 1000)


def test_who_reads_a_right_message_gains_and_pays_for_what_it_reads():
    assert played(rules(), [KNOWS, NOT, NOT], "IO", [0, 1]) == (False, 2000)
    assert played(rules(), [KNOWS, NOT, NOT], "Chain", [0, 1]) == (True, 1000 + 1100)


def test_in_a_debate_everybody_reads_the_round_before():
    # Two rounds; in the second each reads both messages, its own among them: 1000 + 100 + 10.
    assert played(rules(), [KNOWS, NOT, NOT], "Debate", [0, 1]) == (True, 2 * 1000 + 2 * 1110)


def test_wrong_messages_harm_and_are_repeated():
    harmed = rules(gain=torch.tensor(0.0), harm=torch.tensor(200.0))
    assert played(harmed, [KNOWS, NOT, NOT], "Chain", [1, 0])[0] is False
    lucky = {"luck": 0.01}  # who does not know guesses the first option, the right one
    assert played(rules(), [NOT, NOT, NOT], "IO", [0], **lucky)[0] is True
    trapped = lucky | {"popular": 1.0}
    assert played(rules(copying=SURE), [NOT, NOT, NOT], "Chain", [0, 1], **trapped)[0] is False


def test_the_decider_is_the_model_that_most_agents_run_on_and_reads_them_all():
    final = rules(decision="final", gain=torch.tensor(0.0))
    assert played(final, [NOT, KNOWS, NOT], "IO", [0, 1, 1]) == (True, 3 * 1000 + 1120)
    assert played(final, [NOT, KNOWS, NOT], "IO", [0, 1])[0] is False  # of two the first
    assert played(final, [NOT, KNOWS, NOT], "IO", [1]) == (True, 1000)  # one agent has none


def test_a_vote_takes_the_answer_of_most_and_of_several_the_first():
    final = rules(decision="final")
    assert played(final, [KNOWS, NOT, NOT], "Vote", [0, 0, 1]) == (True, 3000)
    assert played(final, [KNOWS, NOT, NOT], "Vote", [0, 1, 2], popular=1.0)[0] is False
    assert played(final, [KNOWS, NOT, NOT], "Vote", [0, 1], popular=1.0)[0] is True
    mute = rules(decision="final", silence=torch.ones(3))
    assert played(mute, [KNOWS, NOT, NOT], "Vote", [1, 2, 0])[0] is True


def test_where_the_gold_answer_is_the_popular_mistake_who_makes_it_is_right():
    assert played(rules(), [KNOWS, NOT, NOT], "IO", [0], popular=1.0, turned=True)[0] is False
    assert played(rules(), [KNOWS, NOT, NOT], "IO", [1], popular=1.0, turned=True)[0] is True


def test_open_questions_are_not_guessed():
    assert played(rules(form="open"), [NOT, NOT, NOT], "IO", [0], luck=0.01)[0] is False


PROGRAMS = rules(form="programs", tested=True)


def test_a_program_that_passes_is_handed_on_without_a_call():
    assert played(PROGRAMS, [KNOWS, NOT, NOT], "Chain", [0, 1]) == (True, 1000)
    assert played(PROGRAMS, [NOT, KNOWS, NOT], "Chain", [0, 1]) == (True, 1000 + 1100)
    assert played(PROGRAMS, [NOT, KNOWS, NOT], "Chain", [0, 1], passing=1.0) == (False, 1000)  # a false pass
    untested = rules(form="programs")
    assert played(untested, [KNOWS, NOT, NOT], "Chain", [0, 1]) == (True, 1000 + 1100)


def test_who_writes_no_program_hands_nothing_on():
    assert played(PROGRAMS, [KNOWS, KNOWS, NOT], "Chain", [0, 1], [ANALYST, CODER]) == (True, 1000 + 1100)
    assert played(PROGRAMS, [KNOWS, KNOWS, NOT], "Chain", [0, 1], [CODER, ANALYST]) == (True, 1000 + 1100)


def test_a_draft_that_fails_is_revised_and_its_report_may_help():
    assert played(PROGRAMS, [KNOWS, NOT, NOT], "IO", [0], [REVISER]) == (True, 1000)
    assert played(PROGRAMS, [NOT, NOT, NOT], "IO", [0], [REVISER]) == (False, 1000 + 1100)
    # With even odds and the luck of the draft, .55: not known at logistic(0) = .5, known at logistic(.5) = .62.
    assert played(PROGRAMS, [0.0, NOT, NOT], "IO", [0], [REVISER], luck=0.55) == (True, 1000 + 1100)
    assert played(PROGRAMS, [0.0, NOT, NOT], "IO", [0], [CODER], luck=0.55) == (False, 1000)


def test_a_decider_that_is_shown_a_program_that_passes_repeats_it():
    shown = rules(form="programs", tested=True, decision="final", decider_sees_tests=True, gain=torch.tensor(0.0))
    assert played(shown, [KNOWS, NOT, NOT], "IO", [1, 1, 0])[0] is True
    blind = rules(form="programs", tested=True, decision="final", gain=torch.tensor(0.0))
    assert played(blind, [KNOWS, NOT, NOT], "IO", [1, 1, 0])[0] is False


@pytest.mark.parametrize("draw", [LUCK, PASS])
def test_plans_on_one_question_have_the_same_luck(draw):
    worlds = Worlds(
        level=torch.zeros(3, 1),
        popular=torch.zeros(1),
        turned=torch.zeros(1, dtype=torch.bool),
        passing=torch.full((1,), 0.5),
        choices=torch.tensor([4.0]),
        luck=torch.rand(3, 3, DRAWS, 1, generator=torch.Generator().manual_seed(draw)),
    )
    twice = torch.zeros(2, dtype=torch.long)
    choices = Choices(
        domain=twice, mode=twice, count=twice + 1, roles=torch.zeros(2, 3).long(), llms=torch.zeros(2, 3).long()
    )
    right, cost = Episodes(PROGRAMS, worlds, choices, torch.tensor([1000.0]), (1, 2, 1)).play()
    assert right[0, 0] == right[0, 1]
    assert cost[0, 0] == cost[0, 1]
