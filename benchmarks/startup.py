"""What commands cost before they do anything: CPU seconds and modules from start to end, on one thread.

    uv run python benchmarks/startup.py

The smallest of some runs is shown: what else a machine does can only add. Nobody is asked; the pool is the simulated
one, and nothing is in the cache folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

COMMANDS = (
    ("--version",),
    ("--help",),
    ("pool",),
    ("plan", "hi"),
    ("ask", "hi"),
    ("plan", "hi", "--router", "sequential"),
)
CODE = """
import sys, contextlib, io, resource
sys.argv = ["mar", *{words!r}]
from mar.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
print(len(sys.modules), *(name for name in ("torch", "transformers") if name in sys.modules), file=sys.stderr)
"""


def run(words: tuple[str, ...], folder: Path) -> tuple[float, str]:
    """CPU seconds of a command, and how many modules it imported and which of the heavy ones."""
    said = folder / "said"
    env = {k: v for k, v in os.environ.items() if k not in {"URL", "KEY", "MODEL_BASE_URLS"}}
    env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MAR_CACHE": str(folder / "cache")}
    argv = [sys.executable, "-c", CODE.format(words=words)]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [(os.POSIX_SPAWN_OPEN, 2, str(said), flags, 0o600)]
    process = os.posix_spawn(sys.executable, argv, env, file_actions=actions)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"mar {' '.join(words)} ended with status {status}: {said.read_text(encoding='utf-8')}")
    return usage.ru_utime + usage.ru_stime, said.read_text(encoding="utf-8").splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="Of each command; the smallest counts.")
    runs = parser.parse_args().runs
    print("| command | CPU, s | modules imported |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for words in COMMANDS:
            found = [run(words, Path(name)) for _ in range(runs)]
            seconds, imported = min(found)
            count, *heavy = imported.split()
            print(f"| `mar {' '.join(words)}` | {seconds:.2f} | {count}{', '.join(['', *heavy])} |")


if __name__ == "__main__":
    main()
