"""Events: written as JSONL, read back equal, and the source of all figures."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mar import clock
from mar.errors import DataError
from mar.runtime.trace import Recorder, episode_from_json, episode_to_json, read_episodes, write_episodes
from mar.types import (
    AnyEvent,
    CallAnswered,
    CallFailed,
    Decided,
    Episode,
    EpisodeStarted,
    Failure,
    Plan,
    StepFailed,
    StepFinished,
    Stopped,
    ToolRan,
    Usage,
)
from tests.runtime.episodes import TWICE, plan_of, run

TEXTS = st.text(st.characters(categories=None), max_size=20)  # lone surrogates, which models do send, included
NUMBERS = st.floats(allow_nan=False)
st.register_type_strategy(str, TEXTS)
st.register_type_strategy(float, NUMBERS)
PLANS = st.builds(plan_of, st.sampled_from(["IO", "Debate"]), st.integers(1, 3), strategy=st.none() | st.just("Flash"))


def event_of(kind: type) -> st.SearchStrategy[AnyEvent]:
    return st.builds(kind, plan=PLANS) if kind is EpisodeStarted else st.builds(kind)


EPISODES = st.builds(
    Episode,
    query_id=TEXTS,
    plan=st.none() | PLANS,
    policy=TEXTS,
    events=st.lists(st.sampled_from(get_args(AnyEvent)).flatmap(event_of), max_size=6).map(tuple),
    latency_s=NUMBERS,
    failure=st.none() | st.builds(Failure),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EPISODES, max_size=2))
def test_episodes_are_read_back_as_they_were_written(episodes):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "episodes.jsonl"
        write_episodes(path, episodes)
        assert list(read_episodes(path)) == episodes
        assert len(path.read_bytes().splitlines()) == len(episodes)


def test_a_real_episode_is_read_back_with_all_its_figures():
    episode = run(plan_of("Debate", [TWICE] * 2), latency_s=0.1)
    again = episode_from_json(json.loads(json.dumps(episode_to_json(episode))))
    assert again == episode
    assert (again.usage, again.answer, again.failures) == (episode.usage, episode.answer, episode.failures)


def test_writing_again_replaces(tmp_path):
    path = tmp_path / "episodes.jsonl"
    episode = run(plan_of("IO", 1))
    write_episodes(path, [episode])
    write_episodes(path, [episode])
    assert list(read_episodes(path)) == [episode]


WHOLE = episode_to_json(run(plan_of("IO", 1)))


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        "3",
        json.dumps(WHOLE)[:-20],  # cut off while it was written
        json.dumps(WHOLE | {"events": [{"event": "Dance", "t": 0.0}]}),
        json.dumps(WHOLE | {"events": [{"event": "Decided", "t": "soon"}]}),
        json.dumps(WHOLE | {"failure": {"kind": "bad luck", "reason": "x"}}),
        json.dumps(WHOLE | {"plan": WHOLE["plan"] | {"domain": 3}}),
        json.dumps(WHOLE | {"plan": WHOLE["plan"] | {"agents": []}}),
    ],
)
def test_a_line_that_is_no_episode_is_named(tmp_path, line):
    path = tmp_path / "episodes.jsonl"
    path.write_text(json.dumps(WHOLE) + "\n" + line + "\n", encoding="utf-8")
    read = read_episodes(path)
    assert next(read) == episode_from_json(WHOLE)
    with pytest.raises(DataError, match=r"episodes\.jsonl, line 2: "):
        next(read)


# Order ---------------------------------------------------------------------------------------------------------


def finished(t, index, round=0):
    return StepFinished(t=t, index=index, round=round, message_id=f"{index}", text="")


@given(st.permutations([finished(1.0, 0), finished(1.0, 1), finished(0.5, 2), finished(1.0, 0, round=1)]))
def test_events_of_one_instant_stand_by_round_and_agent_whatever_order_they_came_in(shuffled):
    async def main():
        recorder = Recorder()
        recorder.add(Decided(t=1.0, text="", answer="", how="vote"))
        recorder.add(Stopped(t=1.0, why="usd", round=0))
        for event in shuffled:
            recorder.add(event)
        return recorder.events()

    stopped, decided = Stopped(t=1.0, why="usd", round=0), Decided(t=1.0, text="", answer="", how="vote")
    assert clock.run(main, virtual=True) == (
        *(finished(0.5, 2), finished(1.0, 0), finished(1.0, 1), stopped),
        *(finished(1.0, 0, round=1), decided),
    )


# Figures -------------------------------------------------------------------------------------------------------


def answered(cost):
    return CallAnswered(
        t=0.0,
        index=0,
        round=0,
        call="agent",
        model="a",
        message_id="m",
        prompt=(),
        text="",
        reasoning="",
        usage=Usage(calls=1, prompt_tokens=3, completion_tokens=4, cost_usd=cost),
        latency_s=0.0,
        ttft_s=None,
        mean_logprob=None,
        attempts=1,
        cached=False,
        read=(),
    )


def episode_with(*events, failure=None):
    return Episode(query_id="q", plan=plan_of(), events=events, latency_s=0.0, failure=failure)


def test_usage_and_cost_are_the_sums_over_answered_calls():
    episode = episode_with(answered(0.25), answered(0.5))
    assert episode.usage == Usage(calls=2, prompt_tokens=6, completion_tokens=8, cost_usd=0.75)
    assert episode_with().cost_usd == 0.0


def test_one_unknown_price_makes_the_cost_unknown_and_leaves_the_tokens():
    episode = episode_with(answered(0.25), answered(None))
    assert episode.cost_usd is None
    assert episode.usage.prompt_tokens == 6


def test_failures_are_those_of_calls_and_tools_and_of_the_episode_each_once():
    one, two, three = (Failure(kind="timeout", reason=r) for r in "abc")
    episode = episode_with(
        CallFailed(t=0.0, index=0, round=0, call="agent", model="a", failure=one, latency_s=math.inf),
        StepFailed(t=0.0, index=0, round=0, failure=one),  # the same failure, seen from the agent
        ToolRan(t=0.0, index=1, round=0, tool="lookup", summary="", ok=False, failure=two),
        failure=three,
    )
    assert episode.failures == (one, two, three)


def test_the_answer_is_the_decided_one():
    assert episode_with().answer is None
    assert episode_with(Decided(t=0.0, text="It is x", answer="x", how="last")).answer == "x"


def test_every_event_states_when_it_happened_and_a_plan_survives_json():
    assert all("t" in {f.name for f in dataclasses.fields(e)} for e in get_args(AnyEvent))
    plan = plan_of("Tree", 3, strategy="Flash", tie_break="logprob", decider="b")
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
