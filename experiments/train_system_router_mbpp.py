"""Train a system-aware router on MBPP under load, and test it beside rules.

uv run python experiments/train_system_router_mbpp.py                        simulated vLLM pool, our variant
uv run python experiments/train_system_router_mbpp.py --variant published    the published one; also: early
uv run python experiments/train_system_router_mbpp.py --arrival_rates 10/min 200/min --pool pool.toml
"""

from __future__ import annotations

from mar.cli.script import run_script
from mar.evaluation.system_options import system_options
from mar.evaluation.system_run import train_system_router

if __name__ == "__main__":
    run_script(lambda: train_system_router(system_options("mbpp")))
