"""Route without labels: generate questions, let the pool answer them, learn who is good at what, test.

uv run python experiments/run_cascal.py                          simulated pool, bundled sample: no key, GPU or data
uv run python experiments/run_cascal.py --pool configs/cascal/pool.toml --models large --model_nickname OSS120
uv run python experiments/run_cascal.py --train_task medmcqa --test_task mmlu_pro --pool pool.toml
uv run python experiments/run_cascal.py --from_step consensus --redo    the later steps again

Steps: prepare, split, generate, filter, respond, embed, consensus, train, infer, rank. A run that was cut off goes on
where it was. Published: 30,000 questions, temperature 0.8 and top-p 0.95 to generate, 0.7 to answer; --published keeps
the published code's mistakes.
"""

from __future__ import annotations

from mar.cli.script import run_script
from mar.evaluation.cascal_run import CascalOptions, run_cascal
from mar.evaluation.options import parse_options

ABOUT = "Learn without labels which model is good at what (CASCAL), and test it against simple rules and references."


def main() -> None:
    """Read the options, run the steps."""
    run_cascal(parse_options(CascalOptions, description=ABOUT))


if __name__ == "__main__":
    run_script(main)
