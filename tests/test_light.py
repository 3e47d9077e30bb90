"""What commands load: nothing that takes seconds is imported by one that does without it."""

import os
import subprocess
import sys

import pytest

LEARNING = {
    "numpy",
    "torch",
    "transformers",
    "sentence_transformers",
    "datasets",
    "sklearn",
    "scipy",
    "matplotlib",
    "pandas",
}
TALKING = {"openai", "httpx", "aiohttp", "trio", "prometheus_client"}
MOST = 750  # modules of `mar plan`: 623 when this was written, and 4,000 with PyTorch


def loaded(tmp_path, *words):
    """The top-level packages and the number of modules that a command has imported when it ends."""
    code = (
        "import sys, contextlib, io\n"
        f"sys.argv = ['mar', *{words!r}]\n"
        "from mar.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "print(len(sys.modules), *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
        "assert out.getvalue()\n"
    )
    env = {k: v for k, v in os.environ.items() if k not in {"URL", "KEY", "MODEL_BASE_URLS"}}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=env | {"MAR_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    count, *names = done.stderr.split()
    return int(count), set(names)


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("pool",), ("plan", "hi")], ids=" ".join)
def test_a_command_that_asks_nobody_and_learns_nothing_loads_nothing_heavy(tmp_path, words):
    count, names = loaded(tmp_path, *words)
    assert not names & (LEARNING | TALKING)
    assert count < MOST


def test_a_plan_for_a_live_pool_needs_no_client_either(tmp_path):
    (tmp_path / "pool.toml").write_text('[[models]]\nname = "m"\nbase_url = "http://127.0.0.1:9/v1"\n')
    _, names = loaded(tmp_path, "plan", "hi", "--pool", "pool.toml")
    assert not names & (LEARNING | TALKING)
