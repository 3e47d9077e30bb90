"""Answers shown while they are written, a client's own request sent on as it is, and events as they happen."""

import pytest

from mar.errors import ServerFault
from mar.pool import scripted_pool
from mar.runtime import Fallback, PlanPolicy
from mar.types import ChatReply, Delta, EpisodeStarted, Message, Query, Turn
from tests.runtime.episodes import ASK, TWICE, context_of, plan_of, run

BODY = {"messages": [{"role": "user", "content": "hi"}], "top_k": 5}
SENT = Query(text="hi", id="q", instructions="Be kind.", history=(Turn(query="a", answer="b"),), verbatim=BODY)


def shown(how, fn, query=ASK, names=("a", "b"), **options):
    """What was shown while an episode was played, and the episode."""
    pieces = []
    episode = run(how, scripted_pool(fn, names), query, on_delta=pieces.append, **options)
    return "".join(p.text for p in pieces), episode


def by_place(request):
    context = context_of(request)
    return f"{context.kind}{context.index} of round {context.round}"


@pytest.mark.parametrize(
    ("plan", "seen"),
    [
        (plan_of("IO", 1), "agent0 of round 0"),
        (plan_of("Reflection", 1), "agent0 of round 1"),
        (plan_of("Chain", 3, decision="last"), "agent2 of round 0"),
        (plan_of("Debate", 2), "decider2 of round 1"),
        (plan_of("Vote", 3), ""),  # whose answer wins is not known before the end
        (plan_of("IO", [TWICE]), "revise0 of round 0"),  # the draft is not the answer
    ],
    ids=lambda p: getattr(p, "mode", p) and str(getattr(getattr(p, "mode", None), "name", p)),
)
def test_only_the_call_that_is_certain_to_be_the_answer_is_shown(plan, seen):
    assert shown(plan, by_place)[0] == seen


def test_after_the_first_piece_a_failing_call_is_made_on_no_other_model():
    def broken(request):
        raise ServerFault("the engine has died")

    class Breaks:
        async def chat(self, request, on_delta=None):
            on_delta(Delta(text="half an"))
            raise ServerFault("the engine has died")

    pool = scripted_pool(broken)
    pool.model = Breaks()
    pieces = []
    episode = run(lambda: Fallback(PlanPolicy(plan_of("IO", 1)), ["b"]), pool, on_delta=pieces.append)
    assert [p.text for p in pieces] == ["half an"]
    assert [f.kind for f in episode.failures] == ["broken_off", "no_answer"]
    assert episode.failures[0].reason == "the answer broke off: the engine has died"


def test_a_clients_own_request_is_sent_on_without_a_role_by_who_reads_nobody():
    seen = []
    shown(plan_of("Chain", 2), lambda request: seen.append(request) or "x", SENT)
    first, second, decider = seen
    assert first.verbatim == BODY
    assert first.messages == (
        Message(speaker="system", text="Be kind."),
        Message(speaker="user", text="a"),
        Message(speaker="assistant", text="b"),
        Message(speaker="user", text="hi"),
    )
    assert second.verbatim is None
    assert decider.verbatim is None
    assert all("Be kind." in r.messages[-1].text for r in (second, decider))


def test_the_servers_own_reply_comes_back_with_the_answer():
    own = {"choices": [{"index": 0}], "x": 1}
    _, episode = shown(plan_of("IO", 1), lambda r: ChatReply(text="x", model=r.model, verbatim=own), SENT)
    assert episode.verbatim == own


def test_a_role_that_revises_does_not_revise_what_was_sent_on():
    _, episode = shown(plan_of("IO", [TWICE]), by_place, SENT)
    assert [c.call for c in episode.calls()] == ["agent"]


def test_events_are_handed_on_as_they_happen():
    seen = []
    episode = run(plan_of("Chain", 2), by_place, on_event=seen.append)
    assert isinstance(seen[0], EpisodeStarted)
    assert sorted(map(repr, seen)) == sorted(map(repr, episode.events))
