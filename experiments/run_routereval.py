"""Compare routers on tables of recorded LLM outcomes: RouterEval's benchmark, or any table of scores.

uv run python experiments/run_routereval.py --data DIR                              28 LLMs on MMLU-Pro
uv run python experiments/run_routereval.py --table scores.csv --sizes 3            your own table
uv run python experiments/run_routereval.py --routers knn "knn(k=50)" my_router:Mine
uv run python experiments/run_routereval.py --program "python theirs.py {problem}"  any program that prints mu, vb, ep

The same as `mar routereval`, which also makes router datasets (`build`) and keeps a fitted router (`fit`).
"""

from __future__ import annotations

import sys

from mar.cli.routereval import routereval
from mar.cli.script import run_script

if __name__ == "__main__":
    run_script(lambda: routereval(sys.argv[1:]))
