"""Train and test MasRouter on MBPP.

uv run python experiments/run_mbpp.py                     simulated pool, bundled sample: no key, no GPU, no data
uv run python experiments/run_mbpp.py --data DIR          real MBPP from DIR/mbpp/mbpp.jsonl
uv run python experiments/run_mbpp.py --pool pool.toml    a live pool; see --max_cost and --dry_run first
"""

from __future__ import annotations

from mar.cli.script import run_script
from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import RunOptions, benchmark_options
from mar.tasks.mbpp import Mbpp


def main() -> None:
    """Read the options, load the benchmark, run."""
    options = benchmark_options("mbpp", RunOptions)
    task = Mbpp.load(path=options.dataset_json, data=options.data, show_tests=options.show_tests)
    run_experiment(task, options)


if __name__ == "__main__":
    run_script(main)
