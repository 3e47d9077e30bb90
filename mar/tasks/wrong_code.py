"""Wrong programs for the simulated pool: small edits of a reference solution that its tests are seen to catch.

A simulated model that gets a programming item wrong must answer with real wrong code, so that parsing, sandbox and
scoring are exercised. Every candidate is run; only those that fail at least one test are kept, so "wrong" is a fact.

Some wrong programs pass the tests that agents are shown. Recorded ones do so rarely, and on few items: there the shown
test lets half of them through, elsewhere it catches all. So a hash of the item's id says whether it is such an item,
and which of its wrong programs pass; how popular they are is another matter. Where too few edits pass, an edit that
fails gets the shown calls' results written into it, the oldest way to please a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from mar.clock import real_work
from mar.concurrency import gather
from mar.errors import DataError
from mar.pool.simulated import FALSE_PASS, SimItem, World
from mar.pool.simulated.draws import uniform
from mar.runtime.sandbox import Sandbox, TestJob
from mar.tasks.program_edits import special_cased, wrong_programs

KEPT = 4  # wrong programs kept per item
UNDECIDED = {"passed", "unsupported"}  # outcomes of a test that do not show a program to be wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeItem:
    """A programming item as a simulated pool gets to know it."""

    reference: str  # the solution
    difficulty: float  # see `SimItem`
    job: Callable[[str], TestJob]  # how a program is tested
    shown: tuple[str, ...]  # the tests that agents see


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wrong:
    """A program that fails a test."""

    program: str
    passes: bool  # all tests that agents see


async def code_world(items: Mapping[str, CodeItem], sandbox: Sandbox, *, benchmark: str) -> World:
    """What a simulated pool knows about programming items.

    Args:
        items: Programming items by query id.
        sandbox: Where candidates for wrong programs are run.
        benchmark: Which published accuracies apply.

    Raises:
        DataError: The tests of an item pass a program that does nothing, so none can be called wrong.
    """
    wrong = await gather([partial(_verified_wrong, i, item, sandbox) for i, item in items.items()], limit=64)
    return World.of(
        (
            i,
            SimItem(
                domain="Code",
                benchmark=benchmark,
                difficulty=item.difficulty,
                right=(item.reference.strip(),),
                wrong=tuple(w.program for w in bad),
                form="code",
                passing=frozenset(k for k, w in enumerate(bad) if w.passes),
            ),
        )
        for (i, item), bad in zip(items.items(), wrong, strict=True)
    )


async def _verified_wrong(query_id: str, item: CodeItem, sandbox: Sandbox) -> list[_Wrong]:
    found = await _caught(wrong_programs(item.reference, query_id), item, sandbox)
    if not found:
        raise DataError(f"{query_id}: its tests pass even a program that does nothing; expected tests that can fail")
    wanted = _wanted(query_id, item)
    if sum(wanted) > sum(w.passes for w in found):
        edits = (special_cased(w.program, item.shown) for w in found if not w.passes)
        found += [w for w in await _caught(filter(None, edits), item, sandbox) if w.passes]
    passing, failing = (iter([w for w in found if w.passes is passes]) for passes in (True, False))
    chosen = [next(passing if passes else failing, None) for passes in wanted]
    return [w for w in chosen if w is not None] or found[:KEPT]


def _wanted(query_id: str, item: CodeItem) -> list[bool]:
    """Which of an item's wrong programs are to pass the shown tests, the most popular first."""
    graded = item.job("").tests
    share = FALSE_PASS.share(len(item.shown)) if set(graded) - set(item.shown) else 0.0  # else passing is being right
    lenient = uniform("lenient tests", query_id) * FALSE_PASS.alike < share
    return [lenient and uniform("false pass", query_id, k) < FALSE_PASS.alike for k in range(KEPT)]


async def _caught(programs: Iterable[str], item: CodeItem, sandbox: Sandbox) -> list[_Wrong]:
    """Those programs that fail a test, in their order."""
    tried = await gather([partial(_tried, p, item, sandbox) for p in programs])
    return [w for w in tried if w is not None]


async def _tried(program: str, item: CodeItem, sandbox: Sandbox) -> _Wrong | None:
    """One program under the shown tests and those that grade it, in this order: an endless one may pass the former."""
    job = item.job(program)
    tests = tuple(dict.fromkeys((*item.shown, *job.tests)))
    report = await real_work(lambda: sandbox.run_tests(replace(job, tests=tests)))
    outcomes = {r.test: r.outcome for r in report.results}
    if all(outcomes[t] in UNDECIDED for t in job.tests):
        return None
    return _Wrong(program=program, passes=bool(item.shown) and all(outcomes[t] == "passed" for t in item.shown))
