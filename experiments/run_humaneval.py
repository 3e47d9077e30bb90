"""Train and test MasRouter on HumanEval.

uv run python experiments/run_humaneval.py                     simulated pool, bundled sample: no key, no GPU, no data
uv run python experiments/run_humaneval.py --data DIR          the real one: DIR/humaneval/HumanEval.jsonl.gz
uv run python experiments/run_humaneval.py --pool pool.toml    a live pool; see --max_cost and --dry_run first
"""

from __future__ import annotations

from mar.cli.script import run_script
from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import RunOptions, benchmark_options
from mar.tasks.humaneval import HumanEval


def main() -> None:
    """Read the options, load the benchmark, run."""
    options = benchmark_options("humaneval", RunOptions)
    task = HumanEval.load(path=options.dataset_json, data=options.data)
    run_experiment(task, options)


if __name__ == "__main__":
    run_script(main)
