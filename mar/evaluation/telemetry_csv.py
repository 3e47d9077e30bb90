"""The published telemetry table: one row per episode and one per agent step, for spreadsheets and plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mar.evaluation.cells import plain
from mar.evaluation.options import RunOptions
from mar.files import write_atomically
from mar.learning.arrivals import Arrivals
from mar.learning.rollouts import Outcome
from mar.runtime.code import extract_code
from mar.types import CallAnswered, CallFailed, Episode, EpisodeStarted, StepBound

_COLUMN_NAMES = """
run_id epoch episode_index record_type dataset split item_id query tests_json answer topology role_set budget_total
arrival_rate arrival_pattern quality quality_is_solved quality_feedback quality_pred quality_gold
workflow_latency_seconds llm_elapsed_seconds final_response code_response prompt_tokens completion_tokens total_tokens
role_name step_index round_index wave_index llm_name model_name strategy_name latency_seconds budget_remaining
observed_ttft observed_tpot llm_running llm_waiting llm_kv_cache_usage llm_ttft_avg llm_itl_avg llm_e2e_avg prompt_base
response_final
"""
COLUMNS = tuple(_COLUMN_NAMES.split())


Row = dict[str, Any]
Tested = tuple[Arrivals | None, Sequence[Outcome]]  # how queries arrived, and what became of them


def write_telemetry(path: Path, tested: Sequence[Tested], options: RunOptions, dataset: str) -> None:
    """Write the test phase's episodes and steps. Gold answers are left out of `quality_gold`: traces hold none."""
    rows: list[Row] = []
    everything = [(arrivals, outcome) for arrivals, outcomes in tested for outcome in outcomes]
    for index, (arrivals, outcome) in enumerate(everything):
        common: Row = {
            "run_id": f"{dataset}-seed{options.seed}",
            "epoch": options.epochs,
            "episode_index": index,
            "dataset": dataset,
            "split": "test",
            "arrival_rate": "" if arrivals is None else arrivals.rate,
            "arrival_pattern": "" if arrivals is None else arrivals.pattern,
        }
        rows += episode_rows(outcome, common)
    write_rows(path, rows)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows under the published header, all or nothing."""
    out = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(out, fieldnames=COLUMNS, restval="")
    writer.writeheader()
    writer.writerows({name: plain(value) for name, value in row.items()} for row in rows)
    write_atomically(path, out.getvalue())


def episode_rows(outcome: Outcome, common: Row, *, steps: str = "step") -> list[Row]:
    """One row of the episode and one of each of its calls; `steps` is the calls' record type."""
    episode = outcome.episode
    about = common | {
        "item_id": outcome.query_id,
        "topology": episode.policy if episode.plan is None else episode.plan.mode.name,
        "role_set": "-".join(episode.roles.values()),
    }
    calls = [about | row | {"record_type": steps} for row in _step_rows(episode)]
    return [about | _quality(outcome) | _episode_row(episode), *calls]


def step_keys(episode: Episode) -> list[tuple[int, int]]:
    """Round and agent of each row of calls, in the rows' order: failed calls, then answered ones."""
    failed = [e for e in episode.events if isinstance(e, CallFailed)]
    return [(e.round, e.index) for e in (*failed, *episode.calls())]


def _quality(outcome: Outcome) -> dict[str, Any]:
    return {
        "quality": outcome.score.value,
        "quality_is_solved": int(outcome.score.solved),
        "quality_feedback": outcome.score.feedback or (outcome.failure.reason if outcome.failure else ""),
    }


def _episode_row(episode: Episode) -> dict[str, Any]:
    usage = episode.usage
    started = next((e for e in episode.events if isinstance(e, EpisodeStarted)), None)
    return {
        "record_type": "episode",
        "query": started.query if started else "",
        "answer": episode.answer,
        "quality_pred": episode.answer,
        "workflow_latency_seconds": episode.latency_s,
        "llm_elapsed_seconds": sum(c.latency_s for c in episode.calls()),
        "final_response": episode.text,
        "code_response": extract_code(episode.text or "") or "",
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": _total(usage.prompt_tokens, usage.completion_tokens),
    }


def _step_rows(episode: Episode) -> Iterator[dict[str, Any]]:
    bound = {(e.round, e.index): e for e in episode.events if isinstance(e, StepBound)}
    for failed in (e for e in episode.events if isinstance(e, CallFailed)):
        yield {
            "round_index": failed.round,
            "llm_name": failed.model,
            "model_name": failed.model,
            "latency_seconds": failed.latency_s,
            "quality_feedback": f"{failed.failure.kind}: {failed.failure.reason}",
        }
    for number, call in enumerate(episode.calls()):
        step = bound.get((call.round, call.index))
        yield {
            "role_name": step.role if step else "",
            "step_index": number,
            "round_index": call.round,
            "wave_index": step.wave if step else "",
            "llm_name": call.model,
            "model_name": call.model,
            "strategy_name": (step.strategy if step else None) or "",
            "latency_seconds": call.latency_s,
            "observed_ttft": "" if call.ttft_s is None else call.ttft_s,
            "observed_tpot": _per_token(call),
            "prompt_tokens": call.usage.prompt_tokens,
            "completion_tokens": call.usage.completion_tokens,
            "total_tokens": _total(call.usage.prompt_tokens, call.usage.completion_tokens),
            "prompt_base": call.prompt[-1].text if call.prompt else "",
            "response_final": call.text,
        }


def _per_token(call: CallAnswered) -> float | str:
    tokens = call.usage.completion_tokens
    if call.ttft_s is None or not tokens or tokens < 2:
        return ""
    return (call.latency_s - call.ttft_s) / (tokens - 1)


def _total(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b
