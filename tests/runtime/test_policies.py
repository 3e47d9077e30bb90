"""Policies that are no plans: moves at any time, waiting, settling, limits, and what no policy may do."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from mar.errors import ConfigError, ServerFault
from mar.pool import Recording, RecordingKey, replay_pool, scripted_pool
from mar.runtime import RunIdentity, Tools, episode_from_json, episode_to_json
from mar.types import (
    AgentSpec,
    Belief,
    Binding,
    Budget,
    CallAnswered,
    CallFailed,
    ChatReply,
    Considered,
    Decided,
    EpisodeStarted,
    Move,
    Option,
    Settle,
    StepBound,
    StepFailed,
    Stopped,
    ToolRan,
    Why,
)
from tests.runtime.episodes import ASK, ONCE, TWICE, JudgeByWord, context_of, events, run, script
from tests.runtime.test_turn import BAD, GOOD, SHOWN


def ask(index, model="a", **fields):
    role = fields.pop("role", ONCE)
    return Move(agent=AgentSpec(role=role, model=model), **({"domain": "Math", "index": index} | fields))


class Steps:
    """A policy of functions from a view to what is done; after them it settles on the last message."""

    plan = None

    def __init__(self, *steps, name="steps"):
        self.steps, self.name, self.seen = list(steps), name, []

    async def next(self, view):
        self.seen.append(view)
        if self.steps:
            return self.steps.pop(0)(view)
        return Settle(how="chosen", messages=tuple(s.id for s in view.messages[-1:]))


def play(*steps, pool=None, **options):
    """One episode under a policy of these steps, and the policy."""
    policy = Steps(*steps)
    return run(lambda: policy, pool, **options), policy


def timed(*seconds, text="42"):
    """A pool whose agents take so many seconds, by index."""

    async def answer(request):
        await anyio.sleep(seconds[context_of(request).index])
        return text

    return scripted_pool(answer)


# One that looks before it leaps --------------------------------------------------------------------------------


class Careful:
    """Asks a; where the shown test fails also b; where both fail c reads both. Settles on the latest that passes."""

    plan, name = None, "careful"

    async def next(self, view):
        passing = [s for s in view.messages if s.feedback == "passed"]
        if passing or len(view.said) == 3:
            (chosen,) = (passing or view.messages)[-1:]
            return Settle(how="chosen", messages=(chosen.id,), why=Why(because="it passes" if passing else "the last"))
        model = "abc"[len(view.said)]
        coder = AgentSpec(role="AlgorithmDesigner", model=model)
        reads = tuple(s.id for s in view.messages) if model == "c" else ()
        return [Move(agent=coder, domain="Code", index=len(view.said), reads=reads, check=True)]


@pytest.mark.parametrize(
    ("texts", "asked", "answer"),
    [
        ({"a": GOOD}, "a", GOOD),
        ({"a": BAD, "b": GOOD}, "ab", GOOD),
        ({"a": BAD, "b": BAD, "c": "```python\nbad = 3\n```"}, "abc", "```python\nbad = 3\n```"),
    ],
)
def test_a_policy_asks_on_until_a_message_passes_the_shown_tests(texts, asked, answer):
    pool = scripted_pool(lambda request: texts[request.model], names="abc")
    means = {"tools": Tools(sandbox=JudgeByWord(), sandbox_charge_s=0.0)}
    episode = run(Careful, pool, SHOWN, runtime=means)
    assert [c.model for c in episode.calls()] == list(asked)
    assert (episode.answer, episode.text, episode.failure) == (answer, answer, None)
    assert [e.how for e in events(episode, Decided)] == ["chosen"]
    ran = [e for e in events(episode, ToolRan) if e.index == 0]
    assert [(e.tool, e.ok) for e in ran[:1]] == [("run_tests", texts["a"] == GOOD)]  # a role that runs none itself
    first, second, third = [*episode.calls(), None, None][:3]
    assert second is None or second.read == ()
    assert third is None or third.read == (first.message_id, second.message_id)
    assert (episode.plan, episode.policy) == (None, "careful")
    assert episode_from_json(episode_to_json(episode)) == episode


def test_the_policy_of_the_documentation_works_as_written():
    text = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
    written: dict[str, Any] = {}
    exec(text.partition("```python\n")[2].partition("```")[0], written)  # our own text
    pool = scripted_pool(lambda r: BAD if r.model == "gpt-4o-mini" else GOOD, names=("gpt-4o-mini", "gpt-4o"))
    episode = run(written["TwoIfNeeded"], pool, SHOWN, runtime={"tools": Tools(sandbox=JudgeByWord())})
    assert [c.model for c in episode.calls()] == ["gpt-4o-mini", "gpt-4o"]
    assert (episode.answer, episode.policy) == (GOOD, "two if needed")


def test_what_a_policy_sees_of_a_message():
    def answer(request):
        return ChatReply(
            text="It is 42.",
            model=request.model,
            prompt_tokens=7,
            completion_tokens=4,
            mean_logprob=-0.25 if request.logprobs else None,
            finish_reason="length",
        )

    pool = scripted_pool(answer, price_in=0.0, price_out=1e6, latency_s=2.0)
    strict = AgentSpec(role=ONCE, model="b", strategy="Flash")
    move = Move(agent=strict, domain="Math", index=0, logprobs=True)
    _, policy = play(lambda view: [move], pool=pool, budget=Budget(usd=5000.0, tokens=100, seconds=60))
    before, after = policy.seen
    (said,) = after.said
    assert (said.move, said.text, said.model, said.strategy) == (move, "It is 42.", "b", "Flash")
    assert (said.mean_logprob, said.cut, said.latency_s) == (-0.25, True, 2.0)
    assert (said.usage.calls, said.usage.completion_tokens, said.usage.cost_usd) == (1, 4, 4.0)
    assert after.answer(said) == "It is 42."
    assert (before.spent.calls, after.spent.cost_usd) == (0, 4.0)
    assert after.remaining == Budget(usd=4996.0, tokens=89, seconds=58)
    assert (after.now - after.started, after.deadline - after.started) == (2.0, 60)
    assert set(after.telemetry) == {"a", "b"}


def test_a_cost_that_nobody_knows_is_seen_as_unknown():
    _, policy = play(lambda view: [ask(0)])
    assert policy.seen[-1].said[0].usage.cost_usd is None
    assert policy.seen[-1].spent.cost_usd is None


# Time ----------------------------------------------------------------------------------------------------------


def test_moves_start_at_once_and_the_policy_is_asked_whenever_one_has_ended():
    episode, policy = play(
        lambda view: [ask(0), ask(1)],
        lambda view: [ask(2)],  # after 1 s, beside agent 1
        lambda view: [],  # after 2 s: wait for agent 1
        pool=timed(1, 5, 1),
    )
    assert [(v.now, len(v.said), [m.index for m in v.under_way]) for v in policy.seen] == [
        (0, 0, []),
        (1, 1, [1]),
        (2, 2, [1]),
        (5, 3, []),
    ]
    assert {e.index: e.t for e in events(episode, StepBound)} == {0: 0, 1: 0, 2: 1}
    assert episode.latency_s == 5


def test_a_policy_may_take_its_time_while_moves_go_on():
    class Slow(Steps):
        async def next(self, view):
            wanted = await super().next(view)
            await anyio.sleep(3)
            return wanted

    policy = Slow(lambda view: [ask(0), ask(1)], lambda view: [])  # agent 1 ends while it thinks after agent 0
    episode = run(lambda: policy, timed(1, 2))
    assert [(v.now, len(v.said)) for v in policy.seen] == [(0, 0), (4, 1), (7, 2)]
    assert (episode.answer, episode.latency_s) == ("42", 10)


def test_moves_that_end_together_are_seen_together():
    _, policy = play(lambda view: [ask(0), ask(1), ask(2)], pool=timed(1, 1, 1))
    assert [len(v.said) for v in policy.seen] == [0, 3]


def test_settling_calls_off_what_is_under_way_and_pays_for_it():
    pool = timed(1, 60)
    episode, _ = play(lambda view: [ask(0), ask(1)], pool=pool)
    assert (episode.latency_s, episode.answer, episode.failure, episode.failures) == (1, "42", None, ())
    (cut,) = events(episode, CallFailed)
    assert (cut.index, cut.failure.kind, cut.latency_s) == (1, "called_off", 1)
    assert cut.usage.uncertain_usd > 0  # it may all the same have been generated
    assert episode.cost_usd > sum(c.usage.cost_usd for c in episode.calls())


def test_the_level_of_a_move_is_one_more_than_of_what_it_reads():
    episode, _ = play(
        lambda view: [ask(0), ask(1)],
        lambda view: [ask(2, reads=(view.said[0].id,))],
        lambda view: [ask(3, reads=(view.said[0].id, view.said[2].id), wave=9)],
        latency_s=1.0,
    )
    assert [e.wave for e in events(episode, StepBound)] == [0, 0, 1, 9]


# Moves ---------------------------------------------------------------------------------------------------------


def test_a_message_is_named_by_item_index_round_kind_and_policy():
    def ids(name="steps", index=0, round=0, kind="agent", item="q/1", seed=0):
        move = ask(index, round=round, kind=kind, role="Plain" if kind == "decider" else ONCE)
        episode = run(
            lambda: Steps(lambda view: [move], name=name), None, replace(ASK, id=item), identity=RunIdentity(seed=seed)
        )
        return next(episode.calls()).message_id

    others = [{"name": "x"}, {"index": 1}, {"round": 1}, {"kind": "decider"}, {"item": "q/2"}, {"seed": 1}]
    assert ids() == ids()
    assert len({ids(), *(ids(**other) for other in others)}) == 7
    # The draw itself leaves the policy out, so that policies are compared on common random numbers.
    assert ids().partition("-")[0] == ids(name="x").partition("-")[0]


def test_a_move_reads_and_continues_as_it_says():
    pool = scripted_pool(lambda r: f"says {context_of(r).index}.{context_of(r).round}")
    play(
        lambda view: [ask(0), ask(1)],
        lambda view: [ask(0, round=1, reads=(view.said[1].id,), own=view.said[0].id, instruction="debate")],
        pool=pool,
    )
    last = pool.model.requests[-1].messages[-1].text
    assert "Agent 2 (Once)" in last
    assert "says 1.0" in last
    assert "says 0.0" in last


def test_a_decider_answers_in_the_final_role():
    episode, policy = play(
        lambda view: [ask(0), ask(1)],
        lambda view: [ask(2, kind="decider", role="Plain", reads=tuple(s.id for s in view.said))],
        pool=scripted_pool(script({0: "x", 1: "y", 2: "z"})),
    )
    assert [c.call for c in episode.calls()] == ["agent", "agent", "decider"]
    assert (policy.seen[-1].messages[-1].text, episode.answer) == ("z", "z")
    assert episode.lanes == ("1 Once", "2 Once", "decider")


def test_a_role_revises_only_where_the_move_says_so():
    for revises, calls in ((False, ["agent"]), (True, ["agent", "revise"])):
        episode, policy = play(lambda view, r=revises: [ask(0, role=TWICE, revises=r)])
        assert [c.call for c in episode.calls()] == calls
        assert policy.seen[-1].said[0].usage.calls == len(calls)


def test_a_model_may_be_chosen_just_before_the_call():
    async def bind(move, view):
        return Binding(model="b", priority=2, log_prob=-1.0)

    episode, _ = play(lambda view: [ask(0, model=None, bind=bind)])
    assert [(e.model, e.priority, e.log_prob) for e in events(episode, StepBound)] == [("b", 2, -1.0)]


def test_a_failed_move_is_an_observation():
    episode, policy = play(
        lambda view: [ask(0)],
        lambda view: [ask(1, model="b")],
        pool=scripted_pool(script(agent0=ServerFault("down"))),
    )
    (failed,) = policy.seen[1].said
    assert (failed.text, failed.failure.kind, failed.failure.reason) == (None, "server_fault", "down")
    assert (policy.seen[1].messages, policy.seen[1].answer(failed)) == ((), None)
    assert [e.failure.kind for e in events(episode, StepFailed)] == ["server_fault"]
    assert (episode.answer, episode.failure) == ("42", None)


# Reasons -------------------------------------------------------------------------------------------------------

WHY = Why(
    because="cheap and probably right",
    beliefs=(Belief(answer="42", probability=0.75),),
    options=(
        Option(action="ask b", right=0.9, usd=0.001, seconds=2.0, utility=0.8),
        Option(action="settle", right=0.75, utility=0.75),
    ),
)


def test_reasons_stand_in_the_trace_before_what_they_led_to():
    episode, _ = play(
        lambda view: [ask(0), ask(1, why=WHY)],
        lambda view: Settle(how="chosen", messages=(view.said[1].id,), why=replace(WHY, because="enough")),
        latency_s=1.0,
    )
    told = [e for e in episode.events if isinstance(e, Considered | StepBound | Decided)]
    assert [(type(e).__name__, getattr(e, "index", None)) for e in told] == [
        ("StepBound", 0),
        ("Considered", 1),
        ("StepBound", 1),
        ("Considered", None),
        ("Decided", None),
    ]
    assert (told[1].why, told[3].why.because) == (WHY, "enough")
    assert episode_from_json(episode_to_json(episode)) == episode


# Settling ------------------------------------------------------------------------------------------------------


def test_a_vote_is_among_the_messages_that_are_named():
    pool = scripted_pool(script({0: "x", 1: "x", 2: "y", 3: "y", 4: "y"}))
    every = [ask(i) for i in range(5)]

    def settle(*which, how="vote"):
        return play(
            lambda view: every, lambda view: Settle(how=how, messages=tuple(view.said[i].id for i in which)), pool=pool
        )[0]

    assert settle(0, 1, 2, 3, 4).answer == "y"
    assert settle(0, 1, 2).answer == "x"
    assert settle(0, 3, how="chosen").answer == "y"
    assert settle(4, 1, how="last").answer == "x"


def test_settling_on_nothing_or_on_a_failed_move_is_a_failure():
    episode, _ = play(lambda view: Settle(how="chosen"))
    assert (episode.answer, episode.failure.kind) == (None, "no_answer")
    pool = scripted_pool(script(agent0=ServerFault("down")))
    episode, _ = play(lambda view: [ask(0)], lambda view: Settle(how="chosen", messages=(view.said[0].id,)), pool=pool)
    assert (episode.answer, episode.failure.kind) == (None, "server_fault")


# Limits --------------------------------------------------------------------------------------------------------


def test_after_its_budget_a_policy_sees_why_and_settles():
    episode, policy = play(lambda view: [ask(0)], lambda view: [ask(1)], latency_s=1.0, budget=Budget(tokens=1))
    assert [v.over for v in policy.seen] == [None, None, "tokens"]
    assert [(s.failure and s.failure.kind) for s in policy.seen[-1].said] == [None, "limit"]
    assert [(e.why, e.t) for e in events(episode, Stopped)] == [("tokens", 1)]
    assert (episode.answer, episode.failure, episode.usage.calls) == ("42", None, 1)


def test_a_move_whose_worst_case_does_not_fit_the_budget_is_not_made():
    pool = scripted_pool(script(), price_in=0.0, price_out=1e6 / 1024)  # at most a dollar a call
    episode, policy = play(lambda view: [ask(0)], pool=pool, budget=Budget(usd=0.5))
    assert (pool.model.calls, policy.seen[-1].over, episode.failure.kind) == (0, "usd", "limit")
    assert "the next call to a could cost 1.0" in episode.failure.reason


def test_out_of_time_a_policy_is_asked_once_more_how_to_settle():
    def first(view):
        return Settle(how="chosen", messages=(view.messages[0].id,))

    episode, policy = play(
        lambda view: [ask(0), ask(1)], lambda view: [], first, pool=timed(1, 60), budget=Budget(seconds=5)
    )
    assert [v.over for v in policy.seen] == [None, None, "seconds"]
    assert [len(v.under_way) for v in policy.seen] == [0, 1, 0]
    assert (episode.answer, episode.latency_s) == ("42", 5)
    assert [(e.why, e.t) for e in events(episode, Stopped)] == [("seconds", 5)]
    assert [e.failure.kind for e in events(episode, CallFailed)] == ["limit"]


def test_out_of_time_the_majority_answers_for_a_policy_that_goes_on():
    async def answer(request):
        index = context_of(request).index
        await anyio.sleep(60 if index == 3 else 1)
        return "xyy"[index]

    episode, _ = play(
        lambda view: [ask(i) for i in range(4)],
        lambda view: [],
        lambda view: [ask(9)],
        pool=scripted_pool(answer),
        budget=Budget(seconds=5),
    )
    assert (episode.answer, events(episode, Decided)[0].how) == ("y", "vote")


# What no policy may do -----------------------------------------------------------------------------------------

NONSENSE = {
    "no move, nothing under way": ([lambda view: []], "makes no move while none is under way"),
    "unknown message": ([lambda view: [ask(0, reads=("m9",))]], "message 'm9', which there is not"),
    "unknown choice": ([lambda view: Settle(how="chosen", messages=("m9",))], "message 'm9', which there is not"),
    "same move twice": ([lambda view: [ask(0), ask(0, model="b")]], "two agent moves of index 0 in round 0"),
    "no model": ([lambda view: [ask(0, model=None)]], "leaves the model of role Once open"),
    "unknown model": ([lambda view: [ask(0, model="z")]], "unknown model 'z'"),
    "unknown role": ([lambda view: [ask(0, role="Wizard")]], "'Wizard'"),
    "unknown strategy": (
        [lambda view: [Move(agent=AgentSpec(role=ONCE, model="a", strategy="Guess"), domain="Math", index=0)]],
        "unknown strategy 'Guess'",
    ),
    "no moves at all": ([lambda view: ["ask everybody"]], "'ask everybody'"),
    "never settles": ([lambda view: [ask(view.spent.calls)]] * 10_001, "10,000 moves"),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_policy_that_makes_no_sense_is_named_in_one_line(what, monkeypatch):
    monkeypatch.setattr("mar.runtime.engine.MOST_MOVES", 20)
    steps, said = NONSENSE[what]
    with pytest.raises(ConfigError) as refused:
        play(*steps)
    assert said.replace("10,000", "20") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_reading_a_move_that_said_nothing_is_refused():
    with pytest.raises(ConfigError, match="which says nothing"):
        play(
            lambda view: [ask(0)],
            lambda view: [ask(1, reads=(view.said[0].id,))],
            pool=scripted_pool(script(agent0=ServerFault("down"))),
        )


def test_the_error_of_a_policy_is_raised_itself_and_ends_what_is_under_way():
    class Broken(Exception):
        pass

    def breaks(view):
        raise Broken(len(view.under_way))

    with pytest.raises(Broken) as raised:
        play(lambda view: [ask(0), ask(1)], breaks, pool=timed(1, math.inf))
    assert raised.value.args == (1,)


def test_a_pool_of_first_answers_is_asked_for_no_other():
    pool = replay_pool({RecordingKey(item=ASK.id, model="a"): Recording(text="42")})
    episode, _ = play(lambda view: [ask(0)], pool=pool)
    assert episode.answer == "42"
    with pytest.raises(ConfigError, match="first answers are known"):
        play(lambda view: [ask(0)], lambda view: [ask(1, reads=(view.said[0].id,))], pool=pool)
    single = replay_pool({RecordingKey(item=ASK.id, model="a"): Recording(text="42")}, reach="single")
    with pytest.raises(ConfigError, match="only scores are known"):
        play(lambda view: [ask(0), ask(1)], pool=single)


def test_the_start_says_who_decides():
    episode, _ = play(lambda view: [ask(0)])
    (started,) = events(episode, EpisodeStarted)
    assert (started.plan, started.policy, started.call_bound, started.stage_bound) == (None, "steps", None, None)
    assert [e.message_id for e in events(episode, CallAnswered)]
