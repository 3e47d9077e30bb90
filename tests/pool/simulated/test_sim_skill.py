"""Skill: published accuracies are met, and what is read, said and reported moves them the right way."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_worlds import model, number_item, profile, request, spread_world

from mar.pool.simulated import DEFAULT, simulated_cards
from mar.pool.simulated.accuracy import mean_accuracy, solve_theta
from mar.pool.simulated.assumptions import PeerEffects, Spread
from mar.pool.simulated.catalogue import CATALOGUES, catalogue, profiles_all, profiles_of, score_of
from mar.pool.simulated.draws import draws
from mar.pool.simulated.logits import logistic
from mar.pool.simulated.memory import Memory, Remembered
from mar.pool.simulated.outcome import Reading, chance, decide
from mar.pool.simulated.skill import Mind, Skills
from mar.types import CallContext

ITEM = number_item()
MIND = Mind(skill=0.3, silence=0.0, trap=0.5)
BENCHMARKS = {
    "mbpp": "Code",
    "humaneval": "Code",
    "gsm8k": "Math",
    "math": "Math",
    "mmlu": "Commonsense",
    "mmlu_pro": "Commonsense",
}


def remembered(*, correct: bool, index: int = 1, luck: float = 0.5, role: str = "") -> Remembered:
    return Remembered(
        item="q", model="m", role=role, index=index, knew=correct, correct=correct, answer=0, luck=luck, extra_tokens=0
    )


def probability(*read: Remembered, skill: float = 0.0, rules=DEFAULT, item=ITEM, **context: object) -> float:
    where = CallContext(item="q", message_id="x", **context)  # pyright: ignore[reportArgumentType]
    return chance(item, skill, where, Reading.of(where, read), rules)


@given(st.floats(0.2, 0.9), st.floats(0, 5), st.sampled_from([0, 4, 10]))
def test_theta_solves_for_the_mean_accuracy(accuracy: float, sigma: float, options: int):
    spread = Spread(sigma_d=sigma, sigma_r=1.0, family_share=0.1, mislabelled=0.05)
    theta = solve_theta(accuracy, spread, DEFAULT, silence=0.1, options=options)
    assert mean_accuracy(theta, spread, DEFAULT, silence=0.1, options=options) == pytest.approx(accuracy, abs=1e-6)


def test_without_spread_theta_is_the_logit():
    still = Spread(sigma_d=0.0, sigma_r=0.0, family_share=0.0)
    assert solve_theta(0.75, still, DEFAULT, silence=0.0, options=0) == pytest.approx(1.0986, abs=1e-4)  # ln 3


def test_an_accuracy_out_of_reach_is_met_as_nearly_as_skill_can():
    spread = Spread(sigma_d=1.0, sigma_r=1.0, family_share=0.0, mislabelled=0.1)
    theta = solve_theta(0.99, spread, DEFAULT, silence=0.0, options=0)
    assert mean_accuracy(theta, spread, DEFAULT, silence=0.0, options=0) == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("name", ["gpt-4o-mini", "llama-3.1-8b-instruct"])
def test_mean_accuracy_is_the_published_one(name: str):
    world = spread_world(3000)
    simulated = model(world, dict(profiles_all()))
    right = 0
    for item in world.items:
        simulated.recall(request(item, name, f"{item}/s"))
        said = simulated._author.memory.recall([f"{item}/s"])[0]
        seen, _ = simulated._author._skills.meets(name, item, world.items[item])
        right += (seen.right if said.correct else seen.wrong)[said.answer] in world.items[item].right
    # Standard error of 3,000 draws: below 0.9 points; three of them.
    assert right / 3000 == pytest.approx(profiles_all()[name].scores["mbpp"], abs=0.027)


def test_one_model_repeats_itself_more_than_two_models_agree():
    world = spread_world(1500)
    skills = Skills({"a": profile(), "b": profile(family="g")}, DEFAULT, 0)
    same = other = 0
    for i in world.items:
        logits = {m: skills.logit(m, i, world.items[i]) for m in "ab"}
        first, second = (draws(0, f"{i}{k}", "a").luck < logistic(logits["a"]) for k in range(2))
        third = draws(0, f"{i}2", "b").luck < logistic(logits["b"])
        same += first == second
        other += first == third
    assert same > other + 50


def test_right_messages_help_and_wrong_ones_hurt():
    alone = probability()
    assert probability(remembered(correct=True)) > alone > probability(remembered(correct=False))


def test_peer_effects_add_up_as_stated():
    rules = replace(DEFAULT, peers=PeerEffects(beta_right=1.0, beta_wrong=1.0, discernment=0.0), voices={})
    # ln(1 + 3) - ln(1 + 1) = 0.6931 logits: probability 2/3 from even odds.
    peers = [remembered(correct=True)] * 3 + [remembered(correct=False)]
    assert probability(*peers, rules=rules) == pytest.approx(2 / 3)


def test_an_unreadable_message_counts_for_nothing():
    unreadable = replace(remembered(correct=False), answer=-1)
    assert probability(unreadable) == probability()


def test_a_skilled_reader_is_hurt_less_in_logits():
    def harm(skill: float) -> float:
        p, q = probability(skill=skill), probability(remembered(correct=False), skill=skill)
        return math.log(p / (1 - p)) - math.log(q / (1 - q))

    assert harm(4.0) < harm(-4.0)


def test_roles_and_strategies_that_nobody_knows_have_no_effect():
    assert probability(role="Clown", strategy="Loud", mode="Circus") == probability()


def test_a_fitting_role_helps_and_answering_at_once_hurts_in_mathematics():
    assert probability(role="MathSolver") > probability() > probability(strategy="Flash")


def test_revising_blindly_loses_a_little_and_failed_tests_help():
    own = remembered(correct=False, index=0)
    assert probability(own, feedback="failed") > probability() > probability(own)


def test_a_right_answer_reported_as_passed_is_kept():
    own = remembered(correct=True, index=0)
    assert probability(own, skill=-6.0, feedback="passed") == DEFAULT.revision.keep_passed
    assert probability(remembered(correct=False, index=0), skill=-6.0, feedback="passed") < 0.1


def test_a_revision_without_effects_leaves_every_outcome_as_it_was():
    rules = DEFAULT.scaled(0.0)
    rules = replace(rules, revision=replace(rules.revision, keep_luck=1.0))
    context = CallContext(item="q", message_id="x")
    for k in range(200):
        first = decide(ITEM, MIND, context, Reading.of(context, ()), draws(0, f"{k}", "m"), "m", rules)
        own = replace(remembered(correct=first.correct, index=0, luck=first.luck), knew=first.knew, answer=first.answer)
        again = decide(ITEM, MIND, context, Reading.of(context, [own]), draws(0, f"{k}'", "m"), "m", rules)
        assert again.correct == first.correct


def test_scaled_scales_effects_in_logits_and_leaves_what_was_fitted():
    half = DEFAULT.scaled(0.5)
    assert half.peers.beta_right == DEFAULT.peers.beta_right / 2
    assert half.roles["Code"]["BugFixer"] == DEFAULT.roles["Code"]["BugFixer"] / 2
    assert half.strategies["Flash"].logit["Math"] == DEFAULT.strategies["Flash"].logit["Math"] / 2
    assert half.strategies["Flash"].length == DEFAULT.strategies["Flash"].length
    assert half.revision.gain_failed == DEFAULT.revision.gain_failed / 2
    assert half.spreads == DEFAULT.spreads
    assert half.effects == 0.5
    assert DEFAULT.scaled(1.0) == DEFAULT
    assert DEFAULT.scaled(2.0).voices["Critic"] == pytest.approx(1.8)  # 1 + 2 x 0.4


def test_memory_forgets_the_oldest_first():
    memory = Memory(limit=2)
    for name in "abc":
        memory.store(name, remembered(correct=True))
    assert len(memory) == 2
    assert memory.recall("a") == []
    assert len(memory.recall("bc")) == 2


def test_a_score_that_nobody_published_is_estimated_from_the_nearest():
    score = score_of(profiles_all(), "mistral-small-24b-instruct", "mbpp", "Code")
    assert score.benchmark == "humaneval"
    assert 0.5 < score.accuracy < 0.8


def test_an_unknown_benchmark_falls_back_to_the_first_of_its_domain():
    assert score_of(profiles_all(), "gpt-4o", "gsm_hard", "Math").accuracy == pytest.approx(0.961)


@pytest.mark.parametrize(("pool", "least"), [("simulated", 8), ("simulated-vllm", 5)])
def test_every_card_states_price_and_scores_in_words_and_every_figure_names_its_source(pool, least):
    cards = simulated_cards(pool)
    assert len(cards) >= least
    for card, entry in zip(cards, catalogue(pool).model, strict=True):
        assert f"{entry.price_in:.3g} USD per million input tokens" in card.description
        assert "percent accuracy" in card.description
        assert "simulated" in card.tags
        assert card.has_price
        assert entry.price_source
        assert entry.serving.source


def test_every_served_model_has_a_score_or_an_estimate_on_every_benchmark_and_a_gpu():
    for name, found in profiles_of([card.name for card in simulated_cards("simulated-vllm")]).items():
        assert found.serving.gpu
        for benchmark, domain in BENCHMARKS.items():
            assert 0 < score_of(profiles_of([name]), name, benchmark, domain).accuracy < 1


def test_no_model_stands_in_two_catalogues():
    names = [card.name for pool in CATALOGUES for card in simulated_cards(pool)]
    assert len(names) == len(set(names))
