"""Train and test MasRouter on MMLU-Pro.

uv run python experiments/run_mmlu_pro.py                     simulated pool, bundled sample: no key, no GPU, no data
uv run python experiments/run_mmlu_pro.py --data DIR          the real one: DIR/mmlu_pro/test.jsonl.gz
uv run python experiments/run_mmlu_pro.py --pool pool.toml    a live pool; see --max_cost and --dry_run first
"""

from __future__ import annotations

from mar.cli.script import run_script
from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import RunOptions, benchmark_options
from mar.tasks.mmlu_pro import MmluPro


def main() -> None:
    """Read the options, load the benchmark, run."""
    options = benchmark_options("mmlu_pro", RunOptions)
    task = MmluPro.load(path=options.dataset_json, data=options.data)
    run_experiment(task, options)


if __name__ == "__main__":
    run_script(main)
