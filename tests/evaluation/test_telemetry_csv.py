"""The telemetry table: published columns, a row per episode and per call, failures included, no gold."""

import csv

from mar.evaluation.options import RunOptions
from mar.evaluation.telemetry_csv import COLUMNS, write_rows, write_telemetry
from mar.learning.arrivals import Arrivals
from mar.learning.rollouts import Outcome
from mar.reading.tables import read_named_cells
from mar.tasks.task import Score
from mar.types import (
    AgentSpec,
    CallAnswered,
    Decided,
    Episode,
    EpisodeStarted,
    Failure,
    ModeSpec,
    Plan,
    StepBound,
    Usage,
)

AGENTS = (AgentSpec(role="ProgrammingExpert", model="a"), AgentSpec(role="BugFixer", model="b"))
PLAN = Plan(mode=ModeSpec(name="Chain"), domain="Code", agents=AGENTS, decision="last")
CODE = "```python\ndef f():\n    return 1\n```"


def bound(index, model):
    return StepBound(
        t=0.0,
        index=index,
        round=0,
        role=AGENTS[index].role,
        model=model,
        strategy=None,
        priority=0,
        log_prob=None,
        wave=index,
    )


def call(index, model, *, tokens, ttft):
    return CallAnswered(
        t=2.0,
        index=index,
        round=0,
        call="agent",
        model=model,
        message_id=f"m{index}",
        prompt=(),
        text=CODE,
        reasoning="",
        usage=Usage(calls=1, prompt_tokens=tokens, completion_tokens=tokens, cost_usd=None),
        latency_s=2.0,
        ttft_s=ttft,
        mean_logprob=None,
        attempts=1,
        cached=False,
        read=(),
    )


def outcome(run=None, *, failure=None, solved=True):
    return Outcome(
        query_id="mbpp/11",
        score=Score(value=float(solved), solved=solved, feedback="" if solved else "failed: no"),
        cost_usd=None,
        calls=2,
        latency_s=5.0,
        failure=failure,
        episode=run or episode(),
    )


def episode(*events, text=CODE):
    started = EpisodeStarted(t=0.0, plan=PLAN, query_id="mbpp/11", query="Write f.", call_bound=2, stage_bound=2)
    decided = Decided(t=5.0, text=text, answer="def f():\n    return 1", how="last")
    return Episode(query_id="mbpp/11", plan=PLAN, events=(started, *events, decided), latency_s=5.0)


def written(tmp_path, *outcomes, arrivals=None, **options):
    path = tmp_path / "deep" / "table.csv"
    write_telemetry(path, [(arrivals, outcomes)], RunOptions(**options), "mbpp")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames) == COLUMNS
    return rows


def test_the_columns_are_the_published_ones():
    assert len(COLUMNS) == len(set(COLUMNS)) == 46
    assert COLUMNS[:4] == ("run_id", "epoch", "episode_index", "record_type")
    assert {"observed_ttft", "observed_tpot", "llm_kv_cache_usage", "quality_is_solved"} <= set(COLUMNS)


def test_an_episode_has_its_own_row_and_one_per_call(tmp_path):
    run = episode(bound(0, "a"), call(0, "a", tokens=11, ttft=0.5), bound(1, "b"), call(1, "b", tokens=1, ttft=None))
    whole, first, second = written(tmp_path, outcome(run), seed=3, epochs=2, arrivals=Arrivals(rate=2.0))
    assert [r["record_type"] for r in (whole, first, second)] == ["episode", "step", "step"]
    assert {r["run_id"] for r in (whole, first, second)} == {"mbpp-seed3"}
    assert {r["arrival_rate"] for r in (whole, first, second)} == {"2.0"}
    assert whole["query"] == "Write f."
    assert whole["code_response"] == "def f():\n    return 1"
    assert (whole["quality"], whole["quality_is_solved"]) == ("1.0", "1")
    assert (whole["prompt_tokens"], whole["total_tokens"]) == ("12", "24")
    assert (whole["workflow_latency_seconds"], whole["llm_elapsed_seconds"]) == ("5.0", "4.0")
    assert whole["role_set"] == "ProgrammingExpert-BugFixer"
    assert (first["role_name"], first["llm_name"], first["wave_index"]) == ("ProgrammingExpert", "a", "0")
    assert (second["role_name"], second["step_index"]) == ("BugFixer", "1")
    # 11 tokens: ten gaps in the 1.5 s after the first
    assert (first["observed_ttft"], first["observed_tpot"]) == ("0.5", "0.15")


def test_what_was_not_observed_is_empty_and_not_zero(tmp_path):
    run = episode(call(0, "a", tokens=None, ttft=None))
    whole, step = written(tmp_path, outcome(run))
    assert (whole["total_tokens"], step["prompt_tokens"]) == ("", "")
    assert (step["observed_ttft"], step["observed_tpot"], step["role_name"]) == ("", "", "")
    assert whole["arrival_pattern"] == ""


def test_an_episode_that_the_runs_limit_cut_off_has_a_row_too(tmp_path):
    nothing = Episode(query_id="mbpp/11", plan=PLAN, events=(), latency_s=0.0)
    cut = outcome(nothing, failure=Failure(kind="limit", reason="the run may cost 0 USD"), solved=False)
    rows = written(tmp_path, cut, outcome(episode()))
    assert [(r["record_type"], r["episode_index"]) for r in rows] == [("episode", "0"), ("episode", "1")]
    assert (rows[0]["quality_is_solved"], rows[0]["workflow_latency_seconds"]) == ("0", "0.0")
    assert rows[0]["quality_feedback"] == "failed: no"


def test_without_feedback_the_failures_reason_is_given(tmp_path):
    failed = Outcome(
        query_id="q",
        score=Score(value=0.0, solved=False),
        cost_usd=None,
        calls=0,
        latency_s=0.0,
        failure=Failure(kind="limit", reason="the limit is spent"),
        episode=episode(),
    )
    (whole,) = written(tmp_path, failed)
    assert whole["quality_feedback"] == "the limit is spent"


def test_gold_is_never_written(tmp_path):
    assert all(r["quality_gold"] == "" for r in written(tmp_path, outcome(episode(call(0, "a", tokens=1, ttft=None)))))


def test_no_outcomes_leave_the_heading(tmp_path):
    assert written(tmp_path) == []


def test_text_of_models_is_no_formula_and_numbers_stay_numbers(tmp_path):
    path = tmp_path / "t.csv"
    texts = ("=1+1", "+a", "-a", "@a", "\ta", "\ra")
    write_rows(path, [{"query": text, "answer": "x=1", "quality": -0.5, "llm_itl_avg": "-0.5"} for text in texts])
    for text, row in zip(texts, read_named_cells(path), strict=True):
        assert (row["query"], row["answer"], row["quality"], row["llm_itl_avg"]) == (f"'{text}", "x=1", "-0.5", "-0.5")
    before = path.read_bytes()
    write_rows(path, read_named_cells(path))  # rows of a run's parts are read and written again
    assert path.read_bytes() == before
