"""Programs of the simulated world: the wrong ones fail, the right ones pass, and the same seed finds the same."""

import anyio
import pytest

from mar.errors import DataError
from mar.pool.simulated.assumptions import FalsePass
from mar.runtime.sandbox import Sandbox, TestJob
from mar.tasks import wrong_code
from mar.tasks.mbpp import Mbpp
from mar.tasks.program_edits import wrong_programs
from mar.tasks.task import subset
from mar.tasks.wrong_code import KEPT, CodeItem, code_world

REFERENCE = "def clamp(x, low, high):\n    if x < low:\n        return low\n    return high if x > high else x"
INSIDE, BELOW, ABOVE = "assert clamp(5, 0, 9) == 5", "assert clamp(-1, 0, 9) == 0", "assert clamp(10, 0, 9) == 9"


@pytest.fixture(scope="module")
def sample():
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HUB_OFFLINE", "1")
    yield Mbpp.load()
    patch.undo()


def in_sandbox(work):
    async def main():
        async with Sandbox() as sandbox:
            return await work(sandbox)

    return anyio.run(main)


def test_every_wrong_program_of_a_world_fails_its_tests_and_every_right_one_passes(sample):
    items = subset(sample, "test", 12).items

    async def work(sandbox):
        world = await sample.world(items, sandbox)
        for item in items:
            known = world.get(sample.query(item).id)
            assert 1 <= len(known.wrong) <= KEPT
            assert all([(await sample.score(item, p, sandbox)).solved for p in known.right])
            assert not any([(await sample.score(item, p, sandbox)).solved for p in known.wrong])
            passes_first = [(await sandbox.run_tests(item.job(p, item.tests[:1]))).passed for p in known.wrong]
            assert known.passing == {k for k, passes in enumerate(passes_first) if passes}
        return world

    first = in_sandbox(work)
    assert first == in_sandbox(lambda sandbox: sample.world(items, sandbox))


def test_an_item_is_as_hard_in_a_small_run_as_in_a_large_one(sample):
    small, large = (subset(sample, "test", n).items for n in (2, 5))

    async def work(sandbox):
        return await sample.world(small, sandbox), await sample.world(large, sandbox)

    few, many = in_sandbox(work)
    assert all(many.get(name) == item for name, item in few.items.items())


def item(tests, reference=REFERENCE, shown=1):
    """An item whose first tests are shown."""
    return CodeItem(
        reference=reference, difficulty=0.0, job=lambda code: TestJob(code=code, tests=tests), shown=tests[:shown]
    )


def worlds_item(known, query_id="q"):
    return in_sandbox(lambda s: code_world({query_id: known}, s, benchmark="mbpp")).get(query_id)


@pytest.fixture
def lenient(monkeypatch):
    """Every wrong program is to pass the shown tests."""
    monkeypatch.setattr(wrong_code, "FALSE_PASS", FalsePass(one=1.0, more=1.0, alike=1.0))


@pytest.fixture
def strict(monkeypatch):
    """None is."""
    monkeypatch.setattr(wrong_code, "FALSE_PASS", FalsePass(one=0.0, more=0.0, alike=0.5))


@pytest.mark.usefixtures("strict")
def test_where_the_shown_test_catches_all_no_wrong_program_passes_it():
    found = worlds_item(item((INSIDE, BELOW, ABOVE)))
    assert found.passing == frozenset()

    async def passed(sandbox):
        return [(await sandbox.run_tests(TestJob(code=p, tests=(INSIDE,)))).passed for p in found.wrong]

    assert not any(in_sandbox(passed))


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("shown", [1, 2])
def test_where_it_lets_them_through_wrong_programs_pass_all_that_is_shown_but_not_the_rest(shown):
    tests = (INSIDE, BELOW, ABOVE)
    found = worlds_item(item(tests, shown=shown))
    assert len(found.wrong) >= 3
    assert found.passing == set(range(len(found.wrong)))

    async def passed(sandbox):
        reports = [await sandbox.run_tests(TestJob(code=p, tests=tests)) for p in found.wrong]
        return [[r.outcome == "passed" for r in report.results] for report in reports]

    for outcomes in in_sandbox(passed):
        assert all(outcomes[:shown])
        assert not all(outcomes)


@pytest.mark.usefixtures("lenient")
def test_where_every_test_is_shown_or_none_no_wrong_program_passes():
    assert worlds_item(item((INSIDE, BELOW), shown=2)).passing == frozenset()
    assert worlds_item(item((BELOW,))).passing == frozenset()
    assert worlds_item(item((INSIDE, BELOW), shown=0)).passing == frozenset()


@pytest.mark.usefixtures("strict")
def test_a_shown_test_that_catches_nothing_leaves_programs_that_pass_it():
    found = worlds_item(item(("assert clamp", BELOW, ABOVE)))
    assert found.passing == set(range(len(found.wrong))) != set()


def test_shown_tests_need_not_be_among_those_that_grade():
    known = CodeItem(
        reference=REFERENCE, difficulty=0, job=lambda c: TestJob(code=c, tests=(BELOW, ABOVE)), shown=(INSIDE,)
    )
    found = worlds_item(known)

    async def passed(sandbox):
        shown = [(await sandbox.run_tests(TestJob(code=p, tests=(INSIDE,)))).passed for p in found.wrong]
        return shown, [(await sandbox.run_tests(TestJob(code=p, tests=(BELOW, ABOVE)))).passed for p in found.wrong]

    shown, graded = in_sandbox(passed)
    assert found.passing == {k for k, passes in enumerate(shown) if passes}
    assert not any(graded)


@pytest.mark.parametrize(("shown", "share"), [(1, 0.095), (2, 0.032)])
def test_wrong_programs_pass_as_often_as_recorded_ones_however_popular(shown, share):
    known = item((INSIDE, BELOW, ABOVE), shown=shown)
    items = {f"q/{i}": known for i in range(500)}  # few different programs: the sandbox remembers its verdicts
    world = in_sandbox(lambda s: code_world(items, s, benchmark="mbpp"))
    error = (share * (1 - share) / len(items)) ** 0.5
    for position in (0, 1):
        found = sum(position in world.get(i).passing for i in items) / len(items)
        assert abs(found - share) < 3 * error
    both = sum({0, 1} <= world.get(i).passing for i in items) / len(items)
    assert abs(both - share * 0.46) < 3 * error  # 0.46 of an item's wrong programs pass where any do; 0.095^2 if apart


def test_tests_that_nothing_fails_are_a_data_error_that_names_the_item():
    with pytest.raises(DataError, match=r"mbpp/7: its tests pass even a program that does nothing"):
        in_sandbox(lambda s: code_world({"mbpp/7": item(("assert True",))}, s, benchmark="mbpp"))


def test_a_verdict_that_stays_open_does_not_make_a_program_wrong():
    # The judge does not ask an object with an __eq__ of its own, so every edit that keeps it stays undecided.
    reference = "class Even:\n    def __eq__(self, n):\n        return n % 2 == 0\n\ndef even():\n    return Even()"
    tests = ("assert even() == 4",)

    async def work(sandbox):
        world = await code_world({"q": item(tests, reference)}, sandbox, benchmark="mbpp")
        programs = wrong_programs(reference, "q")
        return world.get("q").wrong, {p: await sandbox.run_tests(TestJob(code=p, tests=tests)) for p in programs}

    kept, reports = in_sandbox(work)
    outcomes = {program: report.results[0].outcome for program, report in reports.items()}
    assert "unsupported" in outcomes.values()
    assert {outcomes[program] for program in kept} <= {"failed", "error"}
