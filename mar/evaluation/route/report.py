# pyright: basic
"""What a run says: a table, a picture, the figures as JSON, and one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mar.evaluation.plots import Curve, plot_costs
from mar.evaluation.route.validation import Validated, Way
from mar.evaluation.route.verdict import Choice, Verdict, best, cheapest, chosen, oracle, points
from mar.evaluation.sections import Sections
from mar.evaluation.statistics import wilson
from mar.files import write_atomically

COLUMNS = ("", "accuracy %", "USD / 100", "calls", "cheaper by", "accuracy over it", "over mixtures of models")
PICTURE, FIGURES, PAGE = "route.png", "results.json", "results.md"
EVERYTHING = "whatever is best, chosen in each fold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table."""

    name: str
    part: str  # heading that it stands below
    accuracy: float
    usd: float
    calls: float
    choice: Choice | None = None  # None: nothing was chosen

    @property
    def cells(self) -> list[str]:
        """As texts."""
        figures = [self.name, f"{100 * self.accuracy:.1f}", f"{100 * self.usd:.4g}", f"{self.calls:.2f}"]
        if self.choice is None:
            return [*figures, "", "", ""]
        saving = self.choice.saving
        cheaper = f"{100 * saving.mean:.0f}% ({100 * saving.low:.0f} to {100 * saving.high:.0f})"
        return [*figures, cheaper, points(self.choice.gain), points(self.choice.above)]


def lines_of(validated: Validated, verdict: Verdict) -> list[Line]:
    """Every model alone, and every kind of controller at the accuracy and at the cost of the reference."""
    outcomes, reference = validated.outcomes, verdict.reference
    singles = sorted((w for w in outcomes if not w.kind), key=lambda w: outcomes[w].usd.mean())
    found = [
        Line(
            name=w.model,
            part="one model for everything",
            accuracy=float(outcomes[w].quality.mean()),
            usd=float(outcomes[w].usd.mean()),
            calls=1.0,
        )
        for w in singles
    ]
    accuracy, usd = oracle(outcomes)
    found.append(Line(name="oracle", part="one model for everything", accuracy=accuracy, usd=usd, calls=1.0))
    kinds = list(dict.fromkeys(w.kind for w in outcomes if w.kind))
    for part, choose, whole in (
        (f"at the {verdict.measure} of {reference.model}", cheapest, verdict.same),
        (f"at the cost of {reference.model}", best, verdict.better),
    ):
        some = [(kind, chosen(validated, reference, choose, [kind])) for kind in kinds]
        for name, choice in [*some, (f"{EVERYTHING} ({whole.names})", whole)]:
            found.append(
                Line(name=name, part=part, accuracy=choice.accuracy, usd=choice.usd, calls=choice.calls, choice=choice)
            )
    return found


def write(
    folder: Path, validated: Validated, verdict: Verdict, kept: Way, *, title: str, notes: Mapping[str, str]
) -> Sections:
    """Write page, figures and picture; gives the table."""
    lines = [(line.part, line.cells) for line in lines_of(validated, verdict)]
    caption = "; ".join(f"{name}: {text}" for name, text in notes.items())
    found = Sections(columns=COLUMNS, lines=lines, title=title, caption=caption)
    write_atomically(folder / PAGE, found.markdown(verdict.sentence))
    write_atomically(folder / FIGURES, json.dumps(_figures(validated, verdict, kept, notes), indent=2))
    _draw(folder / PICTURE, validated, verdict, kept, title)
    return found


def _figures(validated: Validated, verdict: Verdict, kept: Way, notes: Mapping[str, str]) -> dict[str, Any]:
    ways = [
        {
            "kind": way.kind or "single model",
            "model": way.model or None,
            "cost_rate": way.cost_rate if way.kind else None,
            "accuracy": float(played.quality.mean()),
            "usd": float(played.usd.mean()),
            "calls": float(played.calls.mean()),
        }
        for way, played in validated.outcomes.items()
    ]
    return {
        "sentence": verdict.sentence,
        "worth": verdict.worth,
        "reference": verdict.reference.model,
        "at_its_accuracy": asdict(verdict.same),
        "at_its_cost": asdict(verdict.better),
        "kept": asdict(kept),
        "ways": ways,
        "notes": dict(notes),
    }


def _draw(path: Path, validated: Validated, verdict: Verdict, kept: Way, title: str) -> None:
    outcomes = validated.outcomes
    n = len(validated.fold)

    def point(way: Way):
        played = outcomes[way]
        return 100 * float(played.usd.mean()), wilson(round(float(played.quality.sum())), n)

    singles = {w.model: point(w) for w in outcomes if not w.kind}
    kinds = list(dict.fromkeys(w.kind for w in outcomes if w.kind))
    curves = [Curve(name=kind, points=tuple(point(w) for w in outcomes if w.kind == kind)) for kind in kinds]
    plot_costs(singles, curves, point(kept), path, title=title, chosen=f"kept: {kept.name}", measure=verdict.measure)
