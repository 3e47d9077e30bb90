"""Files of strangers are read in `mar.reading` and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mar

ROOT = Path(mar.__file__).parents[1]
MODULES = sorted([*(ROOT / "mar").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])

READS = {  # the last name of what is called
    *("open", "read_text", "read_bytes", "fromfile", "memmap"),
    *("load", "loads", "safe_load", "safe_open", "load_file", "Unpickler", "literal_eval"),
    *("model_validate_json", "validate_json", "read_table", "ParquetFile", "ZipFile", "reader", "DictReader"),
}
OF = {  # whose `load`, `loads` and `open` read content
    "load": {"json", "yaml", "tomllib", "np", "pickle", "torch", "safetensors"},
    "loads": {"json", "yaml", "tomllib", "pickle"},
    "reader": {"csv"},
    "DictReader": {"csv"},
}
STORES = (
    "desk",
    "spec",
    "Postgres",
    "Sqlite",
    "RedisCounters",
    "SqlCounters",
    "KeyStore",
    "RolloutStore",
    "Standings",
    "pool",
)
OWN = {
    "os",
    "RunDir",
    "Store",
    "OutcomeTable",
    "webbrowser",
    "session",
    "member",
    "cls",
    *STORES,
}  # whose `open` opens no file

# Modules that read by themselves, and why that is no file of a stranger, or bounded where it is read.
MAY = {
    "mar/runtime/sandbox/": "what candidate and judge say to each other; the sandbox has bounds of its own",
    "mar/tasks/scoring/math_worker.py": "lines that mar wrote to its own process",
    "mar/testing/": "tiny models that ship with mar, and replies of its own test server",
    "mar/tasks/sources.py": "a sample that ships with mar",
    "mar/pool/simulated/catalogue.py": "a catalogue that ships with mar",
    "mar/learning/generated/subjects.py": "subjects that ship with mar",
    "mar/evaluation/report/page.py": "templates that ship with mar",
    "mar/serving/ui/paper.py": "templates and static files that ship with mar",
    "mar/cli/routereval.py": "a page that mar has just written",
    "mar/evaluation/comparison.py": "mar's own source, for a digest",
    "mar/evaluation/routereval/state.py": "bytes for a digest",
    "mar/controllers/embeddings.py": "bytes for a digest",
    "mar/serving/rollout/versions.py": "bytes for a digest, and of checkpoints on their way to other workers",
    "mar/serving/rollout/store.py": "evidence that the decider has written",
    "mar/tasks/download.py": "bytes for a digest, and a part of a download that is written on",
    "mar/learning/rundir.py": "what this process has just written, a lock, and state whose failures are caught there",
    "mar/learning/generated/records.py": "bytes of a journal, cut at its last whole line",
    "mar/pool/openai_stream.py": "an event of a server's stream, bounded where it is read",
    "mar/pool/server_words.py": "a text within a server's error, as it stands where it is no JSON",
    "mar/pool/servers.py": "the kernel's own files, a lock, and the end of a server's log",
    "mar/learning/generated/published.py": "vectors: torch.load(weights_only=True), within `attempt`",
    "mar/tasks/reshape.py": "a cell of a published table, written as a Python list",
    "mar/tasks/docstring_examples.py": "a program of a benchmark, within its own errors",
    "mar/pool/simulated/texts.py": "a program of a benchmark, within its own errors",
    "mar/controllers/gmt/records.py": "a row that was read, given to pydantic as JSON",
    "mar/serving/limits/redis.py": "a program that ships with mar, and what it answers",
    "mar/serving/limits/sql.py": "a cell of mar's own database",
    "mar/serving/store/rows.py": "a cell of mar's own database",
    "mar/serving/store/lines.py": "a cell of mar's own database",
    "mar/serving/store/traffic.py": "a cell of mar's own database",
    "mar/pool/cache_store.py": "a cell of mar's own database",
    "mar/serving/replies.py": "a cell of mar's own store",
    "mar/execution/desk.py": "a line of a worker that showed the token it was given, bounded where it is read",
    "mar/execution/far_desk.py": "what the driver says to a worker, and a reply as it travels",
    "mar/execution/ray_servers.py": "the end of a server's log",
    "mar/execution/work.py": "what the processes of one run send each other; nobody else can",
    "mar/traffic/acting.py": "an example of a program, within its own errors",
    "mar/traffic/learn/run.py": "a page that mar has just written",
}
WRITES = {"a", "w", "wb", "ab", "x", "xb"}


def reads(path: Path) -> Iterator[str]:
    """Calls of a module that read content."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name, whose = called(node.func)
        if name not in READS or whose in OWN or (name in OF and whose not in OF[name]):
            continue
        if (name == "open" and modes(node) & WRITES) or (name == "read_text" and whose in ("function", "reading")):
            continue
        yield f"{path.relative_to(ROOT)}:{node.lineno} {whose}.{name}"


def called(function: ast.expr) -> tuple[str, str]:
    if isinstance(function, ast.Name):
        return function.id, "function"
    if isinstance(function, ast.Attribute):
        value = function.value
        return function.attr, value.id if isinstance(value, ast.Name) else getattr(value, "attr", "")
    return "", ""


def modes(call: ast.Call) -> set[str]:
    given = [*call.args[:2], *(k.value for k in call.keywords if k.arg == "mode")]
    return {one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def excused(path: Path) -> bool:
    name = path.relative_to(ROOT).as_posix()
    return name.startswith("mar/reading/") or any(name.startswith(place) for place in MAY)


@pytest.mark.parametrize("path", [p for p in MODULES if not excused(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_other_module_reads_files_by_itself(path):
    assert not list(reads(path))


@pytest.mark.parametrize("place", MAY)
def test_every_exception_is_needed(place):
    assert any(list(reads(p)) for p in MODULES if p.relative_to(ROOT).as_posix().startswith(place))


def test_the_walk_sees_reads_of_every_form(tmp_path, monkeypatch):
    module = tmp_path / "m.py"
    module.write_text(
        "open(p)\np.open()\np.read_text()\njson.load(f)\njson.loads(t)\nnp.load(p)\nyaml.safe_load(t)\n"
        "pickle.loads(b)\ncsv.DictReader(f)\nT(x).validate_json(b)\np.open('wb')\nload(x)\n"
    )
    monkeypatch.setattr("tests.reading.test_one_place.ROOT", tmp_path)
    assert [int(found.split(":")[1].split()[0]) for found in reads(module)] == list(range(1, 11))
