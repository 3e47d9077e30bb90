"""How programs are read out of answers and judged: references in several forms, right programs, forgeries.

    python benchmarks/program_reading.py [--isolation auto] [--only forms|right|forged]

`forms`: every reference of HumanEval and MBPP, written as models write answers, has to be read and pass. `right`: right
programs of many styles (benchmarks/programs/right.py) have to pass or be `unsupported`, never fail. `forged`: programs
that try to pass without being right (benchmarks/programs/forged.py), none of which may. Needs HumanEval and MBPP under
`MAR_DATA`, or under `../shared/data` beside the checkout.
"""

from __future__ import annotations

import argparse
import ast
import os
import textwrap
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, cast

import anyio
from programs import forged, right
from programs.sample import Sample

from mar.concurrency import gather
from mar.runtime.sandbox import Limits, Sandbox, TestJob
from mar.tasks.humaneval import HumanEval, HumanEvalItem
from mar.tasks.mbpp import Mbpp, MbppItem

DATA = Path(os.environ.get("MAR_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data") / "benchmarks"
LIMITS = Limits(wall_s=60, cpu_s=60)  # one reference computes for seconds


def fenced(code: str, mark: str = "```", language: str = "python") -> str:
    """The code in a fence."""
    return f"{mark}{language}\n{code.strip(chr(10))}\n{mark}"


def in_blocks(code: str, name: str) -> str:
    """Each import and helper in a block of its own, the main function last."""
    lines, parts = code.split("\n"), list[tuple[bool, str]]()
    for statement in ast.parse(code).body:
        first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
        parts.append((getattr(statement, "name", "") == name, "\n".join(lines[first - 1 : statement.end_lineno])))
    main = [text for is_main, text in parts if is_main]
    rest = [text for is_main, text in parts if not is_main]
    if not main:
        return fenced(code)
    return "First what is needed:\n\n" + "\n\nThen:\n\n".join(fenced(p) for p in [*rest, "\n\n".join(main)])


def with_usage(code: str, name: str) -> str:
    """A block with usage and tests after the solution."""
    usage = f"def test_{name}():\n    assert callable({name})\n\ntest_{name}()\nprint({name})"
    return f"Solution:\n\n{fenced(code)}\n\nUsage and a test:\n\n{fenced(usage)}\n\nI hope that this helps!"


def in_prose(code: str) -> str:
    """No fence, prose before and after."""
    return f"Sure! Here is the function that you asked for:\n\n{code.strip(chr(10))}\n\nIt handles all cases, I think."


def after_a_draft(code: str, name: str) -> str:
    """A wrong draft in a block before it, the bare skeleton after it."""
    draft, skeleton = f"def {name}(*args):\n    return None", f"def {name}(*args):\n    pass"
    return f"{fenced(draft)}\nThat is wrong. Better:\n{fenced(code)}\nwhich fills in\n{fenced(skeleton)}"


WHOLE: dict[str, Callable[[str, str], str]] = {
    "fenced": lambda code, name: f"Here it is:\n\n{fenced(code)}\n\nDone.",
    "no fence": lambda code, name: code,
    "no fence, prose around": lambda code, name: in_prose(code),
    "imports and helpers in blocks of their own": in_blocks,
    "a block of tests and usage after it": with_usage,
    "a draft before it, a skeleton after it": after_a_draft,
    "closing fence only": lambda code, name: f"{code.rstrip()}\n```\n\nThis solves it.",
    "closing fence on the last line": lambda code, name: f"```python\n{code.rstrip()}```",
    "no closing fence": lambda code, name: f"Here:\n```py\n{code}",
    "tildes in a list, CRLF": lambda code, name: (
        "1. " + textwrap.indent(fenced(code, "~~~"), "   ").lstrip().replace("\n", "\r\n")
    ),
    "tags": lambda code, name: f"[PYTHON]\n{code.strip(chr(10))}\n[/PYTHON]",
}
BODY: dict[str, Callable[[str], str]] = {
    "body, no fence": lambda body: body,
    "body, fenced": fenced,
    "body, no fence, first line without its indentation": lambda body: body.strip(),
    "body, dedented, fenced": lambda body: fenced(textwrap.dedent(body.strip("\n"))),
    "body, one space more": lambda body: textwrap.indent(body.strip("\n"), " "),
    "body, no fence, prose after": lambda body: f"{body.rstrip()}\n\nThis is the shortest way.",
}


async def forms(sandbox: Sandbox) -> None:
    """Every reference in every form."""
    humaneval = HumanEval.load(path=DATA / "humaneval" / "HumanEval.jsonl.gz")
    mbpp = Mbpp.load(path=DATA / "mbpp" / "mbpp.jsonl")
    whole = {i.id: i.prompt + (i.solution or "") for i in humaneval.all_items}
    print(f"\nHumanEval: {len(humaneval.all_items)} references")
    for form, write in WHOLE.items():
        answers = [(i, write(whole[i.id], i.entry_point)) for i in humaneval.all_items]
        await report(form, [partial(solves, humaneval, i, a, sandbox) for i, a in answers])
    for form, write in BODY.items():
        answers = [(i, write(i.solution or "")) for i in humaneval.all_items]
        await report(form, [partial(solves, humaneval, i, a, sandbox) for i, a in answers])
    print(f"\nMBPP: {len(mbpp.all_items)} references")
    for form, write in WHOLE.items():
        answers = [(i, write(i.code.replace("\r\n", "\n"), called(i))) for i in mbpp.all_items]
        await report(form, [partial(solves, mbpp, i, a, sandbox) for i, a in answers])


def called(item: MbppItem) -> str:
    """The function that a task asks for."""
    names = mbpp_names(item)
    return names[0] if names else next(s.name for s in ast.parse(item.code).body if isinstance(s, ast.FunctionDef))


def mbpp_names(item: MbppItem) -> Sequence[str]:
    """What the first test calls of what the reference defines."""
    defined = [s.name for s in ast.parse(item.code).body if isinstance(s, ast.FunctionDef | ast.ClassDef)]
    used = {n.id for n in ast.walk(ast.parse(item.tests[0])) if isinstance(n, ast.Name)}
    return [d for d in defined if d in used]


async def solves(task: HumanEval | Mbpp, item: HumanEvalItem | MbppItem, text: str, sandbox: Sandbox) -> str:
    """Nothing, or which item was not solved and why."""
    query = task.query(item)  # pyright: ignore[reportArgumentType]
    score = await task.score(item, query.answer_format.extract(text), sandbox)  # pyright: ignore[reportArgumentType]
    return "" if score.solved else f"{item.id}: {score.feedback[:100]}"


async def report(form: str, work: Sequence[Callable[[], Awaitable[str]]]) -> None:
    """One line: how many of a form pass, and what became of the first that do not."""
    found = await gather(work, limit=64)
    wrong = [f for f in found if f]
    print(f"{form}: {len(found) - len(wrong)} of {len(found)} pass {wrong[:4] if wrong else ''}".rstrip(), flush=True)


async def outcome(sample: Sample, sandbox: Sandbox) -> str:
    """The outcome of a sample's tests: that of the first which did not pass."""
    report = await sandbox.run_tests(TestJob(code=sample.code, tests=sample.tests, setup=sample.setup))
    wrong = next((r for r in report.results if r.outcome != "passed"), None)
    return "passed" if wrong is None else f"{wrong.outcome}: {wrong.detail}"


async def judged(title: str, samples: Sequence[Sample], allowed: set[str], sandbox: Sandbox) -> None:
    """Counts of outcomes over a collection, and every sample whose outcome may not be."""
    outcomes = await gather([partial(outcome, s, sandbox) for s in samples], limit=64)
    counts = Counter(o.partition(":")[0] for o in outcomes)
    print(f"\n{title}: {len(samples)} programs; {dict(counts.most_common())}")
    for sample, found in zip(samples, outcomes, strict=True):
        if found.partition(":")[0] not in allowed:
            print(f"  WRONG {sample.name}: {found}")
        elif found.startswith("unsupported") and "passed" in allowed:
            print(f"  {sample.name}: {found}")


async def main(isolation: Literal["auto", "namespaces", "rlimits"], only: str) -> None:
    """All parts, or the one named."""
    async with Sandbox(workers=2, isolation=isolation, limits=LIMITS) as sandbox:
        print(f"isolation {sandbox.isolation}")
        if only in ("", "forms"):
            await forms(sandbox)
    async with Sandbox(workers=2, isolation=isolation) as sandbox:
        if only in ("", "right"):
            await judged("Right programs", right.SAMPLES, {"passed", "unsupported"}, sandbox)
        if only in ("", "forged"):
            outcomes = {"failed", "error", "timeout", "memory", "crashed", "unsupported"}
            await judged("Forgeries", forged.SAMPLES, outcomes, sandbox)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isolation", choices=("auto", "namespaces", "rlimits"), default="auto")
    parser.add_argument("--only", choices=("forms", "right", "forged"), default="")
    options = parser.parse_args()
    anyio.run(main, cast(Literal["auto", "namespaces", "rlimits"], options.isolation), options.only)
