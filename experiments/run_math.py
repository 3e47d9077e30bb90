"""Train and test MasRouter on MATH.

uv run python experiments/run_math.py                     simulated pool, bundled sample: no key, no GPU, no data
uv run python experiments/run_math.py --data DIR          the real one: DIR/MATH/{train,test}.jsonl
uv run python experiments/run_math.py --pool pool.toml    a live pool; see --max_cost and --dry_run first
"""

from __future__ import annotations

from mar.cli.script import run_script
from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import RunOptions, benchmark_options
from mar.tasks.math import Math


def main() -> None:
    """Read the options, load the benchmark, run."""
    options = benchmark_options("math", RunOptions)
    task = Math.load(path=options.dataset_json, data=options.data)
    run_experiment(task, options)


if __name__ == "__main__":
    run_script(main)
