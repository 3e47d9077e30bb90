"""Communication graphs and the formulas for their calls and stages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mar.errors import ConfigError
from mar.runtime.modes import (
    MODES,
    PUBLISHED_MODES,
    Bound,
    Mode,
    beyond_reach,
    decision_of,
    get_mode,
    has_decider,
    known_mode,
    plan_bound,
)
from mar.types import ModeSpec
from tests.runtime.episodes import plan_of

SPECS = st.builds(
    ModeSpec,
    name=st.sampled_from(sorted(MODES)),
    rounds=st.none() | st.integers(1, 4),
    width=st.none() | st.integers(1, 5),
    seed=st.integers(0, 10_000),
)
SIZES = st.integers(1, 8)


def reads(name, agents, **spec):
    graph = get_mode(ModeSpec(name=name)).graph(agents, ModeSpec(name=name, **spec))
    return [list(map(list, r.reads_now)) for r in graph]


def test_the_modes_are_the_published_six_and_six_more():
    assert set(MODES) - set(PUBLISHED_MODES) == {"Star", "Tree", "Layered", "Random", "MoA", "Vote"}
    assert PUBLISHED_MODES == ("IO", "CoT", "Chain", "FullConnected", "Debate", "Reflection")


@given(spec=SPECS, agents=SIZES)
def test_graphs_are_acyclic_and_every_agent_takes_part_in_every_round(spec, agents):
    graph = get_mode(spec).graph(agents, spec)
    assert len(graph) == get_mode(spec).n_rounds(spec) >= 1
    for r in graph:
        assert len(r.reads_now) == len(r.reads_before) == agents
        for i, sources in enumerate(r.reads_now):
            assert list(sources) == sorted(set(sources))
            assert all(0 <= j < i for j in sources)  # only from lower to higher index, so no cycle
        for sources in r.reads_before:
            assert list(sources) == sorted(set(sources))
            assert all(0 <= j < agents for j in sources)
    assert not any(graph[0].reads_before)  # there is no round before the first


@given(spec=SPECS, agents=SIZES)
def test_waves_are_one_more_than_the_latest_wave_read(spec, agents):
    for r in get_mode(spec).graph(agents, spec):
        waves = r.waves()
        assert all(
            waves[i] == 1 + max((waves[j] for j in sources), default=-1) for i, sources in enumerate(r.reads_now)
        )


def longest_path(spec, weights):
    """Stages by walking the graph: an agent begins when the round before is over and those it reads have spoken."""
    over = 0
    for r in get_mode(spec).graph(len(weights), spec):
        finish = []
        for i, sources in enumerate(r.reads_now):
            finish.append(weights[i] + max([over, *(finish[j] for j in sources)]))
        over = max(finish)
    return over


@given(spec=SPECS, revises=st.lists(st.booleans(), min_size=1, max_size=8), decision=st.sampled_from(["final", "last"]))
def test_the_closed_formulas_agree_with_the_longest_path(spec, revises, decision):
    plan = plan_of(spec, len(revises), decision=decision)
    mode = get_mode(spec)
    weights = [1 + (r and mode.revises) for r in revises]
    decider = int(len(revises) > 1 and decision == "final" and spec.name != "Vote")
    rounds = mode.n_rounds(spec)
    expected = Bound(calls=rounds * sum(weights) + decider, stages=longest_path(spec, weights) + decider)
    assert plan_bound(plan, revises) == expected


@pytest.mark.parametrize(
    ("mode", "calls", "stages"),
    # N = 4 agents with w = 1, 2, 1, 2: P = sum(w - 1) = 2, max(w) = 2, sum(w) = 6
    [
        ("IO", 4 + 2 + 1, 2 + 1),  # N + P + 1 calls in max(w) + 1 stages
        ("CoT", 7, 3),
        ("Chain", 7, 6 + 1),  # sum(w) + 1 stages
        ("FullConnected", 7, 7),
        ("Debate", 2 * (4 + 2) + 1, 2 * 2 + 1),  # 2 (N + P) + 1 calls in 2 max(w) + 1 stages
        ("Reflection", 2 * 4 + 1, 3),  # 2 N + 1 calls in 3 stages
        ("Vote", 6, 2),  # as IO, without a final call
        ("MoA", 13, 5),  # as Debate: two layers and an aggregator
        ("Star", 7, 2 + 2 + 1),  # the heaviest leaf (2), the hub (2), the decider
        ("Tree", 7, 4 + 1),  # 3 reads 1 and 2, 2 reads 0: the path 0-2-3 weighs 1+1+2 and 1-3 weighs 2+2
        ("Layered", 7, 2 + 2 + 1),  # layers {0, 1} and {2, 3}
    ],
)
def test_calls_and_stages_of_each_mode_as_derived_by_hand(mode, calls, stages):
    assert plan_bound(plan_of(mode, 4), [False, True, False, True]) == Bound(calls=calls, stages=stages)


def test_named_graphs_look_as_their_names_say():
    assert reads("Chain", 3) == [[[], [0], [1]]]
    assert reads("FullConnected", 3) == [[[], [0], [0, 1]]]
    assert reads("Star", 4) == [[[], [], [], [0, 1, 2]]]
    assert reads("Layered", 5, width=2) == [[[], [], [0, 1], [0, 1], [2, 3]]]
    # Two children each, numbered from the end: 6 -> 5, 4; 5 -> 3, 2; 4 -> 1, 0.
    assert reads("Tree", 7, width=2) == [[[], [], [], [], [0, 1], [2, 3], [4, 5]]]
    assert reads("Tree", 4, width=1) == reads("Chain", 4)
    assert reads("Tree", 4, width=3) == reads("Star", 4)


def test_debate_and_moa_read_everybody_of_the_round_before_and_reflection_only_itself():
    def before(name):
        return [list(r.reads_before) for r in get_mode(ModeSpec(name=name)).graph(3, ModeSpec(name=name))]

    assert before("Debate") == before("MoA") == [[(), (), ()], [(0, 1, 2)] * 3]
    assert before("Reflection") == [[(), (), ()], [(0,), (1,), (2,)]]


def test_a_random_graph_depends_on_its_seed_alone_and_leaves_nobody_without_a_predecessor():
    graphs = [reads("Random", 6, seed=s)[0] for s in range(20)]
    assert graphs == [reads("Random", 6, seed=s)[0] for s in range(20)]
    assert len({str(g) for g in graphs}) > 10
    assert all(g[0] == [] and all(g[1:]) for g in graphs)


def test_a_mode_that_votes_makes_no_final_call_unless_a_plan_asks_for_the_last_word():
    assert decision_of(plan_of("Vote")) == "vote"
    assert decision_of(plan_of("Vote", decision="last")) == "last"
    assert [has_decider(plan_of(m)) for m in ("Vote", "IO")] == [False, True]
    assert not has_decider(plan_of("IO", 1))


def test_an_unknown_mode_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match=r"^unknown mode 'Parliament'; there are: IO, CoT, Vote, Chain, [^\n]*$"):
        get_mode(ModeSpec(name="Parliament"))


@pytest.mark.parametrize("field", ["rounds", "width"])
def test_a_parameter_below_one_is_refused(field):
    with pytest.raises(ConfigError, match=f"mode Tree: {field} is 0; at least 1"):
        get_mode(ModeSpec(name="Tree", **{field: 0}))


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (plan_of("IO", 1), None),
        (plan_of("Chain", 1), None),
        (plan_of("Vote", 3), None),
        (plan_of("CoT", 3, decision="vote"), None),
        (plan_of("IO", 3, decision="last"), None),
        (plan_of("IO", 3), "a decider"),
        (plan_of("Chain", 2, decision="last"), "read each other"),
        (plan_of("Star", 3, decision="vote"), "read each other"),
        (plan_of("Debate", 1), "2 rounds"),
        (plan_of("Reflection", 1), "2 rounds"),
    ],
    ids=str,
)
def test_a_pool_of_first_answers_reaches_plans_in_which_nobody_reads_anything(plan, why):
    found = beyond_reach(plan, "alone")
    assert (found is None) if why is None else (found is not None and why in found)
    assert beyond_reach(plan, "anything") is None


def test_a_pool_of_scores_reaches_a_single_agent():
    assert beyond_reach(plan_of("IO", 1), "single") is None
    assert "2 agents" in (beyond_reach(plan_of("Vote", 2), "single") or "")


def test_a_mode_of_ones_own_is_known_by_name_and_its_stages_follow_from_its_graph(registries):
    # 2 reads 0, 3 reads 1 and 2: with w = 1, 2, 1, 2 the path 0-2-3 weighs 4 and 1-3 as well.
    graph = ((), (), (0,), (1, 2))
    MODES.register("Own", Mode(name="Own", reads=lambda n, _: graph[:n]))
    assert plan_bound(plan_of("Own", 4), [False, True, False, True]) == Bound(calls=7, stages=5)
    assert get_mode(ModeSpec(name="Own")).graph(3, ModeSpec(name="Own"))[0].reads_now == graph[:3]


@pytest.mark.parametrize("graph", [((), ()), ((1,), (), ()), ((), (), (1, 0)), ((), (1,), ())])
def test_what_is_no_graph_is_refused_when_it_is_used(registries, graph):
    MODES.register("Own", Mode(name="Own", reads=lambda n, _: graph))
    with pytest.raises(ConfigError, match=r"mode Own: for 3 agents it gives .*; expected for each the agents before"):
        get_mode(ModeSpec(name="Own")).graph(3, ModeSpec(name="Own"))


def test_a_mode_that_a_person_names_by_its_place_is_known_by_its_own_name(registries, tmp_path):
    (tmp_path / "ring_mode.py").write_text(
        "from mar.runtime import Mode\nRING = Mode(name='Ring', reads=lambda n, _: ((),) * n)\n"
    )
    with pytest.raises(ConfigError, match="unknown mode 'Ring'"):
        get_mode(ModeSpec(name="Ring"))
    assert known_mode(f"{tmp_path}/ring_mode.py:RING") == "Ring"
    assert get_mode(ModeSpec(name="Ring")).name == "Ring"
