"""Who answers under a name, and how a candidate's share of requests is drawn."""

from mar.controllers.cards import Cards
from mar.serving.staff import Serving, Staff, Trial

OLD, NEW = Serving(controller=Cards(), version="old"), Serving(controller=Cards(), version="new")
USERS = [f"/user{i}" for i in range(4000)]


def staff(share):
    return Staff(serving={"mar": OLD}, trials={"mar": Trial(candidate=NEW, share=share, salt="r1")})


def test_without_a_trial_the_version_that_serves_answers():
    assert Staff(serving={"mar": OLD}).who("mar", "/ann") is OLD


def test_a_candidate_takes_its_share_of_users_and_keeps_those_it_has_as_the_share_grows():
    took = [{u for u in USERS if staff(share).who("mar", u) is NEW} for share in (0.0, 0.1, 0.5, 1.0)]
    assert [len(t) for t in took[::3]] == [0, 4000]
    assert abs(len(took[1]) - 400) < 60  # 3 standard deviations of a binomial of 4000 and 0.1 are 57
    assert took[1] < took[2] < took[3]


def test_another_rollout_draws_other_users():
    first, second = (Trial(candidate=NEW, share=0.1, salt=s) for s in ("r1", "r2"))
    both = sum(first.takes(u) and second.takes(u) for u in USERS)
    assert both < 80  # independent draws: 40 expected
