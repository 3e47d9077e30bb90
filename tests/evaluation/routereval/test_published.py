"""RouterEval's pickles: read without running anything."""

import os
import pickle

import numpy as np
import pytest

from mar.errors import DataError
from mar.evaluation.routereval.construct import candidates, routing_set, stratified
from mar.evaluation.routereval.files import load
from mar.evaluation.routereval.published import benchmark_of, read_router_dataset, write_router_dataset
from mar.reading.pickles import read_pickle
from tests.evaluation.routereval.tables import two_kinds


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_plain_containers_are_read_in_every_protocol(tmp_path, protocol):
    whole = {"a": np.arange(6.0).reshape(2, 3), "b": [1, ("x", None)], "c": np.float32(2), "t": np.array(["p", "q"])}
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(whole, protocol=protocol))
    found = read_pickle(tmp_path / "t.pkl")
    assert np.array_equal(found["a"], whole["a"])
    assert (found["b"], found["c"], found["t"].tolist()) == ([1, ("x", None)], 2, ["p", "q"])


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_asks_for_anything_else_is_refused_with_its_name_and_runs_nothing(tmp_path, protocol):
    (tmp_path / "t.pkl").write_bytes(pickle.dumps({"data": Harmful(str(tmp_path / "made"))}, protocol=protocol))
    with pytest.raises(DataError, match=r"asks for (posix|os)\.mkdir; only NumPy arrays and plain containers"):
        read_pickle(tmp_path / "t.pkl")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "program", [b"cbuiltins\neval\n(S'1'\ntR.", b"c_codecs\nencode\n(Vx\nVrot13\ntR.", b"cnumpy\nload\n(S'x'\ntR."]
)
def test_programs_written_by_hand_are_refused(tmp_path, program):
    (tmp_path / "t.pkl").write_bytes(program)
    with pytest.raises(DataError, match="asks for"):
        read_pickle(tmp_path / "t.pkl")


def test_a_damaged_pickle_is_one_error(tmp_path):
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(np.ones(5))[:-9])
    with pytest.raises(DataError, match="no pickle that can be read"):
        read_pickle(tmp_path / "t.pkl")


def test_a_router_dataset_is_written_and_read_back(tmp_path):
    table = two_kinds(60)
    split = stratified(table.groups)
    sets = [routing_set(table, candidates(table, 3, g), split, group=g) for g in ("all_strong", "all_weak")]
    write_router_dataset(sets, split, tmp_path / "mmlu.pkl")
    whole = read_pickle(tmp_path / "mmlu.pkl")
    assert sorted(whole) == ["easy", "embedding", "prompt", "split_index"]
    assert sorted(whole["easy"][3]["all_weak"]["data"]) == ["test_score", "train_score", "val_score"]
    for before, after in zip(sets, load(str(tmp_path / "mmlu.pkl")), strict=True):
        assert after.benchmark == "mmlu"
        assert (after.group, after.models) == (before.group, before.models)
        assert np.array_equal(after.test.scores, before.test.scores)
        assert np.array_equal(after.train.vectors, before.train.vectors)
        assert after.validation.texts == before.validation.texts


def test_a_router_dataset_that_lacks_something_names_it(tmp_path):
    problem = {"data": {"train_score": np.ones((2, 2))}, "model": ["a", "b"]}
    whole = {"hard": {10: {"all_weak": problem}}, "embedding": {"train_embed": np.ones((2, 4))}}
    (tmp_path / "arc.pkl").write_bytes(pickle.dumps(whole))
    with pytest.raises(DataError, match=r"hard 10 all_weak: no 'val(idation)?_embed'"):
        read_router_dataset(tmp_path / "arc.pkl")


def test_a_leaderboard_becomes_a_table_per_benchmark_with_prompts_and_embeddings(tmp_path):
    def write(folder, content):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "leaderboard_old.pkl").write_bytes(pickle.dumps(content))

    names = ("harness_truthfulqa_mc_0", "hendrycksTest_mmlu_law", "hendrycksTest_mmlu_math")
    sizes = dict(zip(names, (4, 3, 2), strict=True))
    data = {name: {"correctness": np.ones((n, 2))} for name, n in sizes.items()}
    write("leaderboard_score", {"model": ["a", "b"], "data": data})
    write("leaderboard_prompt", {name: [f"{name} {i}" for i in range(n)] for name, n in sizes.items()})
    write("leaderboard_embed", {"RoBERTa": {name: np.zeros((n, 5)) for name, n in sizes.items()}})
    path = str(tmp_path / "leaderboard_score" / "leaderboard_old.pkl")
    truthful, mmlu = load(path, embedding="RoBERTa")
    assert (truthful.name, len(truthful), mmlu.name, len(mmlu)) == ("truthfulqa", 4, "mmlu", 5)
    assert mmlu.groups == (names[1],) * 3 + (names[2],) * 2
    assert mmlu.prompts[3] == f"{names[2]} 0"
    assert mmlu.vectors.shape == (5, 5)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("harness_truthfulqa_mc_0", "truthfulqa"),
        ("leaderboard_mmlu_pro", "mmlu_pro"),
        ("MATH-lvl-5", "math"),
        ("x", "x"),
    ],
)
def test_published_names_of_benchmarks(text, name):
    assert benchmark_of(text) == name
