"""Failed moves made again on other models: what is asked, what the policy inside sees, and where it ends."""

from mar.errors import ContextOverflow, RateLimited, ServerFault
from mar.pool import scripted_pool
from mar.runtime import Fallback, PlanPolicy
from mar.types import Budget, CallAnswered, CallFailed
from tests.runtime.episodes import context_of, events, plan_of, run


def ill(*names, error=ServerFault):
    """A function for a scripted pool: these models' servers are ill."""

    def answer(request):
        if request.model in names:
            raise error("the engine has died")
        return f"42 by {request.model}"

    return answer


def play(plan, fn, models=("a", "b", "c", "d", "e"), *, most=3, **options):
    pool = scripted_pool(fn, ("a", "b", "c", "d", "e"))
    return run(lambda: Fallback(PlanPolicy(plan), models, most=most), pool, **options), pool.model.requests


def test_a_move_whose_server_is_ill_is_made_again_on_the_next_model():
    episode, requests = play(plan_of("IO", 1), ill("a", "b"))
    assert episode.answer == "42 by c"
    assert [r.model for r in requests] == ["a", "b", "c"]
    assert [e.failure.kind for e in events(episode, CallFailed)] == ["server_fault"] * 2
    assert episode.failure is None
    assert len({r.sample for r in requests}) == 3


def test_the_policy_inside_sees_each_agent_once():
    episode, requests = play(plan_of("Chain", 3, models=["a", "b", "b"], decision="last"), ill("a"))
    assert [(context_of(r).index, r.model) for r in requests] == [(0, "a"), (0, "b"), (1, "b"), (2, "b")]
    assert episode.answer == "42 by b"


def test_agents_that_wait_for_nobody_do_not_wait_for_one_that_is_asked_again():
    episode, requests = play(plan_of("Vote", 3, models=["a", "b", "c"]), ill("a"))
    assert sorted((context_of(r).index, r.model) for r in requests) == [(0, "a"), (0, "b"), (1, "b"), (2, "c")]
    assert len(list(episode.calls())) == 3


def test_tries_are_bounded_and_the_last_failure_is_the_episodes():
    episode, requests = play(plan_of("IO", 1), ill("a", "b", "c", "d"), most=2)
    assert [r.model for r in requests] == ["a", "b", "c"]
    assert [f.kind for f in episode.failures] == ["server_fault"] * 3 + ["no_answer"]


def test_a_model_found_ill_is_not_asked_again_in_another_agents_place():
    episode, requests = play(plan_of("Chain", 2, models=["a", "a"], decision="last"), ill("a", "b"))
    assert [r.model for r in requests] == ["a", "b", "c", "a", "c"]
    assert episode.answer == "42 by c"


def test_what_no_other_server_would_mend_is_left_as_it_is():
    episode, requests = play(plan_of("IO", 1), ill("a", error=ContextOverflow))
    assert [r.model for r in requests] == ["a"]
    assert [f.kind for f in episode.failures] == ["context_overflow", "no_answer"]


def test_no_try_is_made_once_the_money_is_spent():
    def answer(request):
        raise RateLimited("too many")

    episode, requests = play(plan_of("IO", 1), answer, budget=Budget(tokens=0))
    assert not requests
    assert episode.failure.kind == "limit"
    assert not events(episode, CallAnswered)
