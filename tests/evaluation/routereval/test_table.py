"""Outcome tables: what they refuse, and that a saved one is mapped, not read."""

import numpy as np
import pytest

from mar.errors import ConfigError, DataError
from mar.evaluation.routereval.files import load
from mar.evaluation.routereval.table import OutcomeTable
from tests.evaluation.routereval.tables import two_kinds


def test_columns_and_rows_keep_everything_together():
    table = two_kinds(20)
    part = table.columns(["weak", "left"]).rows(np.array([3, 1]))
    assert part.models == ("weak", "left")
    assert part.ids == ("q3", "q1")
    assert part.scores.tolist() == table.scores[[3, 1]][:, [2, 0]].tolist()
    assert part.vectors.tolist() == table.vectors[[3, 1]].tolist()


def test_an_unknown_llm_is_named():
    with pytest.raises(DataError, match="no LLM 'gpt'; it has left, right, weak"):
        two_kinds(5).columns(["gpt"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ("a", "b")}, r"shape \(2, 3\); expected \(n, 2\)"),
        ({"models": ("a", "a", "b")}, "'a' is named twice"),
        ({"prompts": ("one",)}, "1 prompts for 2 prompts"),
        ({"vectors": np.zeros((3, 4), np.float32)}, "3 vectors for 2 prompts"),
    ],
)
def test_a_table_that_does_not_fit_together_is_refused(changes, message):
    fields = {"name": "t", "models": ("a", "b", "c"), "scores": np.zeros((2, 3), np.float32)}
    with pytest.raises(DataError, match=message):
        OutcomeTable(**{**fields, **changes})


def test_a_saved_table_is_mapped_and_equal(tmp_path):
    table = two_kinds(30)
    table.save(tmp_path / "t")
    found = OutcomeTable.open(tmp_path / "t")
    assert isinstance(found.scores, np.memmap)
    assert isinstance(found.vectors, np.memmap)
    assert (found.models, found.prompts, found.groups) == (table.models, table.prompts, table.groups)
    assert np.array_equal(found.scores, table.scores)
    assert load(str(tmp_path / "t"))[0].ids == table.ids


def test_a_folder_without_a_whole_table_is_refused(tmp_path):
    two_kinds(5).save(tmp_path)
    (tmp_path / "scores.npy").unlink()
    with pytest.raises(DataError, match="holds no outcome table"):
        OutcomeTable.open(tmp_path)


def test_columns_of_costs_belong_to_their_llms(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("prompt,a,b|total_cost,b,a|total_cost\nx,1,0.5,0,0.25\n")
    (found,) = load(str(path))
    assert (found.models, found.scores.tolist(), found.costs.tolist()) == (("a", "b"), [[1, 0]], [[0.25, 0.5]])
    path.write_text("prompt,a,b,a|total_cost\nx,1,0,0.25\n")
    with pytest.raises(DataError, match="scores and costs of 'b' do not go together"):
        load(str(path))
    path.write_text("prompt,a,a|total_cost\nx,1,-1\n")
    with pytest.raises(DataError, match=r"row 1, a\|total_cost: '-1' is no cost; expected USD, 0 or more"):
        load(str(path))


def test_npz_csv_and_parquet_hold_the_same_table(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = two_kinds(6)
    np.savez(tmp_path / "t.npz", scores=table.scores, models=np.array(table.models), prompts=np.array(table.prompts))
    columns = {"prompt": table.prompts} | {m: table.scores[:, j].tolist() for j, m in enumerate(table.models)}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    for ending in ("npz", "csv", "parquet"):
        (found,) = load(str(tmp_path / f"t.{ending}"))
        assert (found.name, found.models, found.prompts) == ("t", table.models, table.prompts)
        assert np.array_equal(found.scores, table.scores)


def test_a_cell_that_is_no_score_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("prompt,a,b\nx,1,0\ny,,1\n")
    with pytest.raises(DataError, match=r"t.csv, row 2, a: '' is no score"):
        load(str(tmp_path / "t.csv"))


def test_a_score_beyond_one_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("prompt,a,b\nx,1,0\ny,1,1.7\n")
    with pytest.raises(DataError, match=r"t.csv, row 2, b: '1.7' is no score; expected a number from 0 to 1"):
        load(str(tmp_path / "t.csv"))
    np.savez(tmp_path / "t.npz", scores=np.array([[1, 0], [1, 1.7]]), models=np.array(["a", "b"]))
    with pytest.raises(DataError, match=r"t.npz, scores\[1, 1\]: 1.7 is no score"):
        load(str(tmp_path / "t.npz"))


@pytest.mark.parametrize("scores", [np.array([[1.0, np.nan]]), np.array([["1", "0"]])])
def test_an_npz_of_no_numbers_is_refused(tmp_path, scores):
    np.savez(tmp_path / "t.npz", scores=scores, models=np.array(["a", "b"]))
    with pytest.raises(DataError, match=r"t.npz, scores: an array of .*; expected finite numbers"):
        load(str(tmp_path / "t.npz"))


def test_half_an_npz_is_refused(tmp_path):
    np.savez(tmp_path / "t.npz", scores=np.eye(2), models=np.array(["a", "b"]))
    (tmp_path / "t.npz").write_bytes((tmp_path / "t.npz").read_bytes()[:200])
    with pytest.raises(DataError, match=r"t.npz cannot be read"):
        load(str(tmp_path / "t.npz"))


def test_an_npz_of_objects_is_not_opened(tmp_path):
    np.savez(tmp_path / "t.npz", scores=np.array([{}], dtype=object), models=np.array(["a"]))
    with pytest.raises(DataError, match="cannot be read"):
        load(str(tmp_path / "t.npz"))


def test_a_source_that_is_not_there_says_what_could_be():
    with pytest.raises(ConfigError, match="no table 'nothing'; expected mmlu_pro, mmlu_pro_query, model7"):
        load("nothing")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_saved_table_of_numbers_that_are_not_finite_is_refused(tmp_path, value):
    table = OutcomeTable(name="t", models=("a", "b"), scores=np.eye(2, dtype=np.float32))
    table.save(tmp_path)
    np.save(tmp_path / "scores.npy", np.full((2, 2), value, dtype=np.float32))
    with pytest.raises(DataError, match="holds NaN or an infinity"):
        OutcomeTable.open(tmp_path)
