"""The view of runs: a folder of training runs, opened by `mar ui`, with no gateway.

Files of runs are strangers': what cannot be read is said in one line, on the page. Reading them, and drawing a report,
takes seconds where they are long, so that is done in threads, and kept until a file has changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
from starlette.responses import HTMLResponse, Response

from mar.errors import MarError
from mar.evaluation.report.conversation import converse
from mar.evaluation.report.facts import EpisodeFacts
from mar.evaluation.report.folder import Listed, charts, list_runs
from mar.evaluation.report.graph import draw
from mar.evaluation.report.pareto import pareto_front, points
from mar.evaluation.report.reading import ControllerRow, Run, load_episodes, read_run
from mar.serving.bodies import told
from mar.serving.errors import Refusal
from mar.serving.ui.frame import Asking, Door, View
from mar.serving.ui.paper import HEADERS
from mar.types import EpisodeStarted

T = TypeVar("T")
KEPT = 8  # runs and reports
PAGE = 50  # episodes
TEXT = 20_000  # characters of one text that are shown
MOST_TOGETHER = 4  # runs beside each other
FILES = ("args.json", "results.json", "items.json", "metrics.jsonl", "episodes-test.jsonl")
FRAMED = {"content-security-policy": HEADERS["content-security-policy"] + "; frame-src 'self'"}
# A report is a page of its own, with its styles and pictures inside it, shown within a page of ours.
REPORT = {
    "content-security-policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox",
    "x-frame-options": "SAMEORIGIN",
}


def runs_view(root: Path) -> View:
    """The view of the runs below a folder."""
    doors = _Doors(root)
    return View(
        title="Runs",
        path="/runs",
        doors=(
            Door(path="/runs", handler=doors.all),
            Door(path="/runs/one", handler=doors.some),
            Door(path="/runs/episode", handler=doors.episode),
            Door(path="/runs/report", handler=doors.report),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An episode in a list."""

    facts: EpisodeFacts
    outcome: str


class _Doors:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    async def all(self, asking: Asking) -> Response:
        """The runs there are."""
        found = await _aside(partial(list_runs, self._root))
        text = asking.one("text").lower()
        shown = [one for one in found if text in f"{one.name} {one.run.benchmark if one.run else ''}".lower()]
        return asking.page("runs.html.j2", runs=shown, all=len(found), text=asking.one("text"), most=MOST_TOGETHER)

    async def some(self, asking: Asking) -> Response:
        """One run, or some beside each other."""
        runs = await self._runs(asking)
        names = [name for name in asking.request.query_params.getlist("run") if name][:MOST_TOGETHER]
        values: dict[str, Any] = {
            "runs": runs,
            "names": names,
            "plots": _plots(runs),
            "tables": [_front(r) for r in runs],
        }
        if len(runs) == 1:
            values |= self._episodes(asking, runs[0])
        response = asking.page("runs_one.html.j2", **values)
        response.headers.update(FRAMED)
        return response

    async def episode(self, asking: Asking) -> Response:
        """An episode of a run in full."""
        run = (await self._runs(asking))[0]
        at = asking.one("at")
        position = int(at) if at.isdecimal() and len(at) < 10 else -1
        if not 0 <= position < len(run.facts):
            raise Refusal("there is no such episode in this run", status=404, code="episode_not_found")
        traces = await _aside(partial(load_episodes, run, [position]))
        episode = traces[position]
        conversation = converse(episode)
        started = next((e for e in episode.events if isinstance(e, EpisodeStarted)), None)
        return asking.page(
            "runs_episode.html.j2",
            name=asking.one("run"),
            shown=_shown(run, run.facts[position]),
            query="" if started is None else started.query,
            answer=episode.answer,
            failure=episode.failure,
            conversation=conversation,
            graph=draw(conversation),
            most=TEXT,
        )

    async def report(self, asking: Asking) -> Response:
        """The report about some runs, as `mar report` writes it."""
        runs = await self._runs(asking)
        key = ("report", *(_stamp(run.path) for run in runs))
        page = await self._once(key, partial(_report, runs))
        return HTMLResponse(page, headers=REPORT)

    def _episodes(self, asking: Asking, run: Run) -> dict[str, Any]:
        """A part of the list of a run's episodes."""
        outcome, text = asking.one("outcome"), asking.one("text").lower()
        shown = [_shown(run, facts) for facts in run.facts]
        shown = [
            s
            for s in shown
            if outcome in ("", _kind(s.outcome)) and text in f"{s.facts.query_id} {s.facts.mode}".lower()
        ]
        chosen = asking.one("page")
        pages = max(1, -(-len(shown) // PAGE))
        page = min(int(chosen) if chosen.isdecimal() and len(chosen) < 7 else 1, pages)
        part = shown[(max(1, page) - 1) * PAGE :][:PAGE]
        return {
            "episodes": part,
            "n": len(shown),
            "page": page,
            "pages": pages,
            "outcome": outcome,
            "text": asking.one("text"),
        }

    async def _runs(self, asking: Asking) -> list[Run]:
        """The runs that are named.

        Raises:
            Refusal: There is none of a name, or it cannot be read.
        """
        there = {one.name: one for one in await _aside(partial(list_runs, self._root))}
        names = [name for name in asking.request.query_params.getlist("run") if name][:MOST_TOGETHER]
        if not names or any(name not in there for name in names):
            missing = next((name for name in names if name not in there), "")
            raise Refusal(f"there is no run {told(missing)!r} here", status=404, code="run_not_found")
        return [await self._run(there[name], number) for number, name in enumerate(names, start=1)]

    async def _run(self, listed: Listed, number: int) -> Run:
        if listed.run is None:
            raise Refusal(listed.problem, status=422, code="unreadable")
        path = listed.run.path
        return await self._once(("run", number, _stamp(path)), partial(read_run, path, number))

    async def _once(self, key: Hashable, work: Callable[[], T]) -> T:
        """What is worked out, once for as long as files stay as they are."""
        if key not in self._kept:
            self._kept[key] = await _aside(work)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


async def _aside(work: Callable[[], T]) -> T:
    """Done in a thread.

    Raises:
        Refusal: A file cannot be used.
    """
    try:
        return await anyio.to_thread.run_sync(work)
    except MarError as error:
        raise Refusal(str(error), status=422, code="unreadable") from None


def _stamp(path: Path) -> tuple[object, ...]:
    """Changes with a run's files."""
    found = ((path / name) for name in FILES)
    return (path, *((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in found if f.is_file()))


def _report(runs: Sequence[Run]) -> str:
    from mar.evaluation.report.page import compose, render

    return render(compose(runs))


def _plots(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [
        {
            "title": chart.title,
            "data": {
                "x": list(chart.steps),
                "time": False,
                "label": "updates",
                "height": 190,
                "series": [{"name": c.label, "values": list(c.values), "dots": c.dots} for c in chart.curves],
            },
        }
        for chart in charts(runs)
    ]


def _front(run: Run) -> list[tuple[ControllerRow, bool]]:
    """A run's table, each row with whether it lies on the Pareto front; of oracles none does."""
    rows = () if run.results is None else run.results.rows
    front = set(pareto_front(points(rows)))
    return [(row, i in front) for i, row in enumerate(rows)]


def _shown(run: Run, facts: EpisodeFacts) -> Shown:
    item = run.items.get(facts.query_id)
    failure = facts.failure or (None if item is None else item.failure)
    verdict = "not scored" if item is None else "solved" if item.solved else "wrong answer"
    return Shown(facts=facts, outcome=verdict if failure is None else f"failed: {failure}")


def _kind(outcome: str) -> str:
    return outcome.partition(":")[0]
