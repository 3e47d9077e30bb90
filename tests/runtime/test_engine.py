"""The engine: what a plan's run takes, who runs when, what ends it, and what is left in the trace."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from functools import partial

import anyio
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar import clock
from mar.concurrency import gather
from mar.errors import BadReply, CallTimeout, Charge, ConfigError, ServerFault
from mar.pool import Pool, RecordingKey, replay_pool, scripted_pool
from mar.pool import Recording as Recorded
from mar.pool.simulated import EMPTY_WORLD, SimItem, World, simulated_pool
from mar.runtime import MODES, PlanPolicy, RunIdentity, Runtime, Tools, episode_from_json, episode_to_json
from mar.tasks.scoring.formats import Number
from mar.types import (
    AgentSpec,
    Binding,
    Budget,
    CallAnswered,
    CallFailed,
    ChatReply,
    Decided,
    EpisodeStarted,
    ModeSpec,
    PlainText,
    Query,
    ShownTests,
    StepBound,
    StepFailed,
    Stopped,
)
from tests.runtime.episodes import (
    ASK,
    FREE_TOOLS,
    ONCE,
    PROMPTS,
    TWICE,
    JudgeByWord,
    context_of,
    costing,
    events,
    plan_of,
    run,
    script,
)


class Unreadable(PlainText):
    """A format in which nothing can be read."""

    def extract(self, text):
        return None


# Calls and stages ----------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(
    spec=st.builds(
        ModeSpec,
        name=st.sampled_from(sorted(MODES)),
        rounds=st.none() | st.integers(1, 3),
        width=st.none() | st.integers(1, 3),
        seed=st.integers(0, 99),
    ),
    roles=st.lists(st.sampled_from([ONCE, TWICE]), min_size=1, max_size=6),
)
def test_a_run_takes_exactly_the_calls_and_stages_computed_before(spec, roles):
    pool = scripted_pool(script(), latency_s=1.0)
    episode = run(plan_of(spec, roles), pool)
    (started,) = events(episode, EpisodeStarted)
    assert pool.model.calls == episode.usage.calls == started.call_bound
    assert episode.latency_s == started.stage_bound  # a second for every stage, nothing for tools


@pytest.mark.parametrize("mode", sorted(MODES))
def test_every_mode_runs_every_agent_and_settles_an_answer(mode):
    episode = run(plan_of(mode, [ONCE, TWICE, ONCE, TWICE]), latency_s=1.0)
    spoke = {e.index for e in events(episode, CallAnswered)}
    assert spoke == {0, 1, 2, 3} | ({4} if mode != "Vote" else set())
    assert (episode.answer, episode.failure) == ("42", None)


def test_independent_agents_run_at_once():
    # Five alone, then the decider: 2 s instead of 6.
    assert run(plan_of("IO", 5), latency_s=1.0).latency_s == 2


def test_an_agent_starts_as_soon_as_those_it_reads_are_done():
    """Tree of 4: agent 3 reads 1 and 2, agent 2 reads 0. A slow agent 1 does not hold up agent 2."""

    async def slow(request):
        await anyio.sleep(10 if context_of(request).index == 1 else 1)
        return "42"

    episode = run(plan_of("Tree", 4), slow)
    bound = {e.index: e.t for e in events(episode, StepBound)}
    assert bound == {0: 0, 1: 0, 2: 1, 3: 10, 4: 11}


def test_waves_number_the_topological_levels_over_all_rounds():
    episode = run(plan_of(ModeSpec(name="Star", rounds=2), 3))
    assert [(e.index, e.round, e.wave) for e in events(episode, StepBound)] == [
        *[(0, 0, 0), (1, 0, 0), (2, 0, 1)],
        *[(0, 1, 2), (1, 1, 2), (2, 1, 3)],
        (3, 1, 4),
    ]


def test_episodes_share_a_runtime_without_sharing_anything_else():
    pool = scripted_pool(lambda request: context_of(request).item, latency_s=1.0)

    async def main():
        runtime = Runtime(pool, prompts=PROMPTS, tools=FREE_TOOLS)
        queries = [replace(ASK, id=f"q/{i}") for i in range(20)]
        return await gather([partial(runtime.run, q, plan_of("Chain", 2)) for q in queries]), anyio.current_time()

    episodes, seconds = clock.run(main, virtual=True)
    assert [e.answer for e in episodes] == [f"q/{i}" for i in range(20)]
    assert seconds == 3


# Models chosen just before a call ------------------------------------------------------------------------------


class Chooser:
    """Chooses model b with the strategy Flash for everything and remembers what it was asked."""

    def __init__(self, model="b"):
        self.model = model
        self.asked = []

    async def __call__(self, move, view):
        self.asked.append((move, view))
        return Binding(model=self.model, strategy="Flash", priority=3, log_prob=-0.5)


def late(plan, choose):
    return partial(PlanPolicy, plan, bind=choose, name="late")


def bound_chain():
    choose = Chooser()
    plan = plan_of("Chain", 2, models=[None])
    pool = scripted_pool(costing(1.0), latency_s=1.0)
    budget = Budget(usd=10, tokens=100, seconds=60)
    return run(late(plan, choose), pool, budget=budget), choose, pool


def test_models_are_chosen_just_before_each_agent_runs_the_decider_included():
    _, choose, _ = bound_chain()
    assert [(m.kind, m.index, m.round, m.agent.role) for m, _ in choose.asked] == [
        ("agent", 0, 0, ONCE),
        ("agent", 1, 0, ONCE),
        ("decider", 2, 0, "Plain"),
    ]
    # One call a second, each 1 USD and 15 tokens.
    assert [v.remaining for _, v in choose.asked] == [
        Budget(usd=10, tokens=100, seconds=60),
        Budget(usd=9, tokens=85, seconds=59),
        Budget(usd=8, tokens=70, seconds=58),
    ]
    assert [v.deadline - v.now for _, v in choose.asked] == [60, 59, 58]
    assert all(set(v.telemetry) == {"a", "b"} for _, v in choose.asked)


def test_what_is_chosen_is_what_runs_and_what_is_recorded():
    episode, _, pool = bound_chain()
    assert {(r.model, r.priority, context_of(r).strategy) for r in pool.model.requests} == {("b", 3, "Flash")}
    assert {r.max_tokens for r in pool.model.requests} == {PROMPTS.strategies["Flash"].max_tokens}
    assert {(e.model, e.strategy, e.priority, e.log_prob) for e in events(episode, StepBound)} == {
        ("b", "Flash", 3, -0.5)
    }
    assert episode.plan.agents[0] == AgentSpec(role=ONCE, model=None)  # the plan stays the intent
    assert episode.policy == "late"


def test_whoever_chooses_sees_the_load_of_that_moment():
    seen = []

    async def look(move, view):
        seen.append(view.telemetry["gpt-4o-mini"])
        return Binding(model="gpt-4o-mini")

    run(late(plan_of("Chain", 2, models=[None]), look), simulated_pool(EMPTY_WORLD))
    assert [t.e2e_s is None for t in seen] == [True, False, False]  # nothing is known before the first reply


def test_where_most_agents_agree_no_decider_is_paid_if_the_plan_says_so():
    query = replace(ASK, answer_format=Number())
    agreeing, split = script({0: "42", 1: "41", 2: "42"}), script({0: "42", 1: "41", 2: "40"})
    plan = plan_of("IO", 3, models="abc", decision="agreed", decider="c")
    episode = run(plan, scripted_pool(agreeing, "abc"), query)
    assert ([c.call for c in episode.calls()], episode.answer) == (["agent"] * 3, "42")
    assert events(episode, Decided)[0].how == "vote"
    episode = run(plan, scripted_pool(split, "abc"), query)
    assert [(c.call, c.model) for c in episode.calls()][3:] == [("decider", "c")]
    assert len(list(run(plan_of("IO", 3, decision="agreed"), agreeing).calls())) == 4  # free texts do not compare


def test_a_decider_whose_model_said_nothing_is_another_one():
    query = replace(ASK, answer_format=Number())
    answers = script({0: "42", 1: "41"}, agent2=ServerFault("down"))
    episode = run(plan_of("IO", 3, models="abc", decision="agreed", decider="c"), scripted_pool(answers, "abc"), query)
    assert [c.model for c in episode.calls() if c.call == "decider"] == ["a"]


def test_the_decider_runs_on_the_model_that_most_agents_ran_on():
    episode = run(plan_of("IO", 3, models="abb"))
    assert events(episode, StepBound)[-1].model == "b"
    episode = run(plan_of("IO", 2, models="ab"))
    assert events(episode, StepBound)[-1].model == "a"  # the first of several
    episode = run(plan_of("IO", 3, models="abb", decider="a"))
    assert events(episode, StepBound)[-1].model == "a"


# Budgets -------------------------------------------------------------------------------------------------------


def dollars(answer=None, **options):
    """A pool whose calls cost 1 USD at the most, and do unless `answer` says otherwise."""
    return scripted_pool(answer or costing(1.0), price_in=0.0, price_out=1e6 / 1024, **options)  # 1024 tokens at most


@pytest.mark.parametrize(
    ("budget", "why", "calls"),
    [
        (Budget(usd=2.5), "usd", 2),  # a third could take it to 3
        (Budget(usd=3.0), "usd", 3),
        (Budget(tokens=40), "tokens", 3),  # 15 tokens a call: after the third 45 >= 40
        (Budget(usd=2.5, tokens=1), "tokens", 1),
    ],
)
def test_a_spent_budget_stops_an_episode_with_what_it_has(budget, why, calls):
    episode = run(plan_of("Chain", 5), dollars(), budget=budget)
    assert episode.usage.calls == calls
    assert [(e.why, e.round) for e in events(episode, Stopped)] == [(why, 0)]
    assert (episode.answer, episode.failure) == ("42", None)


def test_a_budget_in_usd_is_never_overrun_by_calls_under_way_together():
    episode = run(plan_of("IO", 4), dollars(latency_s=1.0), budget=Budget(usd=2.9))
    assert (episode.usage.calls, episode.cost_usd) == (2, 2.0)  # a third beside them, or after them, could take it to 3
    assert events(episode, Decided)[0].how == "vote"


def test_a_revision_that_is_too_dear_leaves_the_draft():
    episode = run(plan_of("IO", [TWICE]), dollars(), budget=Budget(usd=1.0))
    assert [e.call for e in events(episode, CallAnswered)] == ["agent"]
    assert (episode.answer, events(episode, Decided)[0].how) == ("42", "single")


def test_a_call_of_unknown_cost_does_not_make_the_others_free():
    def answer(request):
        return costing(None, completion=None)(request) if context_of(request).index == 0 else costing(1.0)(request)

    episode = run(plan_of("Chain", 6), dollars(answer), budget=Budget(usd=3.0))
    assert episode.usage.calls == 3  # one unknown, which may have cost 1, then 1 + 1
    assert episode.cost_usd is None


def test_a_call_that_could_cost_more_than_the_budget_is_not_made_and_the_reason_says_so():
    episode = run(plan_of("IO", 1), dollars(), budget=Budget(usd=0.5))
    assert (episode.usage.calls, episode.answer, episode.failure.kind) == (0, None, "limit")
    assert "the episode may cost 0.5 USD; 0.000000 are spent, and the next call to a could cost 1.0" in str(
        episode.failure
    )
    unpriced = scripted_pool(script(), price_in=None, price_out=None)
    assert "has no known price" in run(plan_of("IO", 1), unpriced, budget=Budget(usd=0.5)).failure.reason


def test_what_failed_calls_cost_is_part_of_the_episodes_cost():
    def answer(request):
        if context_of(request).index == 0:  # an empty answer of 512 tokens, half a dollar
            raise BadReply("empty", charge=Charge(charged="yes", prompt_tokens=9, completion_tokens=512))
        if context_of(request).index == 1:
            raise CallTimeout("too late")  # a dollar at the most
        return costing(1.0)(request)

    episode = run(plan_of("IO", 3, decision="last"), dollars(answer))
    assert (episode.cost_usd, episode.usage.uncertain_usd) == (2.5, 1.0)
    assert [e.usage.cost_usd for e in events(episode, CallFailed)] == [0.5, 1.0]
    assert episode_from_json(episode_to_json(episode)) == episode


@pytest.mark.parametrize("virtual", [True, False])
def test_seconds_cut_off_the_call_under_way(virtual):
    async def third_is_endless(request):
        if context_of(request).index == 2:
            await anyio.sleep_forever()
        return str(context_of(request).index)

    episode = run(plan_of("Chain", 4, decision="last"), third_is_endless, virtual=virtual, budget=Budget(seconds=0.05))
    assert [e.index for e in events(episode, CallAnswered)] == [0, 1]
    assert [(e.index, e.failure.kind) for e in events(episode, CallFailed)] == [(2, "limit")]
    assert [e.why for e in events(episode, Stopped)] == ["seconds"]
    assert (episode.answer, events(episode, Decided)[0].how, episode.failure) == ("1", "last", None)
    if virtual:
        assert episode.latency_s == 0.05


@pytest.mark.parametrize("virtual", [True, False])
def test_seconds_cut_off_a_whole_wave_and_the_decider_too(virtual):
    async def decider_is_endless(request):
        if context_of(request).kind == "decider":
            await anyio.sleep_forever()
        return "42"

    episode = run(plan_of("IO", 3), decider_is_endless, virtual=virtual, budget=Budget(seconds=0.05))
    assert (episode.answer, len(events(episode, Decided))) == ("42", 1)

    async def endless(request):
        await anyio.sleep_forever()

    episode = run(plan_of("IO", 3), endless, virtual=virtual, budget=Budget(seconds=0.05))
    assert (episode.answer, episode.failure.kind) == (None, "limit")
    assert "seconds" in episode.failure.reason


@pytest.mark.parametrize("budget", [Budget(usd=0), Budget(tokens=0), Budget(seconds=0)])
def test_nothing_to_spend_is_a_failure_of_the_episode_without_a_call(budget):
    pool = scripted_pool(script(), latency_s=1.0)
    episode = run(plan_of("IO", 2), pool, budget=budget)
    assert (episode.usage.calls, episode.answer, episode.failure.kind) == (0, None, "limit")


def test_whoever_cancels_an_episode_from_outside_is_obeyed():
    async def main():
        runtime = Runtime(scripted_pool(script(), latency_s=10.0), prompts=PROMPTS, tools=FREE_TOOLS)
        with anyio.move_on_after(1) as scope:
            await runtime.run(ASK, plan_of("IO", 3), budget=Budget(seconds=5))
        return scope.cancelled_caught, anyio.current_time()

    assert clock.run(main, virtual=True) == (True, 1)


# Failures ------------------------------------------------------------------------------------------------------


def test_a_failing_agent_is_recorded_and_the_others_go_on():
    pool = scripted_pool(script({0: "x", 1: "y", 2: "z"}, agent1=ServerFault("down")))
    episode = run(plan_of("IO", 3), pool)
    assert [(e.index, e.failure.kind, e.failure.reason) for e in events(episode, StepFailed)] == [
        (1, "server_fault", "down")
    ]
    prompt = pool.model.requests[-1].messages[-1].text
    assert "Agent 1 (Once)" in prompt
    assert "Agent 2 (Once)" not in prompt
    assert (episode.answer, episode.failure) == ("42", None)
    assert {f.kind for f in episode.failures} == {"server_fault"}


def test_who_waits_for_a_failing_agent_goes_on_without_its_message():
    pool = scripted_pool(script({0: "x"}, agent1=BadReply("no")))
    episode = run(plan_of("Chain", 3), pool)
    (third,) = [r for r in pool.model.requests if context_of(r).index == 2]
    assert context_of(third).read == ()
    assert episode.answer == "42"


def test_an_agent_that_fails_in_a_later_round_is_represented_by_what_it_said_before():
    def answer(request):
        if context_of(request).round == 1 and context_of(request).index == 0:
            raise ServerFault("down")
        return f"{context_of(request).index}.{context_of(request).round}"

    pool = scripted_pool(answer)
    run(plan_of("Debate", 2), pool)
    prompt = pool.model.requests[-1].messages[-1].text
    assert "0.0" in prompt
    assert "1.1" in prompt


def test_a_failing_decider_fails_the_episode():
    episode = run(plan_of("IO", 3), script(decider=ServerFault("down")))
    assert episode.answer is None
    assert (episode.failure.kind, episode.failure.reason) == ("server_fault", "the decider failed: down")
    assert [e.index for e in events(episode, StepFailed)] == [3]


@pytest.mark.parametrize("mode", ["IO", "Chain", "Debate", "Vote"])
def test_when_all_agents_fail_there_is_no_answer_and_no_final_call(mode):
    def fail(request):
        raise ServerFault("down")

    episode = run(plan_of(mode, 3), fail)
    assert (episode.answer, episode.failure.kind, episode.usage.calls) == (None, "no_answer", 0)
    assert not [e for e in events(episode, CallFailed) if e.index == 3]


@pytest.mark.parametrize("fields", [{"mode": "IO"}, {"mode": "Vote"}, {"mode": "IO", "decision": "last"}])
def test_an_answer_that_cannot_be_read_is_recorded_as_such(fields):
    episode = run(plan_of(**fields), query=replace(ASK, answer_format=Unreadable()))
    assert (episode.answer, episode.text, episode.failure.kind) == (None, "42", "unreadable")


def test_an_error_that_is_nobodys_fault_outside_is_not_hidden():
    def broken(request):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(plan_of("IO", 3), broken)


@pytest.mark.parametrize("query", [Query(text="?", id="who/knows"), replace(ASK, answer_format=Unreadable())])
def test_a_query_that_a_simulated_pool_does_not_know_is_a_failure_that_says_so(query):
    episode = run(plan_of("IO", 1, models=["gpt-4o-mini"]), simulated_pool(EMPTY_WORLD), query)
    assert episode.failure.kind == "simulated"
    assert "simulated" in episode.text


# Decisions -----------------------------------------------------------------------------------------------------


def test_a_plan_of_one_agent_has_no_decider():
    episode = run(plan_of("FullConnected", 1))
    assert episode.usage.calls == 1
    assert events(episode, Decided)[0].how == "single"


def test_the_majority_wins_a_vote_and_no_final_call_is_made():
    episode = run(plan_of("Vote", 3), script({0: "x", 1: "y", 2: "Y"}))
    assert (episode.answer, episode.usage.calls, events(episode, Decided)[0].how) == ("y", 3, "vote")
    assert run(plan_of("IO", 3, decision="vote"), script({0: "x", 1: "y", 2: "Y"})).answer == "y"


@pytest.mark.parametrize(("tie_break", "answer"), [("first", "x"), ("logprob", "y")])
def test_a_tied_vote_is_broken_as_the_plan_says(tie_break, answer):
    def sure_second(request):
        logprob = (-0.1 if context_of(request).index else -0.9) if request.logprobs else None
        return ChatReply(text="xy"[context_of(request).index], model=request.model, mean_logprob=logprob)

    assert run(plan_of("Vote", 2, tie_break=tie_break), sure_second).answer == answer


def test_the_last_agents_word_is_the_answer_where_the_plan_says_so():
    episode = run(plan_of("IO", 3, decision="last"), script({0: "x", 1: "x", 2: "z"}))
    assert (episode.answer, events(episode, Decided)[0].how) == ("z", "last")


# What a plan may name ------------------------------------------------------------------------------------------

BAD = {
    "mode": (plan_of("Parliament"), "IO, CoT"),
    "role": (plan_of("IO", ["Wizard"]), "MathSolver"),
    "domain": (plan_of("IO", domain="Alchemy"), "Math"),
    "model": (plan_of("IO", models=["z"]), "a, b"),
    "decider": (plan_of("IO", decider="z"), "a, b"),
    "strategy": (plan_of("IO", strategy="Guess"), "Flash"),
    "open model": (plan_of("IO", models=[None]), "policy"),
    "rounds": (plan_of(ModeSpec(name="Debate", rounds=0)), "at least 1"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_a_plan_names_wrongly_is_refused_in_one_line_before_anything_runs(what):
    plan, listed = BAD[what]
    pool = scripted_pool(script())
    with pytest.raises(ConfigError) as refused:
        run(plan, pool)
    assert listed in str(refused.value)
    assert "\n" not in str(refused.value)
    assert pool.model.calls == 0


def test_an_answer_format_whose_final_role_is_unknown_is_refused_before_anything_runs():
    pool = scripted_pool(script())
    query = replace(ASK, answer_format=PlainText(final_role="Oracle"))
    with pytest.raises(ConfigError, match=r"'Oracle'; there are: .*Plain"):
        run(plan_of("IO", 2), pool, query)
    assert pool.model.calls == 0
    assert run(plan_of("IO", 1), pool, query).answer == "42"  # nobody needs it


def test_a_model_that_is_chosen_late_is_refused_too():
    with pytest.raises(ConfigError, match="unknown model 'z'"):
        run(late(plan_of("IO"), Chooser("z")))


def recorded_once(model="a"):
    """A pool of one recording."""
    return replay_pool({RecordingKey(item=ASK.id, model=model): Recorded(text="42")})


def test_a_plan_that_asks_more_than_was_recorded_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match="the pool cannot answer this plan: it has 2 rounds of mode Debate"):
        run(plan_of("Debate", 2), recorded_once())


def test_on_recordings_nobody_revises():
    episode = run(plan_of("IO", [TWICE]), recorded_once())
    assert (episode.answer, [c.call for c in episode.calls()]) == ("42", ["agent"])
    assert not [e for e in episode.events if isinstance(e, CallFailed)]
    assert Runtime(recorded_once(), prompts=PROMPTS).bound(plan_of("IO", [TWICE])).calls == 1


# Costs ---------------------------------------------------------------------------------------------------------


def test_figures_add_up_and_an_unknown_price_is_an_unknown_cost():
    pool = scripted_pool(script("one two three"), price_in=1.0, price_out=2.0)
    episode = run(plan_of("IO", 2), pool)
    words = sum(len(m.text.split()) for r in pool.model.requests for m in r.messages)
    assert (episode.usage.calls, episode.usage.prompt_tokens, episode.usage.completion_tokens) == (3, words, 9)
    assert episode.cost_usd == pytest.approx((words * 1 + 9 * 2) / 1e6)
    assert run(plan_of("IO", 2)).cost_usd is None


def test_the_bound_on_cost_fills_the_context_of_every_call():
    runtime = Runtime(scripted_pool(script(), price_in=1.0, price_out=2.0), prompts=PROMPTS)
    worst = ((8192 - 1024) * 1.0 + 1024 * 2.0) / 1e6  # the cards' defaults
    assert runtime.cost_bound(plan_of("Debate", [ONCE, TWICE])) == pytest.approx((2 * (1 + 2) + 1) * worst)
    assert runtime.cost_bound(plan_of("Vote", 3)) == pytest.approx(3 * worst)
    assert runtime.cost_bound(plan_of("Reflection", [TWICE])) == pytest.approx(2 * worst)
    unknown = Runtime(scripted_pool(script(), price_in=None, price_out=None), prompts=PROMPTS)
    assert unknown.cost_bound(plan_of("IO")) is None


# One log whatever the machine does -----------------------------------------------------------------------------


class Slowed(JudgeByWord):
    """Takes real time, a different one for each job."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    async def run_tests(self, job):
        await anyio.to_thread.run_sync(time.sleep, 2e-5 * self.factor * (1 + len(self.jobs) % 3))
        return await super().run_tests(job)


def logs(seed=0, factor=1, concurrency=None):
    """Event logs of episodes of every mode that all run at once on the simulated pool."""
    item = SimItem(
        domain="Code", benchmark="mbpp", difficulty=0.0, right=("good = 1",), wrong=("bad = 1", "bad = 2"), form="code"
    )
    queries = [Query(text="?", id=f"q/{i}", shown_tests=ShownTests(tests=("assert good",))) for i in range(3)]
    pool: Pool = simulated_pool(World.of((q.id, item) for q in queries))
    roles = ["ProgrammingExpert", "BugFixer", "PlanSolver", "AlgorithmDesigner"]
    models = list(pool.names)[:3]

    async def main():
        tools = Tools(sandbox=Slowed(factor))  # pyright: ignore[reportArgumentType]
        async with pool:
            runtime = Runtime(pool, tools=tools)
            jobs = [
                partial(
                    runtime.run, q, plan_of(m, roles, models=models, domain="Code"), identity=RunIdentity(seed=seed)
                )
                for q in queries
                for m in MODES
            ]
            return await gather(jobs, limit=concurrency)

    return clock.run(main, virtual=True)


@pytest.fixture(scope="module")
def first_logs():
    return logs()


def test_the_same_run_leaves_the_same_log(first_logs):
    assert logs() == first_logs
    assert logs(seed=1) != first_logs


def test_a_slower_sandbox_leaves_the_same_log(first_logs):
    assert logs(factor=10) == first_logs


def test_a_limit_on_concurrency_leaves_the_same_log_every_time():
    assert len({str(logs(concurrency=4)) for _ in range(3)}) == 1


def test_events_stand_in_the_order_of_time_from_the_start_to_the_decision(first_logs):
    for episode in first_logs:
        times = [e.t for e in episode.events]
        assert times == sorted(times)
        assert isinstance(episode.events[0], EpisodeStarted)
        assert isinstance(episode.events[-1], Decided)
        assert Counter(type(e) for e in episode.events)[Decided] == 1


def test_pass_through_only_ever_saves_calls(first_logs):
    for episode in first_logs:
        (started,) = events(episode, EpisodeStarted)
        assert episode.usage.calls <= started.call_bound
