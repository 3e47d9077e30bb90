"""Rules under load: figures by hand from two models with two slots each."""

import math
from random import Random

import anyio
import pytest

from mar import clock
from mar.controllers import PlanSpace
from mar.controllers.baselines import single
from mar.controllers.system_aware import RULES, ByRule, loads, rule
from mar.controllers.system_aware.rules import Situation, deadline_priority
from mar.errors import ConfigError
from mar.pool.cards import ModelCard
from mar.pool.scripted import scripted_pool
from mar.runtime import PromptLibrary, Runtime
from mar.types import AgentSpec, ModelTelemetry, Move, Query, View

SMALL = ModelCard(name="small", price_in=0.1, price_out=0.1, concurrency=2)
LARGE = ModelCard(name="large", price_in=1.0, price_out=1.0, concurrency=2)
CARDS = (SMALL, LARGE)


def telemetry(*, small=(0, 0), large=(0, 0), small_s=2.0, large_s=10.0, **more):
    return {
        "small": ModelTelemetry(model="small", running=small[0], waiting=small[1], e2e_s=small_s, queue_s=0.0),
        "large": ModelTelemetry(model="large", running=large[0], waiting=large[1], e2e_s=large_s, queue_s=0.0),
    } | more


def choose(name, figures, *, remaining=math.inf, qualities=(0.5, 0.9)):
    situation = Situation(
        loads=loads(CARDS, figures),
        prices=[0.2, 2.0],
        qualities=qualities,
        remaining_s=remaining,
        random=Random(0),
    )
    return CARDS[RULES[name](situation)].name


def test_a_delay_is_the_service_time_and_the_queue_ahead_in_batches():
    empty, full = loads(CARDS, telemetry())[0], loads(CARDS, telemetry(small=(2, 3)))[0]
    assert empty.delay_s == 2.0
    assert full.share == 2.5
    assert full.delay_s == 2.0 * (1 + 4 / 2)  # five calls there, two slots: four end before this one begins


def test_waiting_in_the_queue_is_not_service():
    figures = {"small": ModelTelemetry(model="small", running=0, waiting=0, e2e_s=9.0, queue_s=7.0)}
    assert loads([SMALL], figures)[0].service_s == 2.0


def test_a_model_that_has_answered_nothing_is_taken_to_be_as_fast_as_the_others():
    figures = telemetry(large=(0, 0))
    figures["large"] = ModelTelemetry(model="large", running=0, waiting=0)
    assert loads(CARDS, figures)[1].service_s == 2.0


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_silent_server_is_never_chosen_while_another_answers(name):
    figures = telemetry(large=(1, 0))
    figures["small"] = ModelTelemetry(model="small", running=0, waiting=0, e2e_s=0.1, stale=True)
    assert choose(name, figures, remaining=60.0) == "large"


def test_least_loaded_counts_calls_per_slot_and_shortest_delay_counts_seconds():
    figures = telemetry(small=(2, 0), large=(1, 0))
    assert choose("least-loaded", figures) == "large"  # 0.5 calls per slot against 1
    assert choose("shortest-expected-delay", figures) == "small"  # 2 * (1 + 1/2) = 3 s against 10 s


def test_cheapest_feasible_pays_more_only_to_be_in_time():
    assert choose("cheapest-feasible", telemetry(), remaining=15.0) == "small"
    assert choose("cheapest-feasible", telemetry(small=(2, 20)), remaining=15.0) == "large"  # 2 * (1 + 21/2) = 23 s
    assert choose("cheapest-feasible", telemetry(small=(2, 20)), remaining=1.0) == "large"  # nobody in time: fastest


def test_best_feasible_takes_the_better_model_while_it_is_in_time():
    assert choose("best-feasible", telemetry(), remaining=15.0) == "large"
    assert choose("best-feasible", telemetry(large=(2, 1)), remaining=15.0) == "small"


def test_marginal_value_prefers_quality_when_idle_and_value_per_second_when_full():
    assert choose("marginal-value", telemetry()) == "large"
    # Full: rate = 0.5 * 2 / 2 = 0.5 a second; small is worth 0.5 - 0.5 * 2/2 = 0, large 0.9 - 0.5 * 10/2 = -1.6.
    assert choose("marginal-value", telemetry(small=(2, 0), large=(2, 0))) == "small"


def test_earlier_deadlines_come_first_and_no_deadline_has_the_servers_default():
    assert deadline_priority(10.0) < deadline_priority(10.002)
    assert deadline_priority(None) == 0


def test_a_rule_binds_a_step_to_its_model_with_the_deadline_as_priority():
    move = Move(agent=AgentSpec(role="ProgrammingExpert"), domain="Code", index=0)
    view = View(query=Query(text="q", id="q"), deadline=30.0, now=10.0, watch=lambda: telemetry(large=(2, 9)))

    async def bind():
        return await rule("least-loaded", CARDS).bind(move, view)

    binding = anyio.run(bind)
    assert (binding.model, binding.priority) == ("small", 30_000)


def test_any_controllers_plans_run_on_the_models_of_a_rule():
    controller = ByRule(single("large", "Math"), rule("cheapest-feasible", CARDS))
    pool = scripted_pool(lambda request: request.model, ("small", "large"))
    space = PlanSpace.of(pool, PromptLibrary.load())
    (planned,) = controller.plan([Query(text="q", id="q")], space)
    episode = clock.run(lambda: Runtime(pool).run(Query(text="q", id="q"), planned.how), virtual=True)
    assert (episode.answer, episode.plan.agents[0].model) == ("small", "large")
    assert (controller.name, episode.policy, controller.sees_load) == ("large+cheapest-feasible",) * 2 + (False,)


def test_an_unknown_rule_is_named_with_those_that_there_are():
    with pytest.raises(ConfigError, match="no rule 'fastest'; there are least-loaded"):
        rule("fastest", CARDS)
