"""Pictures: valid PNGs whatever is missing."""

import math

import pytest
from matplotlib.image import imread

from mar.evaluation.plots import plot_curves, plot_episode, plot_trade_off
from mar.evaluation.results import ItemResult, Row
from mar.types import AgentSpec, Decided, Episode, ModeSpec, Plan, StepBound


def result(value, cost):
    return ItemResult(
        query_id="q", value=value, solved=value == 1.0, cost_usd=cost, calls=1, latency_s=1.0, failure=None
    )


def row(name, *results, group="learned"):
    return Row(name=name, group=group, results=results)


def assert_picture(path):
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    height, width, _ = imread(path).shape
    assert height > 200
    assert width > 400


UPDATES = [
    {"step": n, "loss": 1.0, "utility": 0.1 * n, "accuracy": 0.5, "cost_usd": 0.01, "agents": 3.0} for n in range(4)
]
CHECK = {"step": 3, "epoch": 0, "validation_utility": 0.4, "validation_accuracy": 0.5, "validation_cost_usd": 0.01}


@pytest.mark.parametrize(
    "metrics",
    [[*UPDATES, CHECK], UPDATES, [], [CHECK], [{**UPDATES[0], "utility": math.nan, "cost_usd": math.nan}]],
    ids=["whole", "no validation", "empty", "no updates", "undefined"],
)
def test_curves_are_drawn_from_whatever_metrics_there_are(tmp_path, metrics):
    plot_curves(metrics, tmp_path / "curves.png", title="training")
    assert_picture(tmp_path / "curves.png")


@pytest.mark.parametrize(
    "rows",
    [
        [row("a", result(1.0, 0.01), result(0.0, 0.02)), row("b", result(1.0, 0.05), group="oracle")],
        [row("none right", *[result(0.0, 0.01)] * 7), row("all right", *[result(1.0, 0.01)] * 7)],
        [row("unknown", result(1.0, None))],
        [row("free", result(1.0, 0.0))],
        [row("empty")],
        [],
    ],
    ids=["known", "at the ends", "unknown cost", "no cost", "no items", "no rows"],
)
def test_the_trade_off_is_drawn_for_any_rows(tmp_path, rows):
    plot_trade_off(rows, tmp_path / "trade_off.png", title="accuracy and cost")
    assert_picture(tmp_path / "trade_off.png")


def test_an_episode_without_calls_is_drawn(tmp_path):
    plan = Plan(mode=ModeSpec(name="IO"), domain="Code", agents=(AgentSpec(role="ProgrammingExpert"),))
    run = Episode(query_id="q", plan=plan, events=(Decided(t=0.0, text=None, answer=None, how="single"),), latency_s=0)
    plot_episode(run, tmp_path / "episode.png", title="nothing happened")
    assert_picture(tmp_path / "episode.png")


def test_an_episode_without_a_plan_is_drawn_from_its_events(tmp_path):
    about = {"strategy": None, "priority": 0, "log_prob": None, "wave": 0, "model": "a", "role": "Judge"}
    bound = StepBound(t=0.0, index=2, round=0, **about)
    run = Episode(query_id="q", plan=None, policy="looker", events=(bound,), latency_s=0)
    plot_episode(run, tmp_path / "p.png", title="p")
    assert_picture(tmp_path / "p.png")
    assert (run.lanes, run.roles) == (("1", "2", "3 Judge"), {2: "Judge"})
