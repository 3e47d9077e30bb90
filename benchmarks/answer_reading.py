"""How often answers are read otherwise than they are meant: letters, and expressions of MATH.

    uv run python benchmarks/answer_reading.py [letters | forms | expressions | speed] [--show FORM --count N]

- `letters`: the recorded answers of eight LLMs on MMLU-Pro (outcomes/), against the letters that its evaluation read.
  Counted by what the text states: a disagreement is no misread by itself, since that evaluation takes the first "answer
  is" and, without one, the last capital letter anywhere. `--show FORM` prints a seeded sample to be read by hand.
- `forms`: every right letter of MMLU and MMLU-Pro, written in the usual ways.
- `expressions`: every right answer of MATH, rewritten so that it stays the same, and changed by slips.
- `speed`: microseconds an answer, on the recorded ones.

Without a part all four are run. Without data (MAR_DATA) the script says so.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from _answer_forms import REWRITINGS, SLIPS, changed, rewritten_twice
from _shared import data_folder, machine

from mar.pool import load_mmlu_pro
from mar.tasks.math import Math
from mar.tasks.mmlu import Mmlu
from mar.tasks.mmlu_pro import MmluPro
from mar.tasks.options import OptionItem
from mar.tasks.scoring.choices import extract_choice, read_choice
from mar.tasks.scoring.expressions import compare
from mar.tasks.scoring.formats import said

SLIPS_TRIED = 2_500
TWICE = 120  # pairs of ways that are tried on an answer
LEAD = "What is known about the subject settles it, when the options are weighed one by one against the question. "
PARTS = ("letters", "forms", "expressions", "speed")

_STATED = re.compile(r"answer is:? ?[*(\\]*(?:boxed\{)?([A-J])(?![\w'])", re.IGNORECASE)
_TOGETHER = re.compile(r"answer is:? ?\(?[A-J]\)?(?:,| and| or|/|\.? ?\() ?\(?[A-J]\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A recorded answer, what was read in it, and in what form it states a letter."""

    where: str
    text: str
    recorded: str | None
    read: str | None
    form: str

    @property
    def outcome(self) -> str:
        """How both readings stand to each other."""
        if self.read == self.recorded:
            return "same"
        return "only ours" if self.recorded is None else "only theirs" if self.read is None else "another"


def answers(data: Path) -> Iterator[Answer]:
    """The recorded answers to MMLU-Pro."""
    options: dict[int, list[str]] = {}
    with gzip.open(data / "benchmarks/mmlu_pro/test.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            options[row["question_id"]] = row["options"]
    for path in sorted((data / "outcomes/mmlu_pro/responses").glob("*.jsonl.gz")):
        for answer in load_mmlu_pro(path):
            reading = read_choice(said(answer.text), options.get(answer.question_id, ()))
            yield Answer(
                where=f"{path.name.removesuffix('.jsonl.gz')} {answer.question_id}",
                text=answer.text,
                recorded=answer.letter,
                read=reading.letter,
                form=_form(answer.text, reading.sign),
            )


def _form(text: str, sign: str) -> str:
    stated = set(_STATED.findall(text))
    if _TOGETHER.search(text):
        return "letters named together"
    if len(stated) == 1:
        return "one letter stated"
    return "several letters stated" if stated else f"none stated, ours: {sign}"


def letters(data: Path, show: str | None, count: int) -> None:
    """Print the table of forms, or a sample of one form's disagreements."""
    found = list(answers(data))
    if show is not None:
        unlike = [a for a in found if a.form == show and a.outcome != "same"]
        for answer in random.Random(0).sample(unlike, min(count, len(unlike))):
            ends = f"{answer.text[:150]} [...] {answer.text[-450:]}" if len(answer.text) > 600 else answer.text
            print(f"--- {answer.where}: recorded {answer.recorded}, read {answer.read}\n{ends}")
        return
    table = Counter((a.form, a.outcome) for a in found)
    print(f"{len(found)} recorded answers")
    for form in sorted({form for form, _ in table}):
        counts = {outcome: table[form, outcome] for outcome in ("same", "another", "only theirs", "only ours")}
        print(f"  {form}: " + ", ".join(f"{n} {outcome}" for outcome, n in counts.items() if n))


def forms(data: Path) -> None:
    """Every right letter in the usual forms; what is not read as itself is counted."""
    items = [*Mmlu.load(data=data, full_test=True).all_items, *MmluPro.load(data=data).all_items]
    wrong, unread = Counter[str](), Counter[str]()
    for item in items:
        for name, text in _written(item):
            read = extract_choice(said(text), item.options)
            wrong[name] += read not in (item.gold, None)
            unread[name] += read is None
    print(f"{len(items)} right answers of MMLU and MMLU-Pro")
    for name in wrong:
        print(f"  {name}: {wrong[name]} wrong, {unread[name]} unread")


def _written(item: OptionItem) -> Iterator[tuple[str, str]]:
    gold, text = item.gold, item.options["ABCDEFGHIJ".index(item.gold)]
    yield "(X)", f"({gold})"
    yield "Answer: X", f"{LEAD}\n\nAnswer: {gold}"
    yield "boxed", rf"{LEAD}\boxed{{{gold}}}"
    yield "X because", f"{LEAD}The answer is {gold} because the others fail."
    yield "lower case", f"{LEAD}The answer is {gold.lower()}."
    yield "lower case alone", f"({gold.lower()})"
    unlike = sum(o.strip() == text.strip() for o in item.options) == 1
    if unlike and len(text.strip()) > 1:  # the text of one option only, and no letter itself
        yield "the option's text", text
        yield "The answer is TEXT", f"{LEAD}The answer is {text}"
        yield "X. TEXT", f"{LEAD}The answer is {gold}. {text}"


def expressions(data: Path) -> None:
    """Rewritten and changed answers of MATH; each that is taken wrongly is printed."""
    folder = data / "benchmarks/MATH"
    golds = [i.gold for part in ("test", "train") for i in Math.load(path=folder / f"{part}.jsonl").all_items]
    same = [(gold, *way) for gold in dict.fromkeys(golds) for way in changed(gold, REWRITINGS)]
    twice = [(gold, *way) for gold in dict.fromkeys(golds) for way in rewritten_twice(gold, TWICE, "twice")]
    same = [*same, *dict.fromkeys(twice)]
    slips = [(gold, *way) for gold in dict.fromkeys(golds) for way in changed(gold, SLIPS)]
    slips = random.Random(0).sample(slips, min(SLIPS_TRIED, len(slips)))
    for what, pairs, right in (("rewritten", same, "equal"), ("slips", slips, "different")):
        began = time.monotonic()
        outcomes = [(compare(gold, text), gold, name, text) for gold, name, text in pairs]
        bad = [o for o in outcomes if (o[0] == "equal") is not (right == "equal")]
        undecided = sum(o[0] == "undecided" for o in outcomes)
        print(f"{len(pairs)} {what}: {len(bad)} taken wrongly, {undecided} undecided, {time.monotonic() - began:.0f} s")
        for outcome, gold, name, text in bad:
            print(f"  {name}: {gold}  |  {text}  ->  {outcome}")


def speed(data: Path) -> None:
    """Time of reading a letter in recorded answers, and in 100,000 hostile characters."""
    found = load_mmlu_pro(next(iter(sorted((data / "outcomes/mmlu_pro/responses").glob("*.jsonl.gz")))))
    began = time.process_time()
    for answer in found:
        extract_choice(said(answer.text))
    each = (time.process_time() - began) / len(found)
    size = sum(len(a.text) for a in found) / len(found)
    print(f"{each * 1e6:.0f} microseconds a letter, of {len(found)} answers of {size:.0f} characters")
    slowest = 0.0
    for part in (
        "answer is ",
        "\\boxed{",
        "(",
        "A, ",
        "is the answer ",
        "agent 2 says the answer is B ",
        "\n",
        "option C is ",
        '{"answer": ',
        '{"a\\b}',
    ):
        began = time.process_time()
        extract_choice(said(part * (100_000 // len(part))))
        slowest = max(slowest, time.process_time() - began)
    print(f"at most {slowest * 1e3:.0f} ms for 100,000 hostile characters")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--show", metavar="FORM", help="print disagreements of this form instead of the table")
    parser.add_argument("--count", type=int, default=30, help="so many of them")
    options = parser.parse_args()
    data = data_folder()
    print(machine())
    for part in PARTS if options.part is None else (options.part,):
        match part:
            case "letters":
                letters(data, options.show, options.count)
            case "forms":
                forms(data)
            case "expressions":
                expressions(data)
            case _:
                speed(data)


if __name__ == "__main__":
    main()
