"""Models err together: popular mistakes, guesses, silence, and gold answers that are wrong."""

from dataclasses import replace

import pytest
from sim_worlds import profile

from mar.pool.simulated import DEFAULT, SimItem
from mar.pool.simulated.assumptions import Spread
from mar.pool.simulated.draws import draws, uniform
from mar.pool.simulated.mistakes import SharedMistakes
from mar.pool.simulated.outcome import Mind, Reading, decide
from mar.pool.simulated.skill import Skills
from mar.types import CallContext

ALONE = Reading(own=None, peers=(), latest=None)
LOST = Mind(skill=-50.0, silence=0.0, trap=0.0)  # knows nothing


def question(options: int = 4, benchmark: str = "mmlu", form="choice") -> SimItem:
    wrong = tuple("BCDEFGHIJ"[: options - 1])
    return SimItem(domain="Commonsense", benchmark=benchmark, difficulty=0.0, right=("A",), wrong=wrong, form=form)


def answers(item: SimItem, mind: Mind, rules=DEFAULT, count: int = 4000) -> list[tuple[bool, int]]:
    context = CallContext(item="q", message_id="x")
    said = (decide(item, mind, context, ALONE, draws(0, str(k), "m"), "m", rules) for k in range(count))
    return [(s.correct, s.answer) for s in said]


def test_who_guesses_is_right_as_often_as_there_are_options():
    right = sum(correct for correct, _ in answers(question(4), LOST))
    assert right / 4000 == pytest.approx(0.25, abs=0.021)  # three standard errors


def test_without_options_no_guess_is_right():
    assert not any(correct for correct, _ in answers(question(4, form="number"), LOST))


def test_the_popular_mistake_is_made_as_often_as_stated():
    said = answers(question(10), replace(LOST, trap=0.4))
    assert said.count((False, 0)) / 4000 == pytest.approx(0.4 + 0.6 / 10, abs=0.024)
    assert said.count((False, 2)) / 4000 == pytest.approx(0.6 / 10, abs=0.012)


def test_who_is_silent_answers_nothing():
    assert answers(question(), replace(LOST, silence=1.0), count=5) == [(False, -1)] * 5


def turned(rules=DEFAULT, benchmark: str = "mmlu") -> str:
    share = rules.spread(benchmark, "Commonsense").mislabelled
    return next(f"q{k}" for k in range(1000) if uniform(0, "mislabelled", f"q{k}") < share)


def test_a_mislabelled_question_has_its_popular_mistake_for_an_answer():
    seen = SharedMistakes(DEFAULT, 0).seen(turned(), question())
    assert seen.right == ("B",)
    assert seen.wrong == ("A", "C", "D")  # who falls for the popular mistake is right


def test_nobody_comes_upon_a_wrong_gold_answer_where_there_are_no_options():
    seen = SharedMistakes(DEFAULT, 0).seen(turned(), question(form="number"))
    assert seen.right == ("B",)
    assert seen.wrong == ("C", "D")


def test_items_of_a_benchmark_that_nobody_measured_are_never_mislabelled():
    assert DEFAULT.spread("my_task", "Commonsense").mislabelled == 0.0
    assert DEFAULT.spread("mmlu", "Commonsense").mislabelled > 0.0


@pytest.mark.parametrize("options", [2, 4, 10])
@pytest.mark.parametrize("mislabelled", [0.0, 0.3])
def test_the_mean_over_items_is_the_published_accuracy(options: int, mislabelled: float):
    spread = Spread(sigma_d=3.0, sigma_r=2.0, family_share=0.3, mislabelled=mislabelled)
    rules = replace(DEFAULT, spreads={**DEFAULT.spreads, "mmlu": spread})
    skills = Skills({"m": replace(profile(0.65), scores={"mmlu": 0.65}, silence=0.1)}, rules, 0)
    hard = [replace(question(options), difficulty=d / 10) for d in range(-30, 31)]
    weights = [2.718281828 ** (-(i.difficulty**2) / 2) for i in hard]
    means = [sum(skills.right("m", f"q{k}/{i.difficulty}", i) for k in range(40)) / 40 for i in hard]
    mean = sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights)
    assert mean == pytest.approx(0.65, abs=0.03)


def test_the_stated_probability_is_how_often_the_gold_answer_is_given():
    rules = replace(DEFAULT, spreads={**DEFAULT.spreads, "mmlu": replace(DEFAULT.spreads["mmlu"], mislabelled=0.5)})
    skills = Skills({"m": replace(profile(), scores={"mmlu": 0.6}, silence=0.2)}, rules, 0)
    for k in range(6):
        seen, mind = skills.meets("m", f"q{k}", question())
        said = [(seen.right if c else seen.wrong)[a] if a >= 0 else "" for c, a in answers(seen, mind, rules)]
        assert said.count("A") / 4000 == pytest.approx(skills.right("m", f"q{k}", question()), abs=0.025)


@pytest.mark.parametrize("form", ["choice", "number"])
def test_a_revision_with_the_same_luck_keeps_a_guess(form):
    from mar.pool.simulated.memory import Remembered

    rules = DEFAULT.scaled(0.0)
    rules = replace(rules, revision=replace(rules.revision, keep_luck=1.0), peers=replace(rules.peers, copy_wrong=0.0))
    context, item, mind = CallContext(item="q", message_id="x"), question(form=form), replace(LOST, trap=0.4)
    for k in range(100):
        first = decide(item, mind, context, ALONE, draws(0, f"{k}", "m"), "m", rules)
        own = Remembered(
            item="q",
            model="m",
            role="",
            index=0,
            knew=first.knew,
            correct=first.correct,
            answer=first.answer,
            luck=first.luck,
            extra_tokens=0,
        )
        again = decide(item, mind, context, Reading.of(context, [own]), draws(0, f"{k}'", "m"), "m", rules)
        assert (again.correct, again.answer) == (first.correct, first.answer)
