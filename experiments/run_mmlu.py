"""Train and test MasRouter on MMLU.

uv run python experiments/run_mmlu.py                     simulated pool, bundled sample: no key, no GPU, no data
uv run python experiments/run_mmlu.py --data DIR          the real one: DIR/MMLU/data/{dev,test}/*.csv
uv run python experiments/run_mmlu.py --pool pool.toml    a live pool; see --max_cost and --dry_run first
"""

from __future__ import annotations

from pydantic import Field

from mar.cli.script import run_script
from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import RunOptions, benchmark_options
from mar.tasks.mmlu import Mmlu


class MmluOptions(RunOptions):
    """Options of a MMLU run."""

    full_test: bool = Field(False, description="test on all 14,042 questions instead of a sample of 1,280")


def main() -> None:
    """Read the options, load the benchmark, run."""
    options = benchmark_options("mmlu", MmluOptions)
    task = Mmlu.load(path=options.dataset_json, data=options.data, full_test=options.full_test)
    run_experiment(task, options)


if __name__ == "__main__":
    run_script(main)
