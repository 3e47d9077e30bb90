"""The whole pipeline on the simulated pool, small; resuming; judging; the controller in the runtime."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import torch

import mar
from mar.api import load_controller
from mar.controllers.base import PlanSpace
from mar.controllers.cascal import ABSTAINED, Cascal, load_model
from mar.controllers.embeddings import HashEncoder
from mar.errors import CheckpointError, ConfigError, DataError
from mar.evaluation.cascal_run import CascalOptions, run_cascal
from mar.evaluation.generated import judge, references, vote_of
from mar.learning.generated.records import Journal
from mar.learning.progress import Progress
from mar.pool.scripted import scripted_pool
from mar.runtime.prompts import PromptLibrary
from mar.tasks.scoring.formats import Choice
from mar.types import ChatReply, Query
from tests.controllers.cascal_worlds import responses
from tests.serving import send_json, serving

QUIET = Progress(quiet=True)


def options(tmp_path, **changes):
    given = {"pool": "simulated", "out": tmp_path / "run", "num_training_questions": 60, "test_limit": 8, **changes}
    return CascalOptions(**given)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cascal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.chdir(folder)
        return run_cascal(options(folder), encoder=HashEncoder(256), progress=QUIET)


def test_a_run_leaves_every_artefact_and_a_table(finished):
    table = (finished / "results.md").read_text()
    assert "simulated pool" in table
    assert "knn on the generator's answers" in table
    ranking = json.loads((finished / "ranking.json").read_text())
    assert "overall" in ranking
    model = load_model(finished / "cascal.safetensors")
    assert model.simulated
    assert model.trained_on["consensus"] == "families"
    assert set(ranking["overall"]) == set(model.models)


def test_the_later_steps_again_give_the_same_bytes_on_any_number_of_threads(finished, monkeypatch):
    names = ("scores.safetensors", "cascal.safetensors", "routes.json", "ranking.json")
    before, threads = {name: (finished / name).read_bytes() for name in names}, torch.get_num_threads()
    monkeypatch.chdir(finished.parent)
    again = options(finished.parent, from_step="consensus", redo=True)
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            run_cascal(again, encoder=HashEncoder(256), progress=QUIET)
            assert {name: (finished / name).read_bytes() for name in names} == before
    finally:
        torch.set_num_threads(threads)


def test_steps_that_were_killed_go_on_to_the_same_bytes(finished, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    append, before = Journal.append, 0

    def killed(self, record):
        nonlocal before
        before += 1
        append(self, record)
        if before % 150 == 0:
            raise Killed

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Journal, "append", killed)
    kills = 0
    while not (tmp_path / "run" / "results.md").is_file():
        try:
            run_cascal(options(tmp_path), encoder=HashEncoder(256), progress=QUIET)
        except Killed:
            kills += 1
    assert kills >= 3
    for path in sorted(finished.iterdir()):
        assert (tmp_path / "run" / path.name).read_bytes() == path.read_bytes(), path.name


def test_any_number_of_workers_leaves_the_files_of_one_process(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    asked, files = [], []
    with serving(type("Here", (Letters,), {"asked": asked})) as address:
        cards = "".join(f'[[models]]\nname = "{m}"\nprice_in = 1.0\nprice_out = 1.0\n' for m in "abc")
        Path("pool.toml").write_text(f'base_url = "http://{address}/v1"\n{cards}', encoding="utf-8")
        for workers in (None, 1, 2):
            monkeypatch.setenv("MAR_CACHE", str(tmp_path / f"cache {workers}"))
            asked.clear()
            given = options(tmp_path, pool="pool.toml", split="train", out=Path(f"out {workers}"), workers=workers)
            out = run_cascal(given, encoder=HashEncoder(256), progress=QUIET)
            files.append({p.name: p.read_bytes() for p in out.iterdir() if p.name not in {"spending.jsonl"}})
            calls = len(files[0]["responses-train.journal.jsonl"].splitlines()) + 3 * 8
            assert len(asked) == calls
    assert {"responses-train.safetensors", "cascal.safetensors", "ranking.json", "results.md"} < set(files[0])
    assert files[0] == files[1] == files[2]


class Letters(BaseHTTPRequestHandler):
    """Chooses by what it was asked alone, and keeps count."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    asked: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(body)
        asked = json.loads(body)
        letter = "ABC"[sum((asked["model"] + asked["messages"][-1]["content"]).encode()) % 3]
        usage = {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57}
        message = {"role": "assistant", "content": f"The answer is ({letter})"}
        send_json(self, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})

    def log_message(self, *_: object) -> None:
        pass


def test_workers_are_refused_on_a_simulated_pool(tmp_path):
    with pytest.raises(ConfigError, match="cannot spread a batch on a simulated pool"):
        run_cascal(options(tmp_path, workers=2), encoder=HashEncoder(256), progress=QUIET)


def test_a_folder_of_another_run_is_refused(finished):
    with pytest.raises(ConfigError, match="seed = 0, not 1"):
        run_cascal(options(finished.parent, seed=1), encoder=HashEncoder(256), progress=QUIET)


def test_a_run_that_could_not_begin_leaves_nothing_that_refuses_the_next(tmp_path):
    with pytest.raises(DataError, match=r"no file|holds none of|no such|nowhere"):
        run_cascal(options(tmp_path, data=tmp_path / "nowhere"), encoder=HashEncoder(256), progress=QUIET)
    assert not (tmp_path / "run").exists()


def test_a_step_without_its_input_says_so(tmp_path):
    with pytest.raises(ConfigError, match="comes after"):
        run_cascal(options(tmp_path, from_step="rank", to_step="split"), encoder=HashEncoder(256), progress=QUIET)


# The controller


def space(names):
    pool = scripted_pool(lambda request: "The answer is (A)", names)
    return PlanSpace.of(pool, PromptLibrary.load())


def test_top_one_is_a_single_agent_and_top_three_a_vote(finished):
    model = load_model(finished / "cascal.safetensors")
    queries = [Query(text="What is heat?"), Query(text="What is law?")]
    alone = Cascal(model, HashEncoder(256)).plan(queries, space(model.models))
    voted = Cascal(model, HashEncoder(256), top=3).plan(queries, space(model.models))
    assert [len(p.plan.agents) for p in alone] == [1, 1]
    assert {(p.plan.mode.name, p.plan.decision, p.plan.tie_break) for p in voted} == {("Vote", "vote", "zscore")}
    assert [p.plan.agents[0] for p in voted] == [p.plan.agents[0] for p in alone]
    assert all(a.confidence is not None for p in voted for a in p.plan.agents)
    assert "overall ranking" in alone[0].notes["routed by"]  # a hashed vector lies far from everything


def test_models_that_the_pool_lacks_are_passed_over_and_none_left_is_an_error(finished):
    model = load_model(finished / "cascal.safetensors")
    some = model.models[3:6]
    planned = Cascal(model, HashEncoder(256), top=3).plan([Query(text="x")], space(some))
    assert {a.model for a in planned[0].plan.agents} == set(some)
    with pytest.raises(ConfigError, match="knows"):
        Cascal(model, HashEncoder(256)).plan([Query(text="x")], space(["other"]))


def test_the_file_loads_like_any_other_controller(finished):
    router = load_controller(finished / "cascal.safetensors", encoder=HashEncoder(256))
    queries, models = [Query(text="Which acid gives vinegar its taste?")], space(router.model.models)
    alone = router.plan(queries, models)
    router.top = 3
    assert alone[0].plan.mode.name == "IO"
    assert router.plan(queries, models)[0].plan.mode.name == "Vote"
    assert router.name == "CASCAL top-3"


def test_another_encoder_is_refused(finished):
    class Other(HashEncoder):
        name = "other"

    with pytest.raises(ConfigError, match="this encoder is other"):
        Cascal(load_model(finished / "cascal.safetensors"), Other(256))


def test_a_tie_of_three_goes_to_the_most_confident_in_its_own_units(finished):
    model = load_model(finished / "cascal.safetensors")
    plan = Cascal(model, HashEncoder(256), top=3).plan([Query(text="x")], space(model.models))[0].plan
    letters = dict(zip((a.model for a in plan.agents), "ABC", strict=True))
    surest = plan.agents[2]

    def answer(request):
        agent = next(a for a in plan.agents if a.model == request.model)
        z = 3.0 if agent is surest else 0.0
        logprob = agent.confidence.centre + z * agent.confidence.spread
        return ChatReply(text=f"The answer is ({letters[request.model]})", model=request.model, mean_logprob=logprob)

    class Fixed:
        name = "fixed"

        def plan(self, queries, space):
            return Cascal(model, HashEncoder(256), top=3).plan(queries, space)

    query = Query(text="x", domain="Commonsense", answer_format=Choice(options=("p", "q", "r")))
    episode = mar.run(query, Fixed(), scripted_pool(answer, model.models))
    assert episode.answer == "C"


def test_a_new_model_joins_from_its_responses_alone(finished):
    model = load_model(finished / "cascal.safetensors")
    scores = model.learned.scores[:, 0].astype(float)
    more = model.with_model("new", scores, [])
    assert more.models[-1] == "new"
    assert more.learned.scores[:, :-1].tobytes() == model.learned.scores.tobytes()


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="no checkpoint of CASCAL"):
        load_model(path)


# Judging


def test_votes_and_references_are_counted_by_hand():
    table = responses([[0, 1, 1], [0, 1, 2], [ABSTAINED, 3, 2]])
    gold = np.array([1, 0, 3])
    best = np.array([[0, 1, 2]] * 3)
    assert vote_of(table, best).tolist() == [1, 0, 3]
    silent = responses([[ABSTAINED, 0, ABSTAINED], [1, ABSTAINED, 2]])
    assert vote_of(silent, best[:2], unreadable_vote=True).tolist() == [ABSTAINED, 1]
    judged = judge("x", np.tile([3.0, 2, 1], (3, 1)), table, gold)
    assert judged.top1.tolist() == [0, 1, 0]
    assert judged.top3.tolist() == [1, 1, 1]
    single, oracle = references(table.choices == gold[:, None], table, gold)
    assert (single.top1.tolist(), oracle.top1.tolist()) == ([1, 0, 1], [1, 1, 1])


def test_a_tie_is_broken_by_z_scored_confidence_where_it_is_known():
    table = responses([[0, 1, 2], [0, 1, 1], [0, 0, 0]], logprobs=[[-2, -1, -9], [-1, -5, -8], [-3, -9, -7]])
    # Medians -2, -5, -8, scaled MADs 1, 4 and 1 times 1.4826: z of the first row is 0, 1, -1 over 1.4826.
    assert vote_of(table, np.array([[0, 1, 2]] * 3)).tolist() == [1, 1, 0]
