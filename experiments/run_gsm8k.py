"""Train and test MasRouter on GSM8K.

uv run python experiments/run_gsm8k.py                     simulated pool, bundled sample: no key, no GPU, no data
uv run python experiments/run_gsm8k.py --data DIR          the real one: DIR/gsm8k/{train,test}.jsonl
uv run python experiments/run_gsm8k.py --pool pool.toml    a live pool; see --max_cost and --dry_run first
"""

from __future__ import annotations

from pydantic import Field

from mar.cli.script import run_script
from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import RunOptions, benchmark_options
from mar.tasks.gsm8k import Gsm8k


class Gsm8kOptions(RunOptions):
    """Options of a GSM8K run."""

    own_train: bool = Field(False, description="train on GSM8K's own training part and test on all of its test part")


def main() -> None:
    """Read the options, load the benchmark, run."""
    options = benchmark_options("gsm8k", Gsm8kOptions)
    task = Gsm8k.load(path=options.dataset_json, data=options.data, own_train=options.own_train)
    run_experiment(task, options)


if __name__ == "__main__":
    run_script(main)
