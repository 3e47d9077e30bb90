"""A small part of `benchmarks/fuzz_files.py`: every kind of content, damaged a few times by a fixed seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_files.py"


def test_damaged_files_of_every_kind_are_read_or_refused_in_one_line():
    words = [sys.executable, str(SCRIPT), "--mutations", "5", "--seed", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 traceback, 0 crash, 0 hang, 0 several lines, 0 taken" in done.stdout
