"""Published files turned into the layouts that mar reads. Contents stay; only containers and field names change.

Output is the same byte for byte whenever the input is, so that its checksum means something.
"""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mar.errors import DataError
from mar.files import write_atomically
from mar.reading import read_json
from mar.reading.limits import DATA
from mar.reading.tables import read_named_cells
from mar.tasks.readers import Row, read_jsonl

_UNREADABLE = (KeyError, ValueError, SyntaxError, TypeError, AttributeError, IndexError, csv.Error, UnicodeDecodeError)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSONL, gzipped where the name says so.

    Raises:
        DataError: There is no row.
    """
    text = "".join(f"{json.dumps(row, ensure_ascii=False, default=str)}\n" for row in rows)
    if not text:
        raise DataError(f"nothing came for {path.name}; expected rows")
    _write_text(path, text)


def write_mmlu_csv(folder: Path, rows: Iterable[Row]) -> None:
    """Write MMLU's rows as one CSV file per subject, named SUBJECT_PART.csv after the folder's name."""
    subjects: dict[str, list[list[Any]]] = {}
    for row in rows:
        cells = [row["question"], *row["choices"], row["answer"]]
        subjects.setdefault(str(row["subject"]), []).append(cells)
    if not subjects:
        raise DataError(f"nothing came for {folder.name}; expected rows of MMLU")
    header = ["question", *(f"choice{n}" for n in range(4)), "answer"]
    for subject, lines in subjects.items():
        _write_csv(folder / f"{subject}_{folder.name}.csv", [header, *lines])


def write_scores(sources: Sequence[Path], to: Path) -> None:
    """RouterDC's lists of questions: question and scores of each, without its cluster."""
    rows = [row for source in sources for row in read_jsonl(source)]
    try:
        write_rows(to, [{"question": row["question"], "scores": row["scores"]} for row in rows])
    except _UNREADABLE as error:
        raise _not_as_expected(sources[0], error) from None


def write_routerbench_mbpp(sources: Sequence[Path], to: Path) -> None:
    """RouterBench's MBPP as RouterDC's CSV files hold it: response, score and cost by model; mbpp_SPLIT.csv."""
    rows: list[Row] = []
    for source in sources:
        split = source.stem.rpartition("_")[2]
        try:
            rows += [_routerbench_row(line, split) for line in read_named_cells(source)]
        except _UNREADABLE as error:
            raise _not_as_expected(source, error) from None
    write_rows(to, rows)


def _routerbench_row(line: Mapping[str, str], split: str) -> Row:
    models = [name.removesuffix("|model_response") for name in line if name.endswith("|model_response")]
    return {
        "sample_id": line["sample_id"],
        "split": split,
        "prompt": _only(line["prompt"]),
        "models": {
            model: {
                "response": _only(line[f"{model}|model_response"]),
                "score": float(line[model]),
                "cost_usd": float(line[f"{model}|total_cost"]),
            }
            for model in models
        },
    }


def _only(cell: str) -> str:
    """The text of a cell, which is written as a Python list of one text."""
    return str(ast.literal_eval(cell)[0]) if cell.startswith("[") else cell


def write_mmlu_pro_outputs(folders: Mapping[str, Path], to: Path) -> None:
    """MMLU-Pro's recorded outputs: responses/MODEL.jsonl.gz and two tables, question x model.

    Args:
        folders: By model, the folder that its archive was unpacked to; its JSON files are lists of outputs.
        to: The folder to write below.
    """
    letters: dict[int, dict[str, object]] = {}
    lengths: dict[int, dict[str, object]] = {}
    for model, folder in folders.items():
        rows = _outputs(folder)
        write_rows(to / "responses" / f"{model}.jsonl.gz", rows)
        for row in rows:
            letters.setdefault(row["question_id"], {})[model] = row["pred"]
            lengths.setdefault(row["question_id"], {})[model] = len(row["text"])
    for name, table in (("predictions", letters), ("response_chars", lengths)):
        body = [[qid, *(table[qid].get(m, "") for m in folders)] for qid in sorted(table)]
        _write_csv(to / f"{name}.csv.gz", [["question_id", *folders], *body])


def _outputs(folder: Path) -> list[Row]:
    try:
        names = sorted(p for p in folder.rglob("*.json") if "__MACOSX" not in p.parts)
        found = [row for path in names for row in cast("list[Row]", read_json(path, most=DATA))]
        rows: list[Row] = [
            {
                "question_id": int(row["question_id"]),
                "pred": str(row.get("pred") or ""),  # empty: no letter could be read
                "text": str(row.get("model_outputs") or row.get("generated_text") or ""),
            }
            for row in found
        ]
    except _UNREADABLE as error:
        raise _not_as_expected(folder, error) from None
    return sorted(rows, key=lambda row: row["question_id"])


def _not_as_expected(source: Path, error: Exception) -> DataError:
    return DataError(f"{source.name} is not laid out as expected ({type(error).__name__}: {error})")


def _write_csv(path: Path, lines: Iterable[Sequence[object]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    _write_text(path, text.getvalue())


def _write_text(path: Path, text: str) -> None:
    data = text.encode()
    write_atomically(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
