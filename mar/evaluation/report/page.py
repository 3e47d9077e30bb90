"""The page: one HTML file that needs no network and no script, with its figures as PNG files beside it.

What models wrote is hostile. Everything is escaped where it is written, control characters and marks that reorder text
are replaced, and a content security policy forbids scripts and loading anything that is not in the file itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from mar.errors import ConfigError
from mar.evaluation.report import figures
from mar.evaluation.report.conversation import Conversation, Utterance, converse
from mar.evaluation.report.facts import Confusion, Shares, Spread, shares
from mar.evaluation.report.figures import Picture
from mar.evaluation.report.formats import clean, clip, number, percent, short, usd
from mar.evaluation.report.graph import Graph, draw
from mar.evaluation.report.pareto import pareto_front, points
from mar.evaluation.report.picks import Pick, Picks, pick
from mar.evaluation.report.reading import Run, gaps_of, load_episodes, read_run
from mar.files import write_atomically
from mar.tasks.registry import TASKS
from mar.types import Episode, EpisodeStarted

EPISODE_BYTES = 36_000  # for all texts of one episode; at most 20 episodes are shown
LEAST_BYTES, MOST_BYTES = 600, 6_000  # for one text


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run with what is computed for the page."""

    run: Run
    picture: Picture | None
    reliability: Picture | None
    front: frozenset[int]  # positions of the rows on the Pareto front
    calls: Spread
    agents: Spread
    n_failed: int  # episodes
    shares: tuple[Shares, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeView:
    """An episode to show in full."""

    pick: Pick
    query: str
    answer: str | None
    failure: str | None
    conversation: Conversation
    graph: Graph
    text_bytes: int  # limit of each of its texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything on the page."""

    runs: tuple[RunView, ...]
    curves: tuple[Picture, ...]
    confusion: Confusion
    confusion_failed: int
    given: tuple[str, ...]  # runs whose domain was given, so that there is nothing to recognise
    picks: Picks
    episodes: tuple[EpisodeView, ...]

    @property
    def stated(self) -> bool:
        """Whether a run's episodes state what was believed."""
        return any(view.reliability is not None for view in self.runs)

    @property
    def pictures(self) -> list[Picture]:
        """All figures."""
        of_runs = [p for v in self.runs for p in (v.picture, v.reliability) if p is not None]
        return [*of_runs, *self.curves]


def write_report(folders: Sequence[Path], out: Path) -> list[Path]:
    """Write the report about some runs.

    Args:
        folders: Run folders.
        out: The page, a file that ends in .html. Its figures go into a folder of the same name without the suffix.

    Returns:
        The files that were written, the page first.

    Raises:
        DataError: A folder is no run.
        ConfigError: The page cannot be written there.
    """
    if out.suffix != ".html" or out.is_dir():
        raise ConfigError(f"--out is {out}; expected a file that ends in .html")
    page = compose([read_run(folder, number) for number, folder in enumerate(folders, start=1)])
    files = {out: render(page).encode()}
    files |= {out.with_suffix("") / f"{picture.name}.png": picture.light for picture in page.pictures}
    try:
        for path, content in files.items():
            write_atomically(path, content)
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be written: {error.strerror}") from None
    return list(files)


def compose(runs: Sequence[Run]) -> Page:
    """Compute everything that the page shows."""
    picks = pick(runs)
    traces = {run.number: load_episodes(run, (p.facts.position for p in picks.shown if p.run is run)) for run in runs}
    judged = [run for run in runs if run.arguments.domain_given is None and run.benchmark in TASKS]
    return Page(
        runs=tuple(_run_view(run) for run in runs),
        curves=tuple(figures.curves(runs)),
        confusion=Confusion.of(
            (TASKS[run.benchmark or ""].domain, f.domain) for run in judged for f in run.facts if f.domain
        ),
        confusion_failed=sum(f.failure is not None for run in judged for f in run.facts),
        given=tuple(f"{run.label} ({run.arguments.domain_given})" for run in runs if run.arguments.domain_given),
        picks=picks,
        episodes=tuple(_episode_view(p, traces[p.facts.run][p.facts.position]) for p in picks.shown),
    )


def _run_view(run: Run) -> RunView:
    rows = () if run.results is None else run.results.rows
    return RunView(
        run=run,
        picture=figures.trade_off(run),
        reliability=figures.reliability(run),
        front=frozenset(pareto_front(points(rows))),
        calls=Spread.of([len(f.called) for f in run.facts]),
        agents=Spread.of([len(f.roles) for f in run.facts]),
        n_failed=sum(f.failure is not None for f in run.facts),
        shares=shares(run.facts),
    )


def _episode_view(chosen: Pick, episode: Episode) -> EpisodeView:
    conversation = converse(episode)
    texts = 2 + sum(len(e.texts) if isinstance(e, Utterance) else 1 for e in conversation.entries)
    return EpisodeView(
        pick=chosen,
        query=next((e.query for e in episode.events if isinstance(e, EpisodeStarted)), ""),
        answer=episode.answer,
        failure=None if episode.failure is None else f"{episode.failure.kind}: {episode.failure.reason}",
        conversation=conversation,
        graph=draw(conversation),
        text_bytes=max(LEAST_BYTES, min(MOST_BYTES, EPISODE_BYTES // texts)),
    )


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FunctionLoader(_file), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Any] = environment.filters
    filters |= {"number": number, "percent": percent, "usd": usd, "clip": clip, "short": short}
    environment.finalize = _finalize
    runs = [view.run for view in page.runs]
    return environment.get_template("report.html.j2").render(
        page=page,
        gaps=gaps_of(runs),
        caveats=sorted({r.caveat for r in runs if r.caveat}),
        css=Markup(_file("report.css") + _file("conversation.css")),
    )


def _finalize(value: object) -> object:
    """The last thing done to every value: whatever file it came from, it can be shown."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _file(name: str) -> str:
    name = name.removeprefix("report/")  # how templates call those of their folder, for pages that have others, too
    return (resources.files("mar.evaluation.report") / "templates" / name).read_text(encoding="utf-8")
