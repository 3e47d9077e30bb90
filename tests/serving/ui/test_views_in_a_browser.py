"""Pool, quality and money, playground and runs as somebody uses them, in a real browser."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import uvicorn

from mar.controllers.baselines import team
from mar.controllers.cards import Cards
from mar.pool import ModelCard, Pool, ScriptedModel
from mar.serving.rollout.store import RolloutStore
from mar.serving.rollout.versions import Version
from mar.serving.store.places import database
from mar.serving.ui.alone import runs_app
from tests.evaluation.test_report import episode, make_run
from tests.serving_ui import HOSTILE

CARDS = [ModelCard(name="a", price_in=1.0, price_out=2.0), ModelCard(name="b")]
CONTROLLERS = {"mar": Cards(), "mar/team": team("Chain", "a", "Math")}


def pool_of(text="42"):
    return Pool(CARDS, ScriptedModel(lambda _: text), kind="scripted")


def ask_all(tab, question):
    tab.fill("textarea[name=question]", question)
    tab.click("main button.first")
    tab.wait_for_selector("#status:text-is('done')")


@pytest.mark.parametrize("width", [1280, 400])
def test_answers_stand_side_by_side_with_their_plans_and_can_be_rated_and_asked_again(gateways, look, width):
    gateway = gateways(pool_of(HOSTILE[0]), controllers=CONTROLLERS)
    sight = look(gateway, width=width)
    tab = sight.open("/ui/playground")
    tab.check("input[value='mar/team']")
    for _ in range(2):
        ask_all(tab, "What is 6*7?")
        assert tab.locator("article .state").all_text_contents() == ["answered", "answered"]
        assert tab.locator("article pre.text").all_text_contents() == [HOSTILE[0]] * 2
    assert tab.locator("article >> nth=1 >> svg.graph rect").count() >= 3
    tab.click("article >> nth=0 >> text=Good answer")
    tab.wait_for_selector("text=thank you")
    assert sight.wide == 0


def test_a_key_that_may_not_is_told_why_in_the_place_of_the_answer(gateways, look):
    gateway = gateways(pool_of(), roles=("use",), request_usd=0.0)
    sight = look(gateway)
    sight.log_in(gateway.secrets["use"])
    tab = sight.open("/ui/playground")
    ask_all(tab, "What is 6*7?")
    assert tab.locator("article .state").text_content() == "no answer"
    assert tab.locator("article [role=alert]").text_content()
    sight.complaints.clear()  # the browser complains of the refusal's status


def test_a_model_is_taken_out_and_in_again(gateways, look):
    gateway = gateways(pool_of(), roles=("admin",))
    sight = look(gateway)
    sight.log_in(gateway.secrets["admin"])
    tab = sight.open("/ui/pool")
    assert tab.locator("text=The price of b is not known").count() == 1
    tab.click("button[aria-label='Take a out']")
    tab.wait_for_selector("text=taken out")
    tab.click("button[aria-label='Take a in again']")
    tab.wait_for_selector("button[aria-label='Take a out']")
    tab.select_option("select[name=span]", "360")
    tab.wait_for_url("**span=360")
    assert tab.locator(".plot canvas").count() == 4


def test_quality_and_money_of_another_period(gateways, look):
    gateway = gateways(pool_of())
    gateway.ask("What is 6*7?")
    sight = look(gateway, width=400)
    tab = sight.open("/ui/quality")
    tab.select_option("select[name=days]", "7")
    tab.wait_for_url("**days=7")
    tab.wait_for_selector("#choices")
    assert tab.locator(".plot canvas").count() == 2
    assert sight.wide == 0


@pytest.mark.parametrize("width", [1280, 400])
def test_a_candidate_is_promoted_and_rolled_back_by_hand_after_a_question_with_evidence(gateways, look, width):
    gateway = gateways(pool_of(), roles=("admin",))
    made = Version.of("cards", cost_rate=3.0)

    async def start():
        async with database(gateway.store, durable=True) as db:
            rollouts = await RolloutStore.open(db)
            await rollouts.start(made, "mar")
            while not (await rollouts.rollouts())[0].base:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    with ThreadPoolExecutor(1) as threads:  # the browser's loop runs in this one
        threads.submit(asyncio.run, start()).result()
    gateway.ask("What is 6*7?", key=gateway.secrets["admin"])
    sight = look(gateway, width=width)
    asked = []
    sight.tab.on("dialog", lambda dialog: asked.append(dialog.message))
    sight.log_in(gateway.secrets["admin"])
    tab = sight.open("/ui/rollouts")
    assert tab.get_by_role("heading", name="Evidence by now").is_visible()
    assert sight.wide == 0
    tab.get_by_role("button", name="Promote").click()
    tab.get_by_text("told to on the page by the admin").first.wait_for()
    tab.get_by_role("button", name="Roll back").click()
    tab.locator("caption:text('Ended')").wait_for()
    assert asked == [f"{what} cards for mar, for everybody, from now on?" for what in ("Promote", "Roll back")]
    assert tab.get_by_role("button", name="Roll back").count() == 0
    tab.locator("summary").first.click()
    assert tab.locator("details[open]").inner_text()


@contextmanager
def runs_of(folder):
    """The page about a folder of runs, meanwhile."""
    config = uvicorn.Config(runs_app(folder, 0), host="127.0.0.1", port=0, log_level="error", ws="none")
    socket = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield SimpleNamespace(url=f"http://127.0.0.1:{socket.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join()


def test_runs_side_by_side_with_curves_and_the_report_in_place(tmp_path, look):
    for name in ("one", "two"):
        make_run(tmp_path / name, episodes=[episode(text=HOSTILE[0])])
    with runs_of(tmp_path) as found:
        sight = look(found)
        tab = sight.open("/ui/runs")
        for name in ("one", "two"):
            tab.check(f"input[value='{name}']")
        tab.click("text=Open side by side")
        tab.wait_for_selector("h1:text('beside')")
        assert tab.locator(".plot canvas").count() >= 4
        tab.click("summary:has-text('in place')")
        assert tab.frame_locator("iframe").locator("h1").text_content() == "Report on 2 runs"
        tab = sight.open("/ui/runs/one?run=one")
        tab.click("#episodes tbody a")
        tab.wait_for_selector("svg.graph")
        assert "<script>" in tab.locator("pre >> nth=0").text_content()
