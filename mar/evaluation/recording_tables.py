"""Tables of recorded answers (`mar.pool.recording_table`) made from the recordings that `mar data pull` fetches."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from mar.errors import DataError
from mar.evaluation.letters import PREDICTIONS, read_letters
from mar.evaluation.routereval.recorded import model7_table
from mar.pool.recording_table import RecordedAnswer, RecordingTable
from mar.pool.recordings import load_mmlu_pro, load_routerbench
from mar.pool.replay import Recording
from mar.runtime.code import extract_code
from mar.tasks.mbpp import Mbpp, MbppItem
from mar.tasks.mmlu_pro import MmluPro
from mar.tasks.readers import read_csv
from mar.tasks.registry import load_task
from mar.tasks.task import SPLITS, Task

OUTCOMES = Path("outcomes")
LENGTHS = PREDICTIONS.with_name("response_chars.csv.gz")


def mmlu_pro_letters(data: Path) -> RecordingTable:
    """MMLU-Pro: the letters that 28 LLMs answered with, and how long each reply was.

    Raises:
        DataError: A file is missing, or its rows are not those of MMLU-Pro's questions.
    """
    found = read_letters(data)
    ids = [item.id for item in found.items]
    lengths = _lengths(data / LENGTHS, found.models, ids)
    letters = cast("list[list[str]]", found.letters.tolist())
    return RecordingTable(
        name="mmlu_pro",
        models=dict.fromkeys(found.models, ""),
        answers={
            f"{MmluPro.name}/{item}": {
                model: RecordedAnswer(answer=letter, chars=int(chars))
                for model, letter, chars in zip(found.models, row, length, strict=True)
            }
            for item, row, length in zip(ids, letters, lengths, strict=True)
        },
        form="choice",
        notes={
            "source": "recorded letters of 28 LLMs (TIGER-AI-Lab/MMLU-Pro evaluation outputs)",
            "filled in": "in five columns the publisher replaced unreadable answers, mostly by G",
        },
    )


def mmlu_pro_texts(data: Path) -> RecordingTable:
    """MMLU-Pro: whole replies of those LLMs of which they are there.

    Raises:
        DataError: There are none, or a row is malformed.
    """
    folder = data / PREDICTIONS.with_name("responses")
    files = sorted(folder.glob("*.jsonl.gz"))
    if not files:
        raise DataError(f"no MODEL.jsonl.gz in {folder}; expected the replies of mmlu_pro_outputs (mar data pull)")
    answers: dict[str, dict[str, RecordedAnswer]] = {}
    models: dict[str, str] = {}
    for found in (one for path in files for one in load_mmlu_pro(path)):
        models[found.model] = ""
        answers.setdefault(f"{MmluPro.name}/{found.question_id}", {})[found.model] = RecordedAnswer(answer=found.text)
    source = f"recorded replies of {len(models)} LLMs (TIGER-AI-Lab/MMLU-Pro evaluation outputs)"
    return RecordingTable(name="mmlu_pro_texts", models=models, answers=answers, notes={"source": source})


def routerbench_mbpp(data: Path) -> RecordingTable:
    """RouterBench's MBPP replies to prompts that equal an MBPP text, with scores and costs.

    The prompts did not name the function that the tests call; so where a reply defines a single function, the program
    under that name is its text, and tests can be run on it. Its score is that of the reply as it was given.

    Raises:
        DataError: A file is missing or a row is malformed.
    """
    by_text = {item.text.strip(): item for item in Mbpp.load(data=data).all_items}
    answers: dict[str, Mapping[str, RecordedAnswer]] = {}
    models: dict[str, str] = {}
    for row in load_routerbench(data / OUTCOMES / "routerbench_mbpp" / "mbpp.jsonl.gz"):
        item = by_text.get(row.prompt.strip())
        if item is not None:  # two prompts occur twice
            models |= dict.fromkeys(row.answers, "")
            answers.setdefault(f"{Mbpp.name}/{item.id}", {m: _program(a, item) for m, a in row.answers.items()})
    notes = {
        "source": f"recorded replies of {len(models)} LLMs (RouterBench)",
        "programs": "a reply's only function has the name that the tests call",
    }
    return RecordingTable(name="routerbench_mbpp", models=models, answers=answers, graded_by="publisher", notes=notes)


def model7(data: Path, part: str) -> RecordingTable:
    """Model7: scores of seven 7-8B LLMs on a benchmark's questions, which are found by their text.

    Raises:
        DataError: A file is missing, or the benchmark has none of the questions.
    """
    table = model7_table(data)
    ids = _by_text(load_task(part, data=data))
    answers = {
        ids[key]: {m: RecordedAnswer(score=round(float(s), 6)) for m, s in zip(table.models, scores, strict=True)}
        for text, group, scores in zip(table.prompts, table.groups, table.scores.tolist(), strict=True)
        if group == part and (key := _words(text)) in ids
    }
    return RecordingTable(
        name=f"model7_{part}",
        models=dict.fromkeys(table.models, ""),
        answers=answers,
        graded_by="publisher",
        notes={"source": table.notes["source"]},
    )


RECORDING_TABLES: Mapping[str, Callable[[Path], RecordingTable]] = {
    "mmlu_pro": mmlu_pro_letters,
    "mmlu_pro_texts": mmlu_pro_texts,
    "routerbench_mbpp": routerbench_mbpp,
    **{f"model7_{part}": partial(model7, part=part) for part in ("gsm8k", "humaneval", "mmlu")},
}
"""Tables by name."""


# Programs under the name that tests call ------------------------------------------------------------------------


def called_name(test: str) -> str | None:
    """The function that an assertion calls first, apart from Python's own."""
    calls = [n.func.id for n in ast.walk(ast.parse(test)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    return next((name for name in calls if not hasattr(builtins, name)), None)


def renamed(code: str | None, name: str | None) -> str | None:
    """The program with its only top-level function under another name, or None when it has none or several."""
    try:
        tree = ast.parse(code or "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    if name is None or len(functions) != 1:
        return None
    old = functions[0].name
    functions[0].name = name
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = name
    return ast.unparse(tree)


def _program(answer: Recording, item: MbppItem) -> RecordedAnswer:
    code = renamed(extract_code(answer.text), called_name(item.tests[0]))
    text = answer.text if code is None else f"```python\n{code}\n```"
    return RecordedAnswer(answer=text, score=answer.score, cost_usd=answer.cost_usd)


# Rows that belong together --------------------------------------------------------------------------------------


def _lengths(path: Path, models: Sequence[str], ids: Sequence[str]) -> list[list[str]]:
    header, *rows = [cast("list[str]", row["cells"]) for row in read_csv(path)]
    if tuple(header[1:]) != tuple(models) or [row[0] for row in rows] != list(ids):
        raise DataError(f"{path}: its columns and rows are not those of {PREDICTIONS.name}")
    if any(not cell.isdigit() for row in rows for cell in row[1:]):
        raise DataError(f"{path}: a length is no number; expected characters of every reply")
    return [row[1:] for row in rows]


def _by_text(task: Task[Any]) -> dict[str, str]:
    queries = [task.query(item) for split in SPLITS for item in task.items(split)]
    return {_words(query.text): query.id for query in queries}


def _words(text: str) -> str:
    return " ".join(text.split())
