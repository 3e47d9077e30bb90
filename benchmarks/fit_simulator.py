"""Fit the simulator's constants to recorded outcomes, show them against cited figures, and check the result.

    MAR_DATA=... python benchmarks/fit_simulator.py [--data DIR] [--write | --check] [--grid]

Part 1 fits how outcomes vary (`_spreads`), part 2 how models err together (`_mistakes`), part 3 how far an item's
difficulty and the better model can be told from the item (`_difficulty`, `_topics`). Part 4 runs the simulator's own
decision rule in the settings of cited experiments (`_cited`). Part 5 measures lengths, part 6 how often a wrong program
passes the tests shown (`_verifiers`). Constants stand in `mar/pool/simulated/assumptions.py`, part 3's also in the
tasks' modules; `--write` writes the maps of part 3 to `mar/pool/simulated/topics.safetensors` and nothing else is
written. `--check` prints recorded answers beside a simulated copy of them, and ends with status 1 where they differ by
more than is allowed (`_simulator_check`).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from _cited import show_cited, show_grid
from _difficulty import show_difficulty
from _mistakes import show_mistakes
from _outcomes import read_lines
from _shared import ROOT
from _simulator_check import check
from _spreads import show_spreads
from _topics import fit_topics, show_topics, write_topics
from _verifiers import show_verifiers

from mar.controllers.embeddings import encoder_of
from mar.numerics import one_thread
from mar.pool.simulated.assumptions import DEFAULT

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PACKAGED = ROOT / "mar" / "pool" / "simulated" / "topics.safetensors"


def show_lengths(data: Path) -> None:
    """Part 5."""
    rows = read_lines(data / "outcomes/routerbench_mbpp/mbpp.jsonl.gz")
    logs = np.log([[max(1.0, len(m["response"]) / 4) for m in row["models"].values()] for row in rows])
    median, spread = np.exp(np.median(np.median(logs, axis=0))), np.median(logs.std(axis=0))
    print("5. Lengths in tokens (characters / 4): median over models of the median, and of the spread of the logarithm")
    print(f"   MBPP responses {median:.0f} {spread:.2f}; packaged {DEFAULT.lengths['code']}")


def fit(data: Path) -> None:
    """All parts."""
    show_spreads(data)
    show_mistakes(data)
    show_difficulty(data)
    show_topics(fit_topics(data, encoder_of(None)))
    show_cited()
    show_lengths(data)
    show_verifiers(data)


def main() -> None:
    """Fit and print, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MAR_DATA", DEFAULT_DATA)))
    parser.add_argument("--write", action="store_true", help="only fit the maps of topics, and write them")
    parser.add_argument("--check", action="store_true", help="only compare recorded answers and a simulated copy")
    parser.add_argument("--grid", action="store_true", help="only scan the peer effects over a grid (minutes)")
    options = parser.parse_args()
    with one_thread():
        if options.check:
            sys.exit(0 if check(options.data, encoder_of(None)) else 1)
        if options.write:
            fitted = fit_topics(options.data, encoder_of(None))
            show_topics(fitted)
            write_topics({name: topics for name, (topics, _) in fitted.items()}, PACKAGED)
        elif options.grid:
            show_grid()
        else:
            fit(options.data)


if __name__ == "__main__":
    main()
