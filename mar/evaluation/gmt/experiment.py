# pyright: basic
"""One run of a preference router from configuration to table: fit on every split, test beside everything simple."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from rich.table import Table

from mar.controllers.embeddings import Encoder
from mar.controllers.gmt.checkpoint import save_personal
from mar.controllers.gmt.comparisons import Comparisons, Floats, Names, comparisons_of, names_of
from mar.controllers.gmt.personal import PersonalModel, PersonalSettings, fit_personal, predict, states_of
from mar.controllers.gmt.published import PublishedSettings, predict_published
from mar.controllers.gmt.records import Group
from mar.evaluation.gmt.baselines import BASELINES
from mar.evaluation.gmt.config import GmtConfig, without_effect
from mar.evaluation.gmt.data import VoteData, load_votes, told_the_weights
from mar.evaluation.gmt.protocol import Scored, Split, difference, mean_over_splits, per_user
from mar.evaluation.statistics import Interval
from mar.execution import Executor, InProcess, Spec, Workers, executor
from mar.files import write_atomically
from mar.learning.gmt import PublishedTraining, train_published
from mar.learning.progress import Progress
from mar.learning.rundir import RunDir, held
from mar.numerics import one_thread
from mar.reading import read_json, validated
from mar.terminal import Terminal

REFERENCE = "global Bradley-Terry"
OURS, PUBLISHED = "ours", "published router"
SWAPPED = "ours, users swapped"
TOLD = "told the users' weights"
COLD_STARTS = (0, 1, 2, 5, 10)  # visible conversations of users that training never saw
UNSEEN_USERS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """One split as arrays over common names."""

    train: Comparisons  # with validation and extra votes where a router has no use for a validation set
    fitted: Comparisons  # training votes alone, for the published router
    validation: Comparisons
    visible: Comparisons  # what users said before the test: training and validation votes
    test: Comparisons
    newcomers: Newcomers | None  # None: too few users, or of too few conversations, for anybody to be new


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomers:
    """A split in which training never sees some of the users."""

    train: Comparisons
    visible: dict[int, Comparisons | None]  # by how many conversations of each of them are visible; None: no vote
    test: Comparisons


def votes_of(data: VoteData, encoder: Encoder) -> tuple[Votes, ...]:
    """All splits as arrays; every text is embedded once."""
    names = names_of(data.groups, encoder)
    found = list[Votes]()
    for number, split in enumerate(data.splits):
        seen = (*split.train, *split.validation)
        found.append(
            Votes(
                train=comparisons_of((*seen, *split.extra), names),
                fitted=comparisons_of((*split.train, *split.extra), names),
                validation=comparisons_of(split.validation, names),
                visible=comparisons_of(seen, names),
                test=comparisons_of(split.test, names),
                newcomers=_newcomers(number, split, names),
            )
        )
    return tuple(found)


def _newcomers(number: int, split: Split, names: Names) -> Newcomers | None:
    everyone = (*split.train, *split.validation, *split.test)
    users = sorted({g.user for g in everyone})
    rng = np.random.default_rng(number)
    new = set(rng.permutation(users)[: max(1, int(UNSEEN_USERS * len(users)))])
    own = {u: [g for g in everyone if g.user == u] for u in sorted(new)}
    order = {u: [groups[i] for i in rng.permutation(len(groups))] for u, groups in own.items()}
    most = max(COLD_STARTS)
    asked = [g for groups in order.values() for g in groups[most:]]
    hidden = {g.item for g in asked}
    known = [g for g in (*everyone, *split.extra) if g.user not in new and g.item not in hidden]
    test, train = comparisons_of(asked, names), comparisons_of(known, names)
    if not (test.decided.any() and train.decided.any()):
        return None
    shown = {k: [g for groups in order.values() for g in _unlike(groups[:k], hidden)] for k in COLD_STARTS}
    visible = {k: comparisons_of(groups, names) if groups else None for k, groups in shown.items()}
    return Newcomers(train=train, visible=visible, test=test)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is fitted and tested on one split."""

    split: int
    newcomers: bool = False  # on users that training never saw

    @property
    def file(self) -> str:
        """Where a run keeps its scores."""
        return f"{'newcomers' if self.newcomers else 'split'}-{self.split}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What a job came to."""

    scores: dict[str, list[float]]  # of the test votes, by router or by how many conversations are visible
    model: PersonalModel | None = None  # the router, where it is what the run gives away


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits(Spec[Job, Fitted]):
    """Fits and tests routers, on one thread: so results are the same beside any number of others."""

    config: GmtConfig
    votes: tuple[Votes, ...]
    folder: Path  # of the run, where trainings of the published router keep their state
    quiet: bool  # else a bar shows how far such a training is

    @property
    def repeatable(self) -> bool:
        """See `Spec`. No two may train in one folder."""
        return self.config.train.variant == "personal"

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[Job], Awaitable[Fitted]]]:
        """See `Spec`."""
        with one_thread():
            yield self._work

    async def _work(self, job: Job) -> Fitted:
        votes = self.votes[job.split]
        if job.newcomers:
            assert votes.newcomers is not None
            return Fitted(scores=_listed(self._cold_start(votes.newcomers)))
        found, model = (
            self._personal(votes) if self.config.train.variant == "personal" else self._published(job.split, votes)
        )
        for name, baseline in BASELINES.items():
            found[name] = baseline(votes.visible, votes.test)
        if len(votes.train) > len(votes.visible):
            found[f"{REFERENCE}, extra votes too"] = BASELINES[REFERENCE](votes.train, votes.test)
        return Fitted(scores=_listed(found), model=model if job.split == 0 else None)

    def _personal(self, votes: Votes) -> tuple[dict[str, Floats], PersonalModel | None]:
        model = fit_personal(votes.train, self._settings)
        states = states_of(model, votes.visible)
        users = sorted(states)
        moved = {u: states[v] for u, v in zip(users, [*users[1:], *users[:1]], strict=True)}
        alike = fit_personal(votes.train, replace(self._settings, personal=False))
        scores = {
            OURS: predict(model, states, votes.test),
            SWAPPED: predict(model, moved, votes.test),
            "ours, without users": predict(alike, {}, votes.test),
        }
        return scores, model

    def _published(self, number: int, votes: Votes) -> tuple[dict[str, Floats], PersonalModel | None]:
        t = self.config.train
        shape = PublishedSettings(multi_turn=t.multi_turn, width=votes.train.names.query_vectors.shape[1])
        training = PublishedTraining(
            epochs=t.epochs,
            lr=t.lr,
            record_per_user=t.record_per_user,
            prediction_count=t.prediction_count,
            objective=t.objective,
            binary=t.binary,
            eval_every=t.eval_every,
            save_every=self.config.checkpoint.save_every,
            seed=t.seed + number,
        )
        run = RunDir.open(self.folder / f"split-{number}", arguments={"seed": training.seed}, prompts="")
        watch = Progress(quiet=self.quiet)
        trained = train_published(votes.fitted, votes.validation, shape, training, progress=watch, run=run)
        return {PUBLISHED: predict_published(trained.network, votes.visible, votes.test)}, None

    def _cold_start(self, new: Newcomers) -> dict[str, Floats]:
        """Ours, by how many conversations of a new user are visible, and the global ranking."""
        model, found = fit_personal(new.train, self._settings), {REFERENCE: BASELINES[REFERENCE](new.train, new.test)}
        for k, visible in new.visible.items():
            states = {} if visible is None else states_of(model, visible)
            found[str(k)] = predict(model, states, new.test)
        return found

    @property
    def _settings(self) -> PersonalSettings:
        t = self.config.train
        return PersonalSettings(contexts=t.contexts, rounds=t.rounds, multi_turn=t.multi_turn)


def _listed(scores: dict[str, Floats]) -> dict[str, list[float]]:
    return {name: [float(s) for s in values] for name, values in scores.items()}


_SCORES = TypeAdapter(dict[str, list[float]])


class GmtRun:
    """A run and its folder."""

    def __init__(self, config: GmtConfig, data: VoteData, encoder: Encoder, out: Path, progress: Progress) -> None:
        self.config, self.data, self.progress = config, data, progress
        self.encoder = encoder
        arguments = {"config": config.model_dump(mode="json", exclude={"checkpoint"}), "votes": data.digest}
        self.run = RunDir.open(out, arguments=arguments, prompts="")
        self.votes = votes_of(data, encoder)

    @property
    def label(self) -> str:
        """How tables call the router under test."""
        return OURS if self.config.train.variant == "personal" else PUBLISHED

    def main(self, workers: Executor) -> dict[str, Any]:
        """Fit, test, write everything down. Returns the results as they are saved."""
        jobs = [Job(split=number) for number in range(len(self.votes))]
        if self.config.train.variant == "personal":
            jobs += [Job(split=n, newcomers=True) for n, v in enumerate(self.votes) if v.newcomers is not None]
        self._fit(jobs, workers)
        tested, cold = dict[str, list[Scored]](), dict[int, list[tuple[Scored, Scored]]]()
        for job in jobs:
            path, votes = self.run.path / job.file, self.votes[job.split]
            kept = validated(_SCORES, read_json(path), str(path), expected="scores as this run keeps them")
            test = votes.newcomers.test if job.newcomers and votes.newcomers is not None else votes.test
            scored = {name: Scored.of(np.array(scores), test) for name, scores in kept.items()}
            if job.newcomers:
                ranking = scored.pop(REFERENCE)
                for k, ours in scored.items():
                    cold.setdefault(int(k), []).append((ours, ranking))
            else:
                for name, one in scored.items():
                    tested.setdefault(name, []).append(one)
        return self._report(tested, cold)

    def _fit(self, jobs: Sequence[Job], workers: Executor) -> None:
        """Do what has not been done in this folder."""
        left = [job for job in jobs if not (self.run.path / job.file).is_file()]
        quiet = self.progress.quiet or not isinstance(workers, InProcess)
        fits = Fits(config=self.config, votes=self.votes, folder=self.run.path, quiet=quiet)
        with self.progress.bar("splits", total=len(jobs)) as bar:
            bar.advance(len(jobs) - len(left))

            def keep(number: int, fitted: Fitted, standing: str) -> None:
                self._keep(left[number], fitted)
                bar.advance(note=standing)

            workers.run(fits, left, keep)

    def _keep(self, job: Job, fitted: Fitted) -> None:
        scores = dict(fitted.scores)
        if self.data.simulated is not None and not job.newcomers:
            scores |= _listed({TOLD: told_the_weights(self.data.simulated, self.votes[job.split].test)})
        if fitted.model is not None:
            save_personal(
                self.run.path / "checkpoint.safetensors",
                fitted.model,
                encoder=self.encoder.name,
                notes=self.notes,
                simulated=self.data.simulated is not None,
            )
        write_atomically(self.run.path / job.file, json.dumps(scores))

    # What is written down -------------------------------------------------------------------------------------

    @property
    def notes(self) -> dict[str, str]:
        """What people should know beside the figures."""
        idle = without_effect(self.config)
        unread = {"not read by this variant": ", ".join(idle)} if idle else {}
        return {**self.data.notes, **unread, "variant": self.config.train.variant}

    def _report(self, tested: dict[str, list[Scored]], cold: dict[int, list[tuple[Scored, Scored]]]) -> dict[str, Any]:
        rows = list[dict[str, Any]]()
        with self.progress.bar("intervals", total=len(tested)) as bar:
            for name, routers in tested.items():
                rows.append(_row(name, routers, tested[REFERENCE]))
                bar.advance()
        by_user = [per_user(t, votes.test) for t, votes in zip(tested[self.label], self.votes, strict=True)]
        cold_rows = [
            {"visible": k, "n": sum(len(a.sign) for a, _ in pairs)}
            | {m: mean_over_splits([a for a, _ in pairs], m) for m in ("accuracy", "auc")}
            | {
                f"{m}_difference": _json(difference([a for a, _ in pairs], [b for _, b in pairs], m, draws=300))
                for m in ("accuracy", "auc")
            }
            for k, pairs in cold.items()
        ]
        changed = None
        if SWAPPED in tested:
            pairs = zip(tested[self.label], tested[SWAPPED], strict=True)
            changed = float(np.mean([np.mean(np.sign(a.score) != np.sign(b.score)) for a, b in pairs]))
        decisions = float(np.mean([len(t.sign) for t in tested[self.label]]))
        results = {
            "title": f"{self.config.dataset.name}: {len(self.votes)} splits, {decisions:.0f} decided test votes each",
            "notes": self.notes,
            "rows": rows,
            "cold_start": cold_rows,
            "decisions_changed_by_swapping_users": changed,
            "users": by_user,
        }
        write_atomically(self.run.path / "results.json", json.dumps(results, indent=2))
        write_atomically(self.run.path / "results.md", as_markdown(results))
        show(results)
        return results


def _unlike(groups: Sequence[Group], hidden: set[Any]) -> list[Group]:
    """Groups that are not about tested items."""
    return [g for g in groups if g.item not in hidden]


def _json(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _row(name: str, tested: list[Scored], reference: list[Scored]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name}
    for measure in ("accuracy", "auc"):
        row[measure] = mean_over_splits(tested, measure)
        row[f"{measure}_difference"] = _json(difference(tested, reference, measure))
    return row


def verdict(interval: dict[str, float]) -> str:
    """A difference with its interval, called a tie where the interval holds 0."""
    low, high = interval["low"], interval["high"]
    if low <= 0 <= high:
        return f"{interval['mean']:+.4f} ({low:+.4f} to {high:+.4f}), a tie"
    return f"{interval['mean']:+.4f} ({low:+.4f} to {high:+.4f})"


COLUMNS: tuple[str, ...] = ("router", "accuracy", "AUC", "accuracy - global ranking, 95%", "AUC - global ranking, 95%")


def _cells(row: dict[str, Any]) -> list[str]:
    differences = [verdict(row["accuracy_difference"]), verdict(row["auc_difference"])]
    if row.get("name") == REFERENCE:
        differences = ["", ""]
    return [f"{row['accuracy']:.4f}", f"{row['auc']:.4f}", *differences]


def _tables(results: dict[str, Any]) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
    tables = [(results["title"], COLUMNS, [[row["name"], *_cells(row)] for row in results["rows"]])]
    if results["cold_start"]:
        head = ("conversations visible", *COLUMNS[1:])
        rows = [[str(row["visible"]), *_cells(row)] for row in results["cold_start"]]
        tables.append(("users that training never saw", head, rows))
    return tables


def _caption(results: dict[str, Any]) -> str:
    notes = [f"{k}: {v}" for k, v in results["notes"].items()]
    changed = results["decisions_changed_by_swapping_users"]
    if changed is not None:
        notes.append(f"swapping users changes {100 * changed:.1f}% of decisions")
    return "; ".join(notes)


def as_markdown(results: dict[str, Any]) -> str:
    """The tables as Markdown."""
    lines = list[str]()
    for title, head, rows in _tables(results):
        lines += [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(cells) + " |" for cells in rows] + [""]
    return "\n".join([*lines, _caption(results), ""])


def show(results: dict[str, Any]) -> None:
    """The tables for a terminal."""
    console = Terminal()
    for title, head, rows in _tables(results):
        table = Table(title=title)
        for i, column in enumerate(head):
            table.add_column(column, justify="left" if i == 0 else "right")
        for cells in rows:
            table.add_row(*cells)
        console.print(table)
    console.print(_caption(results), markup=False, highlight=False)


def run_gmt(
    config: GmtConfig,
    data: Path | None,
    out: Path | None,
    encoder: Encoder,
    progress: Progress,
    where: Workers | None = None,
) -> dict[str, Any]:
    """Run a configuration.

    Args:
        config: What to do.
        data: Folder of raw data.
        out: Run folder; None: below the configuration's root.
        encoder: Of queries.
        progress: Shows what is being done.
        where: Who fits; None: this process.

    Raises:
        UserError: Something given cannot be used.
    """
    votes = load_votes(config, data)
    for line in without_effect(config):
        progress.say(f"{line} is not read by variant {config.train.variant}")
    place = out or config.checkpoint.root / f"gmt-{config.dataset.name}-{config.train.id}-{config.train.variant}"
    with held(place), one_thread(), executor(where or Workers(), say=progress.say) as workers:
        return GmtRun(config, votes, encoder, place, progress).main(workers)
