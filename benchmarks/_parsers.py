# pyright: basic
"""Every reader of a stranger's content, with good content to begin from: what `fuzz_files.py` tries.

A reader that is registered here is tried; `tests/reading/test_fuzz.py` runs a small part of it.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from mar.controllers.base import PlanSpace
from mar.controllers.cascal.artefacts import load_responses, save_responses
from mar.controllers.cascal.responses import Responses
from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt.checkpoint import load_personal
from mar.controllers.gmt.records import read_groups
from mar.controllers.gmt.store import InteractionStore
from mar.controllers.masrouter import MasRouter, NetworkSettings
from mar.controllers.masrouter.checkpoint import load_router, save_router
from mar.controllers.packaged import packaged_controller
from mar.controllers.routers import Examples, RouterController, load_routed, make_router, save_routed
from mar.controllers.routers.base import prior
from mar.controllers.system_aware.checkpoint import load_system_aware, save_system_aware
from mar.controllers.system_aware.controller import SystemSettings, build
from mar.environment import read_environment
from mar.errors import UserError
from mar.evaluation.gmt.config import load_config
from mar.evaluation.report.reading import read_run
from mar.evaluation.routereval.files import load
from mar.evaluation.routereval.table import OutcomeTable
from mar.learning.generated.published import published_vectors
from mar.learning.generated.records import Answered, Question, read_records
from mar.pool.files import read_pool_file, read_source
from mar.pool.listed import read_list
from mar.pool.metrics import read_metrics
from mar.pool.recordings import load_mmlu_pro, load_routerbench
from mar.pool.server_words import decode
from mar.pool.servers import State
from mar.pool.simulated import EMPTY_WORLD, simulated_pool
from mar.reading import attempt
from mar.reading.archives import unpack
from mar.reading.tables import read_named_cells
from mar.runtime.prompts import PromptLibrary
from mar.runtime.trace import read_episodes
from mar.tasks.custom import CustomTask
from mar.tasks.pull import CHECKSUMS, read_checksums
from mar.tasks.readers import read_file
from mar.tasks.registry import load_task
from mar.types import AgentSpec, ModeSpec, Plan, Query


@dataclass(frozen=True, kw_only=True)
class Parser:
    """One reader."""

    name: str
    file: str  # what its file is called
    good: bytes
    read: Callable[[Path], object]  # raises UserError, or returns


PARSERS: dict[str, Parser] = {}


def parser(name: str, file: str, good: bytes | str | object, read: Callable[[Path], object]) -> None:
    """Register a reader; good content that is neither bytes nor text is written as JSON."""
    if not isinstance(good, bytes | str):
        good = json.dumps(good)
    data = good.encode() if isinstance(good, str) else good
    assert name not in PARSERS
    PARSERS[name] = Parser(name=name, file=file, good=data, read=read)


def saved(save: Callable[[Path], object], name: str = "f") -> bytes:
    """What something writes to a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        save(path)
        return path.read_bytes()


def beside(content: dict[str, str]) -> Callable[[Path], Path]:
    """Writes further files into the folder of the one that is tried."""

    def write(path: Path) -> Path:
        for name, text in content.items():
            if not (path.parent / name).exists():
                (path.parent / name).write_text(text)
        return path.parent

    return write


ENCODER = HashEncoder(16)
SPACE = PlanSpace.of(simulated_pool(EMPTY_WORLD), PromptLibrary.load())
QUERY = Query(text="What is 2 + 2?", id="q")
PLAN = Plan(mode=ModeSpec(name="IO"), domain="Math", agents=(AgentSpec(role="MathSolver", model="a"),))

# Pools ----------------------------------------------------------------------------------------------------------

CARD = 'name = "a"\nbase_url = "http://localhost:1/v1"\nprice_in = 0.1\nprice_out = 0.2\ncontext_tokens = 4096\n'
parser("pool, TOML", "p.toml", f"[[models]]\n{CARD}max_output_tokens = 512\n", read_source)
parser("pool, JSON", "p.json", {"models": [{"name": "a", "base_url": "http://h/v1", "tags": ["x"]}]}, read_source)
PROFILE = {"Name": "a", "Description": "d", "MaxModelLen": 4096, "MaxOutputTokens": 512, "vllm_config": {"x": 1}}
PROFILES = {"global_settings": {}, "models": [PROFILE], "model_base_urls": {"a": "http://h/v1"}}
parser("pool, profiles", "p.json", PROFILES, read_source)
parser("pool, addresses with a key", "p.json", {"key": "k", "model_base_urls": {"a": "http://h/v1"}}, read_source)
parser("pool, addresses", "p.json", {"a": "http://h/v1", "b": "https://g:8/v1"}, read_source)
parser("pool to serve", "p.toml", f'[[models]]\n{CARD}[models.vllm]\nmodel = "m"\nport = 8001\n', read_pool_file)
parser(".env", "x.env", "URL=http://h/v1\nKEY='k'\nexport A=\"b\"\n# c\n", read_environment)
SERVER = {"name": "a", "pid": 1, "born": 2, "url": "u", "served_name": "s", "log": "l", "digest": "d"}
parser("record of servers", "servers.json", [SERVER], lambda path: State(path.parent).read())
METRICS = (
    "# TYPE vllm:num_requests_running gauge\n"
    'vllm:num_requests_running{model_name="m"} 1.0\nvllm:num_requests_waiting{model_name="m"} 2.0\n'
    'vllm:time_to_first_token_seconds_sum{model_name="m"} 2.5\nvllm:time_to_first_token_seconds_count 3\n'
)


def outside(read: Callable[[Path], object]) -> Callable[[Path], object]:
    """A reader of replies, whose errors are the outside world's."""
    from mar.errors import OutsideError

    def tried(path: Path) -> object:
        try:
            return read(path)
        except OutsideError as error:
            raise UserError(str(error).splitlines()[0]) from None

    return tried


parser("metrics", "m", METRICS, outside(lambda p: read_metrics(p.read_bytes().decode("utf-8", "replace"), "m")))


def model_list(path: Path) -> object:
    """As a server sends it."""
    return read_list(path.read_bytes())


parser("list of models", "m", {"data": [{"id": "a"}]}, model_list)
REPLY = {
    "id": "x",
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "4"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}


def reply(path: Path) -> object:
    """As a client reads it: a text where its library finds no JSON, and whatever is no completion is a fault."""
    from mar.pool.faults import Where
    from mar.pool.openai_reply import ReplyBuilder

    builder = ReplyBuilder()
    text = path.read_bytes().decode("utf-8", "replace")
    try:
        builder.add_whole(decode(text))
        return builder.build(model="m", where=Where(model="m", host="h"), latency_s=1.0, ttft_s=None)
    except (ValueError, RecursionError) as error:  # as the client does
        raise UserError(" ".join(str(error).split())) from None


parser("reply", "r", REPLY, outside(reply))

# Prompts and tasks ----------------------------------------------------------------------------------------------

ROLE = 'description = "Solves."\naggregate = "plain"\noutput = "text"\npost = "none"\nrevise = false\n'
ROLE += 'system = "You are {{ name }}."\n'
parser("decider, TOML", "d.toml", ROLE, PromptLibrary.load().with_decider)
parser("decider, text", "d.md", "You decide.", PromptLibrary.load().with_decider)


PROMPTS = str(resources.files("mar.runtime.prompts"))


def prompts(place: str) -> Callable[[Path], object]:
    """A folder of prompts with one file of one's own."""

    def read(path: Path) -> object:
        target = path.parent / "prompts" / place
        ignored = shutil.ignore_patterns("*.py", "__pycache__")
        shutil.copytree(PROMPTS, path.parent / "prompts", dirs_exist_ok=True, ignore=ignored)
        target.write_bytes(path.read_bytes())
        return PromptLibrary.load(path.parent / "prompts")

    return read


parser("prompts, role", "r.toml", ROLE, prompts("roles/Math/Mine.toml"))
ROWS = [{"id": str(i), "question": f"{i}+1?", "answer": str(i + 1)} for i in range(3)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
TASK = 'name = "own"\ndomain = "Math"\nrows = "rows.jsonl"\n[grader]\nkind = "exact"\n'


def task(path: Path) -> object:
    """A task of one's own, whichever of its files is tried."""
    folder = beside({"task.toml": TASK, "rows.jsonl": LINES})(path)
    return CustomTask.load(folder / "task.toml").items("test")


parser("task", "task.toml", TASK, task)
parser("task, rows", "rows.jsonl", LINES, task)
for ending, content in {
    "jsonl": LINES.encode(),
    "json": json.dumps(ROWS).encode(),
    "jsonl.gz": gzip.compress(LINES.encode(), mtime=0),
    "csv": b"a,b\n1,x\n2,y\n",
}.items():
    parser(f"rows, {ending}", f"r.{ending}", content, read_file)


def parquet() -> bytes:
    """A small Parquet file of scores."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    return saved(lambda p: pq.write_table(pa.table({"id": ["a", "b"], "left": [0.0, 1.0], "right": [1.0, 0.0]}), p))


parser("rows, parquet", "r.parquet", parquet(), read_file)
SAMPLES = Path(load_task.__code__.co_filename).parent / "samples"
for benchmark in ("mbpp", "humaneval", "gsm8k", "math", "mmlu", "mmlu_pro"):
    some = b"".join((SAMPLES / f"{benchmark}.jsonl").read_bytes().splitlines(keepends=True)[:3])
    parser(
        f"benchmark {benchmark}",
        "test.jsonl",
        some,
        lambda path, name=benchmark: load_task(name, path=path).items("test"),
    )
parser("checksums", CHECKSUMS, {"a": "00"}, lambda path: read_checksums(path.parent))
ANSWER = {"response": "x", "score": 1.0, "cost_usd": 0.1}
BENCH = {"sample_id": "mbpp.dev.1", "split": "test", "prompt": "p", "models": {"a": ANSWER}}
parser("RouterBench", "r.jsonl", BENCH, load_routerbench)
parser("MMLU-Pro outputs", "m.jsonl", {"question_id": 1, "pred": "A", "text": "The answer is A"}, load_mmlu_pro)

# Runs -----------------------------------------------------------------------------------------------------------

EPISODE = {"query_id": "q", "plan": PLAN.to_json(), "latency_s": 1.0, "failure": None, "events": []}
parser("episodes", "e.jsonl", json.dumps(EPISODE) + "\n", lambda path: list(read_episodes(path)))
SPREAD = {"mean": 0.5, "low": 0.4, "high": 0.6}
RESULT = {
    "title": "mbpp, 3 items (simulated pool)",
    "notes": {},
    "cost_rate": 20.0,
    "rows": [
        {
            "name": "MasRouter",
            "group": "learned",
            "n": 1,
            "n_failed": 0,
            "accuracy": SPREAD,
            "utility": SPREAD,
            "cost_usd_per_100": 1.0,
            "calls_per_query": 1.0,
            "latency_p50_s": 1.0,
            "latency_p95_s": 1.0,
        }
    ],
}
RUN = {
    "args.json": json.dumps({"pool": "simulated", "domain": None}),
    "results.json": json.dumps(RESULT),
    "items.json": json.dumps({"MasRouter": []}),
    "metrics.jsonl": json.dumps({"step": 1, "loss": 0.5}) + "\n",
    "episodes-test.jsonl": json.dumps(EPISODE) + "\n",
}
for name, text in RUN.items():
    parser(f"run, {name}", name, text, lambda path: read_run(beside(RUN)(path), 1))
parser("telemetry", "t.csv", "run_id,quality\na,1\n", read_named_cells)

# Checkpoints ----------------------------------------------------------------------------------------------------


class Named(HashEncoder):
    """Vectors of the packaged controllers' width under their encoder's name."""

    def __init__(self, name: str, width: int = 384) -> None:
        super().__init__(width)
        self.name = name


def masrouter(path: Path) -> None:
    """A small one."""
    router = MasRouter(NetworkSettings(embedding=16, hidden=4), ENCODER, cost_rate=1.0)
    save_router(path, router, SPACE, trained_on={}, simulated=True)


parser(
    "checkpoint, MasRouter",
    "c",
    saved(masrouter),
    lambda path: load_router(path, ENCODER).router.plan([QUERY], SPACE),
)
for variant in ("early", "published", "ours"):
    made = build(
        SystemSettings(variant=variant, domain="Math", models=(SPACE.cards[0].name,), embedding=16), SPACE, ENCODER
    )
    parser(
        f"checkpoint, system-aware {variant}",
        "c",
        saved(lambda path, made=made: save_system_aware(path, made, trained_on={}, simulated=True)),
        lambda path: load_system_aware(path, ENCODER, SPACE).plan([QUERY], SPACE),
    )
parser(
    "checkpoint, GMT",
    "c",
    packaged_controller("gmt").read_bytes(),
    lambda path: load_personal(path, Named("all-MiniLM-L6-v2")),
)
rng = np.random.default_rng(0)
EXAMPLES = Examples(
    vectors=rng.standard_normal((60, 16)).astype(np.float32),
    scores=(rng.random((60, 2)) < 0.5).astype(np.float32),
    texts=tuple(f"question {i}" for i in range(60)),
)
for kind in ("knn", "linear", "roberta_cluster", "elo", "kernel"):
    router = make_router(kind)
    router.fit(EXAMPLES, EXAMPLES)
    names = tuple(card.name for card in SPACE.cards[:2])
    fitted = RouterController(router=router, models=names, ties=prior(EXAMPLES), encoder=ENCODER)
    parser(
        f"checkpoint, {kind}",
        "c",
        saved(lambda path, fitted=fitted: save_routed(path, fitted, trained_on={})),
        lambda path: load_routed(path, ENCODER).plan([QUERY], SPACE),
    )
ANSWERS = Responses(
    questions=("a", "b"), models=("m", "n"), options=np.array([4, 4]), choices=np.array([[0, 1], [2, -1]])
)
parser(
    "CASCAL, responses", "c", saved(lambda path: save_responses(path, ANSWERS, made_by={"pool": "x"})), load_responses
)

# Votes, questions and tables ------------------------------------------------------------------------------------

VOTES = "".join(
    json.dumps(
        {
            "question_id": "q",
            "turn": 1,
            "judge": "u",
            "model": model,
            "conversation": [{"query": "x", "rating": rating}],
        }
    )
    + "\n"
    for model, rating in (("a", 1.0), ("b", 0.0))
)
parser("votes", "v.jsonl", VOTES, read_groups)
parser("GMT configuration", "g.yaml", "dataset: {name: mt_bench}\ntrain:\n  epochs: 3\n  lr: 0.001\n", load_config)


def store(path: Path) -> object:
    """All that a store holds."""
    kept = InteractionStore(path)
    try:
        return [kept.since(user, 0) for user in kept.users()]
    finally:
        kept.close()


def filled(path: Path) -> None:
    """A store with one interaction."""
    kept = InteractionStore(path)
    kept.rate(kept.record("u", conversation="c", turn=0, model="m", opening="o", query="q", response="r"), 1.0)
    kept.close()


parser("GMT store", "s.sqlite", saved(filled), store)
QUESTION = {"question_id": "1", "category": "c", "question": "q", "options": ["x", "y"], "answer": "A"}
parser("questions", "q.jsonl", json.dumps(QUESTION) + "\n", lambda path: read_records(path, Question))
parser("answers", "a.jsonl", json.dumps({"question_id": "1", "model": "m"}) + "\n", lambda p: read_records(p, Answered))
parser(
    "published vectors",
    "v.pt",
    saved(lambda path: torch.save({"1": torch.ones(4)}, path)),
    lambda path: published_vectors(path, [Question(**QUESTION)]),
)
TABLE = OutcomeTable(name="t", models=("left", "right"), scores=np.eye(2, dtype=np.float32), ids=("a", "b"))
parser(
    "table, npz",
    "t.npz",
    saved(lambda path: np.savez(path, scores=TABLE.scores, models=np.array(TABLE.models)), "f.npz"),
    lambda path: load(str(path)),
)
parser("table, csv", "t.csv", "id,left,right\na,1,0\nb,0,1\n", lambda path: load(str(path)))
parser("table, parquet", "t.parquet", parquet(), lambda path: load(str(path)))


def folder_file(name: str) -> bytes:
    """A file of a saved table."""
    with TemporaryDirectory() as folder:
        TABLE.save(Path(folder))
        return (Path(folder) / name).read_bytes()


def saved_table(path: Path) -> object:
    """A saved table with the one file that is tried."""
    content = path.read_bytes()
    TABLE.save(path.parent / "t")
    (path.parent / "t" / path.name).write_bytes(content)
    return np.asarray(OutcomeTable.open(path.parent / "t").scores).sum()


parser("table, about", "table.json", folder_file("table.json"), saved_table)
parser("table, scores", "scores.npy", folder_file("scores.npy"), saved_table)
PARTS = ("train", "val", "test")
DATASET = {
    "easy": {2: {"all": {"data": {f"{p}_score": np.eye(2) for p in PARTS}, "model": ["a", "b"]}}},
    "embedding": {f"{p}_embed": np.eye(2, dtype=np.float32) for p in PARTS},
    "prompt": {f"{p}_prompt": ["x", "y"] for p in PARTS},
}
parser("pickle, router dataset", "p.pkl", pickle.dumps(DATASET), lambda path: load(str(path)))
BOARD = {"model": np.array(["a", "b"]), "data": {"arc": {"correctness": np.eye(2)}}}
parser("pickle, leaderboard", "p.pkl", pickle.dumps(BOARD, protocol=2), lambda path: load(str(path)))

# Archives -------------------------------------------------------------------------------------------------------


def zipped() -> bytes:
    """A small zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a/b.json"), "[1]" * 50)
        archive.writestr(zipfile.ZipInfo("c"), "x")
    return packed.getvalue()


def tarred() -> bytes:
    """A small tar, not yet packed: its mutations are."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("a/b.json", "c" * 120):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"[1]"))
    return packed.getvalue()


def unpacked(path: Path) -> object:
    """What comes out stays below its folder."""
    place = path
    if path.name == "x.tar":
        place = path.with_name("x.tar.gz")
        place.write_bytes(gzip.compress(path.read_bytes(), 1, mtime=0))
    unpack(place, path.parent / "out", cap_bytes=100_000)
    return attempt(lambda: sorted((path.parent / "out").rglob("*")), "out")


parser("archive, zip", "x.zip", zipped(), unpacked)
parser("archive, tar", "x.tar", tarred(), unpacked)
