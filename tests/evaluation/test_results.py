"""Rows of a table: failures counted, unknown costs unknown, undefined figures undefined."""

import io
import json
import math

import pytest
from rich.console import Console

from mar.evaluation.results import COLUMNS, ItemResult, Row, as_markdown, as_table, oracle
from mar.learning.rollouts import Outcome
from mar.tasks.task import Score
from mar.types import AgentSpec, Episode, Failure, ModeSpec, Plan

PLAN = Plan(mode=ModeSpec(name="IO"), domain="Code", agents=(AgentSpec(role="ProgrammingExpert", model="a"),))


def result(value=1.0, cost=0.01, *, calls=2, latency=3.0, failure=None, query="q"):
    return ItemResult(
        query_id=query,
        value=value,
        solved=value == 1.0,
        cost_usd=cost,
        calls=calls,
        latency_s=latency,
        failure=failure,
    )


def row(*results, name="a row", group="learned"):
    return Row(name=name, group=group, results=results)


def cells(table_row, cost_rate=1.0):
    line = as_markdown([table_row], cost_rate, title="t", caption="c").splitlines()[4]
    return dict(zip(COLUMNS, [cell.strip() for cell in line.strip("|").split("|")], strict=True))


def test_figures_of_a_row():
    found = row(result(1.0, 0.01, calls=1, latency=1.0), result(0.0, 0.03, calls=3, latency=2.0))
    assert (found.n, found.n_failed) == (2, 0)
    assert found.accuracy.mean == 0.5
    assert found.cost_per_100 == pytest.approx(2.0)  # 0.04 USD for two queries
    assert found.calls == 2.0
    assert found.latency(0.5) == 1.5
    assert found.utilities(10.0) == pytest.approx([0.9, -0.3])
    assert found.utility(10.0).mean == pytest.approx(0.3)


def test_failed_items_stay_in_the_mean_and_are_counted():
    found = row(result(1.0), result(0.0, failure="timeout"), result(0.0, None, failure="limit"))
    assert (found.n, found.n_failed) == (3, 2)
    assert found.accuracy.mean == pytest.approx(1 / 3)
    assert (cells(found)["n"], cells(found)["failed"]) == ("3", "2")


def test_one_unknown_cost_makes_the_total_unknown():
    found = row(result(1.0, 0.01), result(1.0, None))
    assert found.cost_per_100 is None
    assert math.isnan(found.utility(1.0).mean)
    assert cells(found)["USD / 100"] == "unknown"
    assert cells(found)["utility"] == "nan"


def test_a_known_cost_of_zero_is_zero_and_not_unknown():
    assert row(result(1.0, 0.0)).cost_per_100 == 0.0
    assert cells(row(result(1.0, 0.0)))["USD / 100"] == "0.0000"


def test_where_cost_does_not_count_an_unknown_one_does_not_hide_the_utility():
    assert row(result(1.0, None), result(0.0, None)).utility(0.0).mean == 0.5


def test_an_empty_row_is_undefined_everywhere():
    found = row()
    assert found.cost_per_100 is None
    assert all(math.isnan(x) for x in (found.accuracy.mean, found.calls, found.latency(0.95), found.utility(1.0).low))
    assert cells(found)["accuracy %"] == "not run"


def test_items_that_a_limit_left_out_are_not_run_instead_of_unsolved():
    never = result(0.0, 0.0, calls=0, latency=0.0, failure="limit")
    partly = row(result(1.0, 0.02), result(0.0, 0.04, failure="limit"), never, never)  # the second was cut off midway
    assert (partly.n, partly.n_failed, partly.n_not_run, partly.accuracy.mean) == (2, 1, 2, 0.5)
    assert (cells(partly)["n"], cells(partly)["USD / 100"]) == ("2 of 4", "3.0000")
    shown = cells(row(never, never))
    assert [shown[c] for c in COLUMNS] == ["a row", "not run", "", "", "", "", "", "", "0", "0"]
    assert row(never, never).to_json(1.0)["n_not_run"] == 2
    (best,) = oracle([row(never), row(result(0.0, 0.5))], 1.0).results  # a negative utility, but of a plan that ran
    assert best.cost_usd == 0.5


def test_json_has_null_for_what_is_undefined_or_unknown():
    text = json.dumps([row().to_json(1.0), row(result(1.0, None)).to_json(1.0)], allow_nan=False)
    empty, unknown = json.loads(text)
    assert empty["accuracy"] == {"mean": None, "low": None, "high": None}
    assert empty["latency_p50_s"] is None
    assert unknown["cost_usd_per_100"] is None
    assert unknown["utility"]["mean"] is None
    assert (unknown["n"], unknown["n_failed"], unknown["accuracy"]["mean"]) == (1, 0, 1.0)


def test_an_outcome_keeps_its_kind_of_failure():
    outcome = Outcome(
        query_id="q",
        score=Score(value=0.0, solved=False),
        cost_usd=None,
        calls=4,
        latency_s=2.5,
        failure=Failure(kind="rate_limited", reason="429"),
        episode=Episode(query_id="q", plan=PLAN, events=(), latency_s=2.5),
    )
    found = ItemResult.of(outcome)
    assert (found.failure, found.cost_usd, found.calls, found.latency_s) == ("rate_limited", None, 4, 2.5)


def test_the_oracle_takes_the_best_utility_of_each_item():
    cheap = row(result(1.0, 0.01), result(0.0, 0.01), name="cheap")
    dear = row(result(1.0, 0.10), result(1.0, 0.10), name="dear")
    best = oracle([cheap, dear], cost_rate=1.0)
    assert best.results == (cheap.results[0], dear.results[1])
    assert best.group == "oracle"


def test_the_oracle_never_takes_an_unknown_cost_for_a_free_one():
    known, unknown = row(result(1.0, 0.5)), row(result(1.0, None))
    assert oracle([unknown, known], cost_rate=1.0).results == known.results
    assert oracle([unknown, row(result(0.0, 0.5))], cost_rate=0.0).results == unknown.results


def test_the_oracle_refuses_rows_of_different_items():
    with pytest.raises(ValueError, match="zip"):
        oracle([row(result()), row(result(), result())], 1.0)


def test_the_terminals_table_shows_what_the_file_shows():
    rows = [row(result(), name="first"), row(result(0.0, None, failure="call"), name="second", group="single LLM")]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(as_table(rows, 1.0, title="mbpp (simulated pool)", caption="data: here"))
    text = console.export_text()
    for part in ("mbpp (simulated pool)", "data: here", "first", "second", "unknown", *COLUMNS):
        assert part in text
    markdown = as_markdown(rows, 1.0, title="mbpp (simulated pool)", caption="data: here")
    assert markdown.startswith("### mbpp (simulated pool)\n")
    assert "data: here" in markdown
