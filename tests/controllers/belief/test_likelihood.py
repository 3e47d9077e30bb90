"""The likelihood of answers against sums written out by hand, and what follows from it."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from mar.clock import run
from mar.concurrency import gather
from mar.controllers.belief.beliefs import BREADTH, Beliefs
from mar.controllers.belief.likelihood import (
    FAILED,
    PASSED,
    SILENT,
    UNSEEN,
    UNTESTED,
    Evidence,
    Posterior,
    Said,
    hypotheses,
    nodes,
)
from mar.controllers.sequential.planner import AT_ONCE, Case, Outlook, Planner

MODELS, FAMILIES = ("a1", "a2", "b"), ("a", "a", "b")


def beliefs(form="options", **changes) -> Beliefs:
    made = Beliefs.vague(MODELS, FAMILIES, form, strategies=(None, "Flash"))
    made.theta = torch.tensor([2.0, 1.0, 3.0])
    made.effect = torch.tensor([-1.0])
    for name, value in changes.items():
        setattr(made, name, torch.tensor(value))
    return made


def evidence(*calls: Said, options: int = 4) -> Evidence:
    return Evidence.of([calls], [options], torch.zeros(1, len(MODELS)))


def case(*calls: Said, options: int = 4, skill: tuple[float, ...] = (0.0, 0.0, 0.0), **how: bool) -> Case:
    return Case(said=calls, skill=np.array(skill), options=options, **how)


def consider(b: Beliefs, *calls: Said, telling: float = 0.0, **rest) -> Outlook:
    (outlook,) = Planner(b, telling=telling).consider([case(*calls, **rest)])
    return outlook


def log_likelihood(b: Beliefs, *calls: Said, options: int = 4, **how) -> float:
    seen = evidence(*calls, options=options)
    return float(Posterior.of(b, seen, hypotheses(b, seen, how.pop("gold", None)), **how).log_likelihood()[0])


def say(model: int, answer: int, **rest) -> Said:
    return Said(model=model, answer=answer, **rest)


def test_everything_that_a_model_may_say_has_probability_one_in_all():
    b = beliefs()

    options = 4 * math.exp(log_likelihood(b, say(0, 0)))

    assert options + math.exp(log_likelihood(b, say(0, SILENT))) == pytest.approx(1.0, abs=1e-4)


def test_everything_that_a_second_model_may_say_has_probability_one_given_the_first():
    b = beliefs()
    first = say(0, 0)

    same = math.exp(log_likelihood(b, first, say(1, 0)))
    other = 3 * math.exp(log_likelihood(b, first, say(1, 1)))
    silent = math.exp(log_likelihood(b, first, say(1, SILENT)))

    assert same + other + silent == pytest.approx(math.exp(log_likelihood(b, first)), rel=1e-4)


def test_a_call_that_read_others_says_one_of_all_things_too():
    b = beliefs()
    before = (say(0, 0), say(1, 1))
    read = {"read": (0, 1)}

    said = [math.exp(log_likelihood(b, *before, say(2, answer, **read))) for answer in (0, 1, SILENT)]
    new = 2 * math.exp(log_likelihood(b, *before, say(2, 2, **read)))

    assert sum(said) + new == pytest.approx(math.exp(log_likelihood(b, *before)), rel=1e-4)


def test_the_likelihood_of_one_call_is_the_sum_written_out():
    b, n = beliefs(), nodes()
    total, options = 0.0, 4
    silence = 1 / (1 + math.exp(-float(b.silence[2])))
    for z, v, weight in zip(n.z.tolist(), n.v.tolist(), n.item.exp().tolist(), strict=True):
        mistake = float(b.popular) + float(b.by_difficulty) * z + math.exp(float(b.spread)) * v
        delta = 1 / (1 + math.exp(-mistake))
        for u, of_u in zip(n.u.tolist(), n.family.exp().tolist(), strict=True):
            for r, of_r in zip(n.r.tolist(), n.own.exp().tolist(), strict=True):
                logit = 3.0 - math.exp(float(b.sigma)) * z + math.exp(float(b.tau)) * u + math.exp(float(b.rho)) * r
                knows = 1 / (1 + math.exp(-logit))
                guess = (1 - knows) * (1 - silence) * (1 - delta) / options
                trapped = (1 - knows) * (1 - silence) * delta
                total += weight * of_u * of_r * (knows / options + trapped / options + guess)

    assert log_likelihood(b, say(2, 0)) == pytest.approx(math.log(total), abs=1e-4)


def test_relatives_that_agree_are_less_proof_than_strangers():
    b = beliefs(tau=1.5)
    b.theta = torch.tensor([2.0, 2.0, 2.0])

    relatives = consider(b, say(0, 0), say(1, 0)).now
    strangers = consider(b, say(0, 0), say(2, 0)).now

    assert strangers > relatives


def test_who_sounds_sure_is_believed_more():
    b = beliefs()

    sure, unsure = (consider(b, say(0, 0, surer=x)).now for x in (1.0, -1.0))

    assert sure > consider(b, say(0, 0)).now > unsure


def test_one_model_that_repeats_itself_is_little_proof():
    b = beliefs(rho=2.0)

    again, another = consider(b, say(0, 0), say(0, 0)).now, consider(b, say(0, 0), say(2, 0)).now

    assert another > again


def test_open_answers_are_never_right_by_a_guess():
    b = beliefs("open", mislabelled=-20.0)
    b.theta = torch.full((3,), -30.0)

    assert consider(b, say(0, 0), options=0).now == pytest.approx(0.0, abs=1e-3)
    assert BREADTH > 1


def test_the_gold_answer_of_a_question_may_be_one_that_nobody_gave():
    b = beliefs()

    given = log_likelihood(b, say(0, 0), say(2, 0), gold=[0])
    one_of_three_others = log_likelihood(b, say(0, 0), say(2, 0), gold=[UNSEEN]) - math.log(3)

    assert given > one_of_three_others


def test_a_program_that_passes_the_shown_tests_is_probably_right_and_one_that_fails_is_not():
    b = beliefs("programs")

    passed = consider(b, say(0, PASSED)).right[0]
    untested = consider(b, say(0, UNTESTED)).right[0]
    failed = consider(b, say(0, FAILED)).right[0]

    assert passed > untested > 0.5
    assert failed == 0


def test_a_program_passes_fails_or_neither_with_probability_one():
    b = beliefs("programs")

    both = sum(math.exp(log_likelihood(b, say(0, PASSED), say(1, x))) for x in (PASSED, FAILED))

    assert both == pytest.approx(math.exp(log_likelihood(b, say(0, PASSED))), rel=1e-4)
    assert log_likelihood(b, say(0, UNTESTED)) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("form", ["options", "open", "programs"])
def test_many_questions_at_once_are_what_each_is_alone(form):
    planner = Planner(beliefs(form), telling=0.5)
    cases = [
        case(say(0, 0), say(2, 1), reading=True),
        case(say(1, 1), say(0, 0), say(2, 1, read=(0,)), reading=True, options=5),
        case(say(2, 0, strategy=1), say(1, 1, surer=0.7), reading=True, skill=(0.3, -0.2, 0.1)),
        case(),
    ]

    for together, given in zip(planner.consider(cases), cases, strict=True):
        (alone,) = planner.consider([given])
        assert together.alone == pytest.approx(alone.alone, abs=1e-12)
        assert together.right == pytest.approx(alone.right, abs=1e-12)
        assert (together.reading is None) == (alone.reading is None)
        if alone.reading is not None:
            assert together.reading == pytest.approx(alone.reading, abs=1e-12)


@pytest.mark.parametrize("form", ["options", "open", "programs"])
def test_what_is_decided_by_is_the_likelihood_that_was_learned(form):
    b = beliefs(form)
    calls = [say(0, 0, surer=0.4), say(2, 1), say(1, 1, read=(0, 1), strategy=1)]
    learned = evidence(*calls)

    decided = Planner(b).posterior([case(*calls)])

    rows = hypotheses(b, learned)
    expected = Posterior.of(b, learned, rows)
    assert decided.log_likelihood() == pytest.approx(expected.log_likelihood().numpy(), abs=1e-4)
    assert decided.weights() == pytest.approx(expected.weights().numpy(), abs=1e-4)


@pytest.mark.parametrize("virtual", [True, False])
def test_cases_that_fall_due_together_are_weighed_together(monkeypatch, virtual):
    planner, sizes = Planner(beliefs()), list[int]()
    together = planner.consider
    monkeypatch.setattr(planner, "consider", lambda cases: sizes.append(len(cases)) or together(cases))
    cases = [case(say(i % 3, 0)) for i in range(AT_ONCE + 4)]

    found = run(lambda: gather([partial(planner.weigh, c) for c in cases]), virtual=virtual)

    assert sorted(sizes) == [4, AT_ONCE]
    for outlook, (alone,) in zip(found, [together([c]) for c in cases], strict=True):
        assert outlook.alone == pytest.approx(alone.alone, abs=1e-12)


def test_a_call_is_worth_what_is_believed_on_average_after_it():
    b = beliefs()
    before = [say(0, 0), say(2, 1)]
    base = log_likelihood(b, *before)

    def after(answer: int, ways: int) -> float:
        calls = (*before, say(1, answer))
        return ways * math.exp(log_likelihood(b, *calls) - base) * consider(b, *calls).now

    expected = after(0, 1) + after(1, 1) + after(2, 2) + after(SILENT, 1)

    assert consider(b, *before).alone[0, 1] == pytest.approx(expected, abs=0.01)


def test_a_program_is_worth_what_is_believed_on_average_after_it():
    b = beliefs("programs")
    before = [say(0, FAILED), say(2, PASSED)]
    base = log_likelihood(b, *before)

    def after(said: int) -> float:
        calls = (*before, say(1, said))
        return math.exp(log_likelihood(b, *calls) - base) * consider(b, *calls).now

    assert consider(b, *before).alone[0, 1] == pytest.approx(after(PASSED) + after(FAILED), abs=0.01)


def test_a_strategy_moves_the_skill_by_its_effect():
    b = beliefs()
    moved = replace(b, theta=b.theta - 1.0, effect=torch.zeros(1))

    assert consider(b).alone[1] == pytest.approx(consider(moved).alone[0], abs=1e-6)


def test_a_text_moves_skills_by_its_coordinates():
    b = Beliefs.vague(MODELS, FAMILIES, "options", width=2)
    b.common, b.own = torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]])

    offsets = b.offsets(torch.tensor([[0.5, 1.0]]))

    assert offsets.tolist() == [[0.5, 2.5, 0.5]]


def test_a_question_whose_options_have_all_been_chosen_has_nothing_unseen():
    b = beliefs()

    said = (say(0, 0), say(1, 1))

    assert UNSEEN not in hypotheses(b, evidence(*said, options=2)).right.tolist()
    assert consider(b, *said, options=2).right.sum() == pytest.approx(1.0, abs=1e-4)


def test_where_no_test_is_run_another_program_is_worth_no_more_than_a_better_model():
    b = beliefs("programs")

    seen = consider(b, say(2, UNTESTED), tested=False)

    assert seen.alone[0].max() == pytest.approx(seen.now, abs=1e-4)
    assert consider(b, say(2, UNTESTED), tested=True).alone.max() > seen.now
