# pyright: basic
"""One run of a preference router from configuration to table: fit on every split, test beside everything simple."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from rich.table import Table

from mar.controllers.embeddings import Encoder
from mar.controllers.gmt.checkpoint import save_personal
from mar.controllers.gmt.comparisons import Comparisons, Floats, comparisons_of, names_of
from mar.controllers.gmt.personal import PersonalSettings, fit_personal, predict, states_of
from mar.controllers.gmt.published import PublishedSettings, predict_published
from mar.controllers.gmt.records import Group
from mar.evaluation.gmt.baselines import BASELINES
from mar.evaluation.gmt.config import GmtConfig, without_effect
from mar.evaluation.gmt.data import VoteData, load_votes, told_the_weights
from mar.evaluation.gmt.protocol import Scored, Split, difference, mean_over_splits, per_user
from mar.evaluation.statistics import Interval
from mar.files import write_atomically
from mar.learning.gmt import PublishedTraining, train_published
from mar.learning.progress import Progress
from mar.learning.rundir import RunDir, held
from mar.numerics import one_thread
from mar.reading import read_json, validated
from mar.terminal import Terminal

REFERENCE = "global Bradley-Terry"
SWAPPED = "ours, users swapped"
TOLD = "told the users' weights"
COLD_STARTS = (0, 1, 2, 5, 10)  # visible conversations of users that training never saw
UNSEEN_USERS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One split as arrays over common names."""

    number: int
    train: Comparisons  # with validation and extra votes where a router has no use for a validation set
    fitted: Comparisons  # training votes alone, for the published router
    validation: Comparisons
    visible: Comparisons  # what users said before the test: training and validation votes
    test: Comparisons


def jobs_of(data: VoteData, encoder: Encoder) -> list[Job]:
    """All splits as arrays; every text is embedded once."""
    names = names_of(data.groups, encoder)
    jobs = list[Job]()
    for number, split in enumerate(data.splits):
        seen = (*split.train, *split.validation)
        jobs.append(
            Job(
                number=number,
                train=comparisons_of((*seen, *split.extra), names),
                fitted=comparisons_of((*split.train, *split.extra), names),
                validation=comparisons_of(split.validation, names),
                visible=comparisons_of(seen, names),
                test=comparisons_of(split.test, names),
            )
        )
    return jobs


_SCORES = TypeAdapter(dict[str, list[float]])


class GmtRun:
    """A run and its folder."""

    def __init__(self, config: GmtConfig, data: VoteData, encoder: Encoder, out: Path, progress: Progress) -> None:
        self.config, self.data, self.progress = config, data, progress
        self.encoder = encoder
        arguments = {"config": config.model_dump(mode="json", exclude={"checkpoint"}), "votes": data.digest}
        self.run = RunDir.open(out, arguments=arguments, prompts="")
        self.jobs = jobs_of(data, encoder)

    @property
    def label(self) -> str:
        """How tables call the router under test."""
        return "published router" if self.config.train.variant == "published" else "ours"

    def main(self) -> dict[str, Any]:
        """Fit, test, write everything down. Returns the results as they are saved."""
        tested = dict[str, list[Scored]]()
        with self.progress.bar("splits", total=len(self.jobs)) as bar:
            for job in self.jobs:
                for name, scores in self._scores(job).items():
                    tested.setdefault(name, []).append(Scored.of(np.array(scores), job.test))
                bar.advance()
        personal = self.config.train.variant == "personal"
        cold = self._cold_starts() if personal else {}
        return self._report(tested, cold)

    # Fitting and predicting -----------------------------------------------------------------------------------

    def _scores(self, job: Job) -> dict[str, list[float]]:
        """Every router's scores on a split's test votes; what is done is read back when a run goes on."""
        path = self.run.path / f"split-{job.number}.json"
        if path.is_file():
            return validated(_SCORES, read_json(path), str(path), expected="scores as this run keeps them")
        found: dict[str, Floats] = self._ours(job)
        for name, baseline in BASELINES.items():
            found[name] = baseline(job.visible, job.test)
        if len(job.train) > len(job.visible):
            found[f"{REFERENCE}, extra votes too"] = BASELINES[REFERENCE](job.train, job.test)
        if self.data.simulated is not None:
            found[TOLD] = told_the_weights(self.data.simulated, job.test)
        scores = {name: [float(s) for s in values] for name, values in found.items()}
        write_atomically(path, json.dumps(scores))
        return scores

    def _ours(self, job: Job) -> dict[str, Floats]:
        if self.config.train.variant == "published":
            return {self.label: self._published(job)}
        model = fit_personal(job.train, self.settings)
        if job.number == 0:
            save_personal(
                self.run.path / "checkpoint.safetensors",
                model,
                encoder=self.encoder.name,
                notes=self.notes,
                simulated=self.data.simulated is not None,
            )
        states = states_of(model, job.visible)
        users = sorted(states)
        moved = {u: states[v] for u, v in zip(users, [*users[1:], *users[:1]], strict=True)}
        alike = fit_personal(job.train, replace(self.settings, personal=False))
        return {
            self.label: predict(model, states, job.test),
            SWAPPED: predict(model, moved, job.test),
            "ours, without users": predict(alike, {}, job.test),
        }

    @property
    def settings(self) -> PersonalSettings:
        """The personal router's."""
        t = self.config.train
        return PersonalSettings(contexts=t.contexts, rounds=t.rounds, multi_turn=t.multi_turn)

    def _published(self, job: Job) -> Floats:
        t = self.config.train
        shape = PublishedSettings(multi_turn=t.multi_turn, width=job.train.names.query_vectors.shape[1])
        training = PublishedTraining(
            epochs=t.epochs,
            lr=t.lr,
            record_per_user=t.record_per_user,
            prediction_count=t.prediction_count,
            objective=t.objective,
            binary=t.binary,
            eval_every=t.eval_every,
            save_every=self.config.checkpoint.save_every,
            seed=t.seed + job.number,
        )
        run = RunDir.open(self.run.path / f"split-{job.number}", arguments={"seed": training.seed}, prompts="")
        trained = train_published(job.fitted, job.validation, shape, training, progress=self.progress, run=run)
        return predict_published(trained.network, job.visible, job.test)

    # Cold start -----------------------------------------------------------------------------------------------

    def _cold_starts(self) -> dict[int, list[tuple[Scored, Scored]]]:
        """Users that training never saw, by visible conversations: ours and the global ranking."""
        found: dict[int, list[tuple[Scored, Scored]]] = {k: [] for k in COLD_STARTS}
        for number, split in enumerate(self.data.splits):
            for k, pair in self._cold_start(number, split).items():
                found[k].append(pair)
        return found

    def _cold_start(self, number: int, split: Split) -> dict[int, tuple[Scored, Scored]]:
        names = self.jobs[0].train.names
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
            return {}  # too few users, or of too few conversations, for anybody to be new
        model, ranking = fit_personal(train, self.settings), Scored.of(BASELINES[REFERENCE](train, test), test)
        found = dict[int, tuple[Scored, Scored]]()
        for k in COLD_STARTS:
            visible = [g for groups in order.values() for g in _unlike(groups[:k], hidden)]
            states = states_of(model, comparisons_of(visible, names)) if visible else {}
            found[k] = Scored.of(predict(model, states, test), test), ranking
        return found

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
        by_user = [per_user(t, job.test) for t, job in zip(tested[self.label], self.jobs, strict=True)]
        cold_rows = [
            {"visible": k, "n": sum(len(a.sign) for a, _ in pairs)}
            | {m: mean_over_splits([a for a, _ in pairs], m) for m in ("accuracy", "auc")}
            | {
                f"{m}_difference": _json(difference([a for a, _ in pairs], [b for _, b in pairs], m, draws=300))
                for m in ("accuracy", "auc")
            }
            for k, pairs in cold.items()
            if pairs
        ]
        changed = None
        if SWAPPED in tested:
            pairs = zip(tested[self.label], tested[SWAPPED], strict=True)
            changed = float(np.mean([np.mean(np.sign(a.score) != np.sign(b.score)) for a, b in pairs]))
        decisions = float(np.mean([len(t.sign) for t in tested[self.label]]))
        results = {
            "title": f"{self.config.dataset.name}: {len(self.jobs)} splits, {decisions:.0f} decided test votes each",
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
    config: GmtConfig, data: Path | None, out: Path | None, encoder: Encoder, progress: Progress
) -> dict[str, Any]:
    """Run a configuration.

    Raises:
        UserError: Something given cannot be used.
    """
    votes = load_votes(config, data)
    for line in without_effect(config):
        progress.say(f"{line} is not read by variant {config.train.variant}")
    place = out or config.checkpoint.root / f"gmt-{config.dataset.name}-{config.train.id}-{config.train.variant}"
    with held(place), one_thread():
        return GmtRun(config, votes, encoder, place, progress).main()
