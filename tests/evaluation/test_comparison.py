"""Controllers side by side: same items, same draws, and results of fixed plans kept only while they are true."""

from functools import partial
from pathlib import Path

import pytest

from mar import clock
from mar.controllers import Planned, PlanSpace
from mar.controllers.baselines import Constant, single
from mar.errors import ConfigError
from mar.evaluation.comparison import Comparison, code_fingerprint
from mar.learning.arrivals import Arrivals
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.pool.scripted import scripted_pool
from mar.pool.simulated import DEFAULT, SimItem, World, simulated_pool
from mar.runtime import Ledger, Runtime
from mar.tasks.mbpp import MbppItem, PythonFunction
from mar.tasks.task import Score
from mar.types import AgentSpec, ModeSpec, Move, Plan, Query, Settle

RIGHT, WRONG = "def f():\n    return 1", "def f():\n    return 2"
ITEMS = tuple(
    MbppItem(id=str(n), split="test", text="Write f.", code=RIGHT, tests=("assert f() == 1",)) for n in (1, 2)
)
CHEAP, DEAR = "gpt-4o-mini", "gpt-4o"


class FakeMbpp:
    """MBPP's queries, scored by the text of the answer, so that no sandbox is needed."""

    name = "mbpp"
    domain = "Code"
    notes = {"data": "test"}  # noqa: RUF012

    def items(self, split):
        return ITEMS

    def query(self, item):
        return Query(id=f"mbpp/{item.id}", text=item.text, answer_format=PythonFunction())

    async def score(self, item, answer, sandbox):
        solved = answer is not None and "return 1" in answer
        return Score(value=float(solved), solved=solved)

    async def world(self, items, sandbox):
        raise AssertionError("these tests build their own")


def world(difficulty=0.0):
    return World.of(
        (
            f"mbpp/{item.id}",
            SimItem(
                domain="Code", benchmark="mbpp", difficulty=difficulty, right=(RIGHT,), wrong=(WRONG,), form="code"
            ),
        )
        for item in ITEMS
    )


def compare(
    work, pool, *, modes=("IO", "Chain"), cache=None, arrivals=None, draws=1, limit=None, concurrency=8, **calls
):
    """Run `work(comparison)` on virtual time over two models of a pool."""

    async def main():
        async with pool:
            runtime = Runtime(pool, ledger=Ledger(limit), keep_prompts=False, **calls)
            rollouts = Rollouts(runtime=runtime, task=FakeMbpp(), sandbox=None, concurrency=concurrency)
            cards = tuple(pool.cards.values())[:2]
            return await work(
                Comparison(
                    rollouts=rollouts,
                    space=PlanSpace(cards=cards, prompts=runtime.prompts, modes=modes),
                    items=ITEMS,
                    draws=draws,
                    progress=Progress(quiet=True),
                    arrivals=arrivals,
                    cache=cache,
                )
            )

    return clock.run(main, virtual=True)


def simulated(*, difficulty=0.0, seed=0, assumptions=DEFAULT):
    return simulated_pool(world(difficulty), seed=seed, assumptions=assumptions).restricted(allow=[CHEAP, DEAR])


def scripted(fn=lambda request: f"```python\n{RIGHT}\n```", **options):
    return scripted_pool(fn, virtual_time=True, **options)


def test_a_row_has_one_result_per_item_in_their_order():
    row, outcomes = compare(lambda c: c.run(single("a", "Code"), group="single LLM"), scripted(latency_s=2.0))
    assert [r.query_id for r in row.results] == ["mbpp/1", "mbpp/2"]
    assert (row.name, row.group, row.accuracy.mean, row.latency(0.5)) == (
        "a",
        "single LLM",
        1.0,
        4.0,
    )  # a call and its revision
    assert [o.plan.mode.name for o in outcomes] == ["IO", "IO"]


def test_baselines_are_random_plans_every_llm_and_every_mode_with_the_best_llm():
    def answer(request):
        return f"```python\n{RIGHT if request.model == 'b' else WRONG}\n```"

    rows = compare(lambda c: c.baselines(1.0), scripted(answer))
    assert [(r.group, r.name) for r in rows] == [
        ("random", "random plans"),
        ("single LLM", "a"),
        ("single LLM", "b"),
        ("fixed mode", "IO x 3"),
        ("fixed mode", "Chain x 3"),
    ]
    assert [r.accuracy.mean for r in rows[1:]] == [0.0, 1.0, 1.0, 1.0]  # b, the best, is in every mode


def test_the_best_llm_is_found_by_accuracy_when_no_price_is_known():
    def answer(request):
        return f"```python\n{RIGHT if request.model == 'b' else WRONG}\n```"

    rows = compare(lambda c: c.baselines(1.0), scripted(answer, price_in=None, price_out=None))
    assert [r.accuracy.mean for r in rows[1:]] == [0.0, 1.0, 1.0, 1.0]
    assert all(r.cost_per_100 is None for r in rows)


def test_arrivals_spread_the_queries_over_time():
    # One call of 2 s each; arriving a second apart changes nothing where nothing queues.
    arrivals = Arrivals(rate=1.0, pattern="constant")
    plan = Plan(mode=ModeSpec(name="IO"), domain="Code", agents=(AgentSpec(role="ProgrammingExpert", model="a"),))
    times = []

    def answer(request):
        times.append(clock.virtual_clock().current_time())
        return RIGHT

    compare(
        lambda c: c.run(Constant(plan, name="c"), group="fixed"),
        scripted(answer, latency_s=2.0),
        arrivals=arrivals,
        concurrency=None,
    )
    assert times[1] - times[0] == pytest.approx(1.0)


def kept(folder):
    return sorted(p.name for p in Path(folder).glob("*.json"))


def run_single(folder, pool, **options):
    async def work(comparison):
        row, outcomes = await comparison.run(single(CHEAP, "Code"), group="single LLM", cached=True)
        return row, outcomes

    return compare(work, pool, cache=folder, **options)


def test_results_of_a_fixed_plan_are_kept_and_taken_up_again(tmp_path):
    first, outcomes = run_single(tmp_path, simulated())
    again, none = run_single(tmp_path, simulated())
    assert (len(outcomes), none) == (2, [])
    assert first == again
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"pool": {"difficulty": 0.5}},
        {"pool": {"seed": 1}},
        {"pool": {"assumptions": DEFAULT.scaled(0.5)}},
        {"draws": 2},
        {"concurrency": 1},
        {"request_timeout_s": 1.0},
        {"temperature": 0.0},
        {"arrivals": Arrivals(rate=1.0)},
    ],
    ids=str,
)
def test_results_are_not_taken_for_those_of_another_simulation(tmp_path, change):
    run_single(tmp_path, simulated())
    run_single(tmp_path, simulated(**change.get("pool", {})), **{k: v for k, v in change.items() if k != "pool"})
    assert len(kept(tmp_path)) == 2


def test_results_that_a_limit_cut_short_are_not_kept(tmp_path):
    row, _ = run_single(tmp_path, simulated(), limit=0.0)
    assert (row.n, row.n_not_run, row.cost_per_100) == (0, 2, None)
    assert {r.failure for r in row.results} == {"limit"}
    assert kept(tmp_path) == []


def test_results_of_a_pool_that_is_not_simulated_are_not_kept(tmp_path):
    compare(lambda c: c.run(single("a", "Code"), group="single LLM", cached=True), scripted(), cache=tmp_path)
    assert kept(tmp_path) == []


def test_the_codes_fingerprint_repeats_itself():
    assert code_fingerprint() == code_fingerprint()


def test_a_controller_that_decides_step_by_step_is_run_by_a_policy_of_its_own_for_every_episode(tmp_path):
    class Once:
        """Asks one model and settles; an object that was used before would settle at once."""

        plan, name = None, "once"

        def __init__(self):
            self.asked = False

        async def next(self, view):
            if self.asked:
                return Settle(how="chosen", messages=tuple(s.id for s in view.messages))
            self.asked = True
            return [Move(agent=AgentSpec(role="AlgorithmDesigner", model=CHEAP), domain="Code", index=0)]

    class Controller:
        name = "step by step"

        def plan(self, queries, space):
            return [Planned(policy=Once) for _ in queries]

    run = partial(compare, lambda c: c.run(Controller(), group="learned", cached=True), draws=2, cache=tmp_path)
    row, outcomes = run(simulated())
    assert [o.calls for o in outcomes] == [1] * 4
    assert [(o.episode.plan, o.episode.policy) for o in outcomes] == [(None, "once")] * 4
    assert len(row.results) == 4
    assert run(simulated())[1] == outcomes  # nothing is kept: a policy has no content that could be compared
    with pytest.raises(ConfigError, match="policy 'once' makes no plan"):
        print(outcomes[0].plan)
