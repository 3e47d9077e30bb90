"""Work in processes of this machine: the same outcomes, whatever becomes of the workers."""

import os
import pickle
from collections import Counter

import pytest

from mar.errors import ConfigError, DataError
from mar.execution import InProcess, Workers, executor
from mar.execution import fleet as fleets
from mar.execution.processes import Process
from mar.execution.work import Bench, outcome_of, parcel
from tests.execution.sums import Sum, Sums

JOBS = [Sum(a=i, b=2 * i) for i in range(6)]
WHOLE = [0, 3, 6, 9, 12, 15]


@pytest.fixture(scope="module")
def two():
    said = []
    with executor(Workers(workers=2), say=said.append) as found:
        found.said = said
        yield found


def test_workers_give_the_outcomes_of_one_process_in_the_order_of_the_jobs(two):
    done = []
    here = InProcess().run(Sums(), JOBS)
    there = two.run(Sums(), JOBS, lambda number, outcome, note: done.append((number, outcome[0], note)))
    assert [s for s, _ in here] == [s for s, _ in there] == WHOLE
    assert {pid for _, pid in here} == {os.getpid()}
    assert os.getpid() not in {pid for _, pid in there}
    assert sorted(done)[2][:2] == (2, 6)
    assert {note.split(":")[0] for _, _, note in done} == {"2 workers"}


def test_workers_go_on_with_another_spec_which_each_is_sent_once(two, monkeypatch):
    sent = []
    monkeypatch.setattr(
        Process, "take_up", lambda self, parcel, really=Process.take_up: (sent.append(self), really(self, parcel))
    )
    before = {pid for _, pid in two.run(Sums(), JOBS)}
    assert {pid for _, pid in two.run(Sums(plus=5), JOBS)} <= before
    assert [s for s, _ in two.run(Sums(plus=7), JOBS)] == [s + 7 for s in WHOLE]
    assert list(Counter(sent).values()) == [3, 3]


def test_a_killed_worker_s_job_is_done_by_another_one_and_people_are_told(two, tmp_path):
    jobs = [*JOBS, Sum(a=1, b=1, once=tmp_path / "killed", happens="killed")]
    assert [s for s, _ in two.run(Sums(), jobs)] == [*WHOLE, 2]
    assert any("was lost (process" in line and "ended by signal 9" in line for line in two.said)


def test_a_worker_that_waits_for_a_place_is_given_no_job():
    class Here:
        """Runs a job at once; the second one never has a place."""

        def __init__(self, name):
            self.name, self.placed = name, name == "worker 1"
            self.bench = Bench()
            self.take_up = self.bench.take_up

        def submit(self, job):
            assert self.placed
            return self.bench.start(job)

        def stop(self):
            with self.bench:
                pass

    with fleets.Fleet(Here, 2) as found:
        told = []
        assert [s for s, _ in found.run(Sums(), JOBS, lambda number, outcome, note: told.append(note))] == WHOLE
        assert told == [f"1 of 2 workers: {n} done" for n in range(1, 7)]


def test_a_worker_that_stands_still_is_not_waited_for(two, tmp_path, monkeypatch):
    monkeypatch.setattr(fleets, "STRAGGLER_S", 0.2)
    jobs = [Sum(a=1, b=1, once=tmp_path / "still", happens="stands still"), *JOBS]
    assert [s for s, _ in two.run(Sums(), jobs)] == [2, *WHOLE]


def test_what_a_job_or_the_opening_raises_is_raised_here(two):
    with pytest.raises(DataError, match="7 is no number"):
        two.run(Sums(), [*JOBS, Sum(a=7, b=0, wrong=True)])
    with pytest.raises(ConfigError, match="no such pool"):
        two.run(Sums(cannot="no such pool"), JOBS)


def test_an_error_while_the_spec_before_is_closed_is_an_error_of_the_jobs_and_nobody_waits_for_ever():
    with Bench() as bench:
        bench.take_up(parcel(Sums(cannot_close="it is broken")))
        assert bench.start(pickle.dumps(Sum(a=1, b=2))).result(20)
        bench.take_up(parcel(Sums()))
        with pytest.raises(ConfigError, match="it is broken"):
            outcome_of(bench.start(pickle.dumps(Sum(a=1, b=2))).result(20))


def test_what_is_open_is_refused_in_one_line(two):
    with pytest.raises(ConfigError, match=r"a job of this run cannot be sent to a worker: .* without --workers"):
        two.run(Sums(), [lambda: 1])
