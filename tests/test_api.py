"""The short way in: the program of the README, loading controllers, running a query."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import mar
from mar import api
from mar.controllers import PlanSpace, packaged
from mar.controllers.baselines import Constant, single
from mar.controllers.embeddings import HashEncoder
from mar.controllers.masrouter import MasRouter, NetworkSettings, save_router
from mar.errors import CheckpointError
from mar.pool.scripted import scripted_pool
from mar.pool.simulated import EMPTY_WORLD, simulated_pool
from mar.runtime.prompts import PromptLibrary
from mar.types import AgentSpec, Budget, ModeSpec, Plan, Query

SEARCHER = Constant(
    Plan(mode=ModeSpec(name="IO"), domain="Commonsense", agents=(AgentSpec(role="WikiSearcher", model="m"),)),
    name="searcher",
)
CODE = "def f():\n    return 1"


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "router.safetensors"
    space = PlanSpace.of(simulated_pool(EMPTY_WORLD), PromptLibrary.load(), max_agents=3)
    router = MasRouter(NetworkSettings(max_agents=3), HashEncoder(), cost_rate=20.0)
    save_router(path, router, space, trained_on={"task": "none"}, simulated=True)
    return path


def readme_program():
    """The Python snippet of the README, as written."""
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    return text.partition("```python\n")[2].partition("```")[0]


def statements(program):
    return ast.unparse(ast.parse(program))


def test_the_readme_and_the_packages_docstring_show_the_same_program():
    lines = [line for line in (mar.__doc__ or "").splitlines() if line.startswith("    ")]
    assert statements(textwrap.dedent("\n".join(lines))) == statements(readme_program())


def test_the_readmes_program_works_as_written(tmp_path):
    env = {k: v for k, v in os.environ.items() if k not in {"URL", "KEY", "MODEL_BASE_URLS"}}
    env |= {"MAR_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", readme_program()], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert "['" in done.stdout  # the models that were asked


def test_importing_the_package_does_not_import_what_is_heavy():
    heavy = "{'torch', 'sentence_transformers', 'datasets', 'matplotlib'}"
    code = f"import sys, mar, mar.cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.strip() == "[]"


def test_a_query_is_planned_run_and_answered():
    pool = scripted_pool(lambda request: CODE, price_in=1.0, price_out=1.0)
    episode = mar.run("Write f.", single("a", "Code"), pool)
    assert episode.answer == CODE
    assert episode.cost_usd > 0
    assert episode.plan.agents[0].model == "a"
    assert {r.model for r in pool.model.requests} == {"a"}


def test_a_plan_alone_runs_nothing():
    pool = scripted_pool(lambda request: CODE)
    planned = mar.plan("Write f.", single("a", "Code"), pool)
    assert planned.plan.mode.name == "IO"
    assert pool.model.calls == 0


def test_a_query_given_as_a_record_keeps_its_identity_and_a_text_gets_one():
    assert api.as_query(Query(text="q", id="mine")).id == "mine"
    assert api.as_query("q").id == api.as_query("q").id != api.as_query("r").id


def test_a_budget_ends_the_work_with_what_there_is():
    episode = mar.run("Write f.", single("a", "Code"), scripted_pool(lambda r: CODE), budget=Budget(tokens=0))
    assert "limit" in {f.kind for f in episode.failures} or episode.usage.calls <= 1


def test_a_simulated_pool_knows_no_item_and_says_so():
    episode = mar.run("Write f.", single("gpt-4o", "Code"), simulated_pool(EMPTY_WORLD))
    assert "simulated" in {f.kind for f in episode.failures}


def test_a_controller_trained_on_the_simulated_pool_says_so_in_its_name(checkpoint):
    loaded = mar.load_controller(checkpoint, encoder=HashEncoder())
    assert loaded.name == "MasRouter (trained on the simulated pool)"
    assert api.load_checkpoint(str(checkpoint), encoder=HashEncoder()).header.trained_on == {"task": "none"}


def test_a_loaded_controller_plans_with_the_number_of_agents_it_was_made_for(checkpoint):
    loaded = mar.load_controller(checkpoint, encoder=HashEncoder())
    assert 1 <= len(mar.plan("Write f.", loaded, simulated_pool(EMPTY_WORLD)).plan.agents) <= 3


def test_an_unknown_controller_is_refused_with_those_there_are(monkeypatch, tmp_path):
    with pytest.raises(CheckpointError, match=r"no controller 'nosuch'; expected a checkpoint file") as error:
        mar.load_controller("nosuch", encoder=HashEncoder())
    assert all(name in str(error.value) for name in mar.packaged_controllers())


def test_packaged_controllers_are_none_where_their_folder_is_missing(monkeypatch):
    monkeypatch.setattr(packaged, "PACKAGED", "no_such_folder")
    assert mar.packaged_controllers() == ()


def test_a_checkpoint_made_with_another_encoder_is_refused(checkpoint):
    with pytest.raises(CheckpointError, match="width"):
        mar.load_controller(checkpoint, encoder=HashEncoder(width=8))


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        _ = mar.nosuch


def test_a_router_that_met_none_of_the_pools_models_says_so_and_the_cards_decide(checkpoint):
    router = mar.load_controller(checkpoint, encoder=HashEncoder())
    pool = scripted_pool(lambda request: CODE, price_in=1.0, price_out=1.0)
    planned = mar.plan("Write f.", router, pool)
    assert planned.plan is None
    assert "never met a, b" in planned.notes["fallback"]
    assert mar.run("Write f.", router, pool).answer == CODE
    assert mar.plan("Write f.", router, simulated_pool(EMPTY_WORLD)).plan is not None


class Encyclopedia:
    def __init__(self):
        self.asked = []

    async def search(self, words):
        self.asked.append(words)
        return "It is tall."


def test_nothing_is_looked_up_unless_that_is_asked_for(monkeypatch):
    def traffic(*_, **__):
        raise AssertionError("Wikipedia was asked")

    monkeypatch.setattr("mar.runtime.lookup.http_client", traffic)
    pool = scripted_pool(lambda request: '["giraffe"]', ("m",))
    episode = mar.run("How tall is it?", SEARCHER, pool)
    assert [f.kind for f in episode.failures] == ["lookup"]
    encyclopedia = Encyclopedia()
    assert not mar.run("How tall is it?", SEARCHER, pool, lookup=encyclopedia).failures
    assert encyclopedia.asked
