"""A folder of runs: what is listed, what is said of a damaged one, and curves as numbers."""

from __future__ import annotations

import json
import os

import pytest

from mar.errors import ConfigError
from mar.evaluation.report.conversation import converse
from mar.evaluation.report.folder import charts, list_runs, smooth
from mar.evaluation.report.reading import read_run
from mar.types import Episode, StepBound
from tests.evaluation.test_report import answered, episode, make_run, plan


def bound(index, t, round=0):
    return StepBound(
        t=t, index=index, round=round, role="r", model=f"m{index}", strategy=None, priority=0, log_prob=None, wave=0
    )


def test_runs_are_listed_what_changed_last_first_however_deep_they_lie(tmp_path):
    old = make_run(tmp_path / "old", episodes=[episode()])
    (tmp_path / "many").mkdir()
    make_run(tmp_path / "many" / "new", episodes=[])
    for file in old.iterdir():
        os.utime(file, (1e9, 1e9))
    (tmp_path / "no-run").mkdir()
    found = list_runs(tmp_path)
    assert [one.name for one in found] == ["many/new", "old"]
    assert found[1].changed == 1e9
    assert found[0].run.results.learned.accuracy.mean == 0.5
    assert [one.name for one in list_runs(old)] == ["old"]  # a run itself is a folder of one


def test_a_damaged_run_is_one_line_beside_the_others_and_no_folder_is_an_error(tmp_path):
    make_run(tmp_path / "good", episodes=[])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "args.json").write_text("{")
    problems = {one.name: one.problem for one in list_runs(tmp_path)}
    assert problems["good"] == ""
    assert problems["bad"].startswith("bad/args.json")
    assert "\n" not in problems["bad"]
    with pytest.raises(ConfigError, match="is no folder"):
        list_runs(tmp_path / "none")


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    make_run(tmp_path / "outside", episodes=[])
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "outside", target_is_directory=True)
    assert list_runs(tmp_path / "runs") == []


def test_curves_of_two_runs_share_their_steps_and_say_nothing_where_one_has_no_value(tmp_path):
    one = make_run(tmp_path / "one", episodes=[])
    two = make_run(tmp_path / "two", episodes=[])
    (two / "metrics.jsonl").write_text(json.dumps({"step": 3, "loss": 2.0, "utility": 0.5}) + "\n")
    found = {chart.title: chart for chart in charts([read_run(one, 1), read_run(two, 2)])}
    assert list(found) == ["utility", "accuracy", "cost usd", "agents", "loss"]
    utility = found["utility"]
    assert utility.steps == (1, 2, 3)
    # Of run one 0.1 and then 0.9 * 0.1 + 0.1 * 0.2 = 0.11; validated once, at step 2.
    assert [(c.label, c.values, c.dots) for c in utility.curves] == [
        ("one", (0.1, pytest.approx(0.11), None), False),
        ("one, validation", (None, 0.3, None), True),
        ("two", (None, None, 0.5), False),
    ]


def test_long_curves_are_thinned_and_what_is_no_number_is_left_out(tmp_path):
    run = make_run(tmp_path / "one", episodes=[])
    lines = [json.dumps({"step": s, "loss": 1.0}) for s in range(2500)] + ['{"step": 9999, "loss": NaN}']
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (chart,) = charts([read_run(run, 1)])
    assert len(chart.steps) == 834  # every third of 2,500
    assert chart.steps[-1] == 2499
    assert smooth([]) == []


def test_an_episode_that_has_not_ended_shows_who_is_asked_at_the_moment():
    events = (bound(0, 0.0), answered(0, t=1.0), bound(1, 1.0))
    under_way = Episode(query_id="q", plan=plan(), events=events, latency_s=1.0)
    assert [(u.number, u.kind, u.model) for u in converse(under_way, ended=False).utterances] == [
        (1, "agent", "a"),
        (2, "under way", "m1"),
    ]
    assert [u.kind for u in converse(under_way).utterances] == ["agent"]
