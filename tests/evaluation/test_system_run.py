"""A training run under load from options to table, on the bundled sample and the simulated vLLM pool."""

import csv
import json

import pytest

from mar.controllers.embeddings import HashEncoder
from mar.errors import ConfigError
from mar.evaluation.system_options import SystemOptions, system_options, task_of, training_of
from mar.evaluation.system_run import SystemRun
from mar.evaluation.telemetry_csv import COLUMNS
from mar.execution.options import PLACES
from mar.learning.progress import Progress
from tests.evaluation.test_options import options_read

PUBLISHED = """
--dataset --split --dataset-path --dataset-root --train-path --test-path --split-ratio --role-domain
--prompt-file --limit --epochs --max-tokens --request-timeout --arrival-rate --arrival-rates --arrival-pattern
--arrival-patterns --concurrency --burst-duration --spike-intensity --spike-period --checkpoint-path
--checkpoint-dir --resume-checkpoint --checkpoint-every --telemetry-csv --run-id --log-episodes
--deterministic --seed
"""


@pytest.fixture
def quiet_place(monkeypatch, tmp_path):
    """No data but the bundled samples, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def run(*argv):
    options = system_options("gsm8k", argv)
    made = SystemRun(task_of(options), options, encoder=HashEncoder(384), progress=Progress(quiet=True))
    made.start()
    return made


TINY = (
    "--variant",
    "published",
    "--episodes",
    "20",
    "--test-episodes",
    "8",
    "--limit",
    "6",
    "--arrival-rates",
    "120/min",
)


def test_a_run_leaves_a_table_a_checkpoint_and_the_published_telemetry(quiet_place, tmp_path):
    run(*TINY, "--out", "run", "--telemetry-csv", "t.csv", "--checkpoint-path", "kept.safetensors", "--run-id", "mine")
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    assert "system-aware, published" in {row["policy"] for row in rows}
    assert {"marginal-value", "least-loaded"} <= {row["policy"] for row in rows}
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        table = list(reader)
    assert tuple(reader.fieldnames) == COLUMNS
    episodes = [row for row in table if row["record_type"] == "episode"]
    steps = [row for row in table if row["record_type"] == "role_step"]
    assert len(episodes) == 20
    assert {row["run_id"] for row in table} == {"mine"}
    assert all(float(row["budget_remaining"]) <= float(row["budget_total"]) + 1e-6 for row in steps)
    assert all(row["strategy_name"] and row["llm_running"] and row["prompt_base"] for row in steps)
    assert all(row["quality_gold"] == "" for row in table)
    again = run(*TINY, "--out", "more", "--resume-checkpoint", "kept.safetensors", "--epochs", "0")
    assert (tmp_path / "more" / "results.json").is_file()
    assert again.options.epochs == 0


def test_workers_test_what_was_trained_to_the_bytes_of_one_process(quiet_place, tmp_path):
    options = (*TINY, "--arrival-rates", "120/min", "240/min")
    run(*options, "--out", "alone")
    run(*options, "--out", "two", "--workers", "2")
    for name in ("requests.csv", "results.json", "checkpoint.safetensors"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_a_run_of_the_same_options_is_gone_on_with_and_another_is_refused(quiet_place, tmp_path):
    run(*TINY, "--out", "run", "--test-episodes", "0")
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    run(*TINY, "--out", "run", "--test-episodes", "0")
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before
    with pytest.raises(ConfigError, match="holds a run with seed = 0, not 1"):
        run(*TINY, "--out", "run", "--test-episodes", "0", "--seed", "1")


# Options --------------------------------------------------------------------------------------------------------


def test_the_published_options_are_all_there():
    spelled = {f"--{name.replace('_', '-')}" for name in SystemOptions.model_fields} | {"--dataset-root"}
    assert set(PUBLISHED.split()) <= spelled


def test_every_option_is_read_somewhere():
    names = {"name" if name == "run_id" else name for name in SystemOptions.model_fields}  # a property
    names -= {"extend", *PLACES}  # imported while the options are read; read by who executes
    assert names <= options_read()


def test_rates_and_budgets_are_the_published_ones_unless_they_are_given():
    long, short = training_of(system_options("math", ())), training_of(system_options("mbpp", ()))
    assert [60 * a.rate for a in long.arrivals] == pytest.approx([10, 30, 50, 100, 150, 200])
    assert [60 * a.rate for a in short.arrivals] == pytest.approx([10, 30, 50, 100, 200])
    assert (max(long.budgets_s), max(short.budgets_s)) == (1000, 300)
    given = training_of(
        system_options(
            "mbpp", ("--arrival-rates", "2", "60/min", "--arrival-patterns", "poisson", "microburst", "--budgets", "9")
        )
    )
    assert [(a.rate, a.pattern) for a in given.arrivals] == [
        (2.0, "poisson"),
        (1.0, "poisson"),
        (2.0, "microburst"),
        (1.0, "microburst"),
    ]
    assert given.budgets_s == (9.0,)
    assert training_of(system_options("mbpp", ("--variant", "early"))).budgets_s == (60.0,)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--budgets", "0"), "--budgets are 0; positive seconds are expected"),
        (("--test-budget", "0"), "--test_budget is"),
        (("--arrival-rates", "fast"), "--arrival_rate is 'fast'"),
        (("--arrival-patterns", "wave"), "'wave'"),
        (("--variant", "newest"), "newest"),
        (("--train-path", "a.jsonl"), "--train_path and --test_path go together"),
        (("--split-ratio", "1.5"), "--split_ratio is 1.5"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(argv, message, quiet_place):
    def read():
        options = system_options("gsm8k", argv)
        training_of(options)
        task_of(options)

    with pytest.raises(ConfigError) as error:
        read()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_ratio_splits_all_items_anew(quiet_place):
    task = task_of(system_options("gsm8k", ("--split-ratio", "0.5")))
    train, test = task.items("train"), task.items("test")
    assert abs(len(train) - len(test)) <= 1
    assert not {i.id for i in train} & {i.id for i in test}
    assert task.query(train[0]).text
