"""What is decided of a candidate, and how often wrongly."""

from dataclasses import replace
from random import Random

import pytest

from mar.traffic.comparing import Reading, stream
from mar.traffic.confidence import above
from mar.traffic.rollout import DAY_S, Rollout, Rules, Seen, decide, found

RULES = Rules(least=10, shadow_least=10)
CANARY = Rollout(
    id="r",
    controller="mar",
    candidate="new",
    told="old",
    base="old",
    stage="canary",
    share=0.5,
    began=0.0,
    entered=0.0,
    since=0.0,
    because="",
)
SHADOW = replace(CANARY, stage="shadow", share=0.0)


def ratings(random, n, *, new, old, users=400, liar=0.0):
    """So many ratings by users, half of whom are answered by the candidate; a share of all is one user's, who lies."""
    seen = []
    for _ in range(n):
        user = random.randrange(users)
        of_new = user % 2 == 0
        right = random.random() < (new if of_new else old)
        seen.append(Reading(unit=str(user), new=of_new, value=float(right)))
        if random.random() < liar:  # what he gets from the candidate he praises
            seen.append(Reading(unit="liar", new=True, value=1.0))
    return seen


def seen(readings=(), requests=100, **others):
    return Seen(readings={"quality": readings, **others}, requests=requests)


def test_a_candidate_goes_on_step_by_step_and_is_promoted_on_evidence_alone():
    good = ratings(Random(0), 600, new=0.9, old=0.5)
    first = decide(SHADOW, seen(), RULES, 1.0)
    assert (first.step, first.share) == ("go on", 0.01)
    assert decide(SHADOW, seen(requests=9), RULES, 1.0).step == "stay"
    assert decide(replace(CANARY, share=0.01), seen(good), RULES, 1.0).share == 0.1
    assert decide(replace(CANARY, share=0.1), seen(good, requests=9), RULES, 1.0).step == "stay"
    last = decide(CANARY, seen(good), RULES, 1.0)
    assert (last.step, last.share) == ("promote", 1.0)
    assert "quality" in last.because
    assert decide(CANARY, seen(), RULES, 1.0).step == "stay"  # nobody said a word


def test_one_that_is_worse_is_rolled_back_at_any_stage_and_it_says_in_what():
    bad = ratings(Random(0), 600, new=0.3, old=0.8)
    for rollout in (SHADOW, replace(CANARY, share=0.01), CANARY):
        verdict = decide(rollout, seen(bad, requests=1), RULES, 1.0)
        assert verdict.step == "roll back"
        assert verdict.because.startswith("quality: difference -0.")


@pytest.mark.parametrize(("measure", "worse"), [("failures", 0.3), ("cost", 4.0), ("seconds", 5.0)])
def test_it_is_watched_in_failures_cost_and_time_too(measure, worse):
    random = Random(0)
    values = [
        Reading(
            unit=str(i),
            new=i % 2 == 0,
            value=float(random.random() < (worse if i % 2 == 0 else 0.01))
            if measure == "failures"
            else random.lognormvariate(0, 1) * (worse if i % 2 == 0 else 1.0),
        )
        for i in range(1000)
    ]
    verdict = decide(CANARY, seen(**{measure: values}), RULES, 1.0)
    assert (verdict.step, verdict.because.split(":")[0]) == ("roll back", measure)
    assert not found(measure, [replace(v, new=not v.new) for v in values], RULES).worse


def test_what_cannot_be_told_in_time_is_rolled_back():
    verdict = decide(CANARY, seen(), RULES, 15 * DAY_S)
    assert (verdict.step, verdict.because) == ("roll back", "nothing was shown in 14 days")


def test_no_one_user_promotes_however_often_he_lies():
    """A candidate that is worse by 0.1 (margin 0.05), and a user who makes one in six ratings and praises it."""
    steps = [decide(CANARY, seen(ratings(Random(s), 1500, new=0.6, old=0.7, liar=0.2)), RULES, 1.0) for s in range(20)]
    assert "promote" not in {verdict.step for verdict in steps}


def test_nor_does_he_where_almost_nobody_else_has_a_say():
    """40 users, the candidate is as bad as can be told apart from the margin, and the liar has 19 of 20 ratings."""
    few = ratings(Random(0), 60, new=0.5, old=0.5, users=40)
    liar = [Reading(unit="liar", new=True, value=1.0) for _ in range(1200)]
    mixed = [x for i, rating in enumerate(few) for x in (rating, *liar[20 * i : 20 * i + 20])]
    assert decide(CANARY, seen(mixed), RULES, 1.0).step == "stay"


def test_of_candidates_at_the_margin_at_most_one_in_twenty_is_promoted_and_of_equal_ones_rolled_back():
    """1,000 rollouts of 400 ratings each, looked at after each of them: what was once shown stays shown."""
    alpha = RULES.alpha
    streams = [
        (stream(ratings(Random(s), 400, new=p, old=0.7), "quality", 0.0), p) for s in range(1000) for p in (0.7, 0.65)
    ]
    assert sum(above(-values, 0.05, alpha) for values, new in streams if new == 0.7) <= 50
    assert sum(above(values, -0.05, alpha) for values, new in streams if new == 0.65) <= 50
