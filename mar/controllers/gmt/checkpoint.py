# pyright: basic
"""Saving and loading a personal router: one safetensors file with a JSON header, nothing pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from pydantic import Field

from mar.controllers.embeddings import Encoder
from mar.controllers.gmt.personal import Basis, PersonalModel, PersonalSettings
from mar.controllers.headers import (
    CheckpointHeader,
    check_encoder,
    promised,
    read_checkpoint,
    write_checkpoint,
)
from mar.errors import CheckpointError

FORMAT = "mar/gmt/1"
WHAT = "a preference router (run_gmt.py writes them)"


class GmtHeader(CheckpointHeader):
    """What a checkpoint says about itself."""

    encoder: str
    models: tuple[str, ...] = Field(min_length=1)
    questions: tuple[str, ...]  # those that effects were learned for
    settings: dict[str, int]
    learned: dict[str, float]  # prior variances
    notes: dict[str, str]  # data and seed, for people
    simulated: bool = False  # whether users, ratings or answers that it learned from were made up


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedGmt:
    """A router from a checkpoint."""

    model: PersonalModel
    header: GmtHeader


def save_personal(path: Path, model: PersonalModel, *, encoder: str, notes: Mapping[str, str], simulated: bool) -> None:
    """Write a checkpoint, all or nothing. `simulated`: whether anything that it was learned from was made up."""
    header = GmtHeader(
        format=FORMAT,
        encoder=encoder,
        models=model.models,
        questions=tuple(model.asked),
        settings=asdict(model.settings),
        learned=model.learned,
        notes=dict(notes),
        simulated=simulated,
    )
    asked = np.array(list(model.asked.values())) if model.asked else np.zeros((0, 2, len(model.models)))
    tensors = {"centre": model.basis.centre, "directions": model.basis.directions, "prior": model.prior, "asked": asked}
    tensors |= {f"population.{k}": v for k, v in model.population.items()}
    tensors |= {f"crowd.{k}": v for k, v in model.crowd.items()}
    write_checkpoint(path, header, tensors)


def _settings(given: Mapping[str, int]) -> PersonalSettings:
    """Settings as they were: JSON's booleans are numbers here."""
    kinds = {f.name: type(getattr(PersonalSettings(), f.name)) for f in fields(PersonalSettings)}
    return PersonalSettings(**{name: kinds[name](value) for name, value in given.items()})


def _two(shape: tuple[int, ...]) -> tuple[int, int]:
    width, contexts = shape
    return width, contexts


def _heads(models: int, contexts: int) -> dict[str, tuple[int, ...]]:
    """Shapes of what scores LLMs, by name."""
    return {"skill": (models,), "turn": (models,), "match": (contexts, models)}


def load_personal(path: Path, encoder: Encoder) -> LoadedGmt:
    """Read a checkpoint.

    Raises:
        CheckpointError: No such file, damaged, of another kind, or made for another encoder.
    """
    header, tensors = read_checkpoint(path, GmtHeader, FORMAT, WHAT)
    check_encoder(path, encoder, header.encoder)
    m, (width, k) = len(header.models), promised(path, lambda: _two(tensors["directions"].shape))
    parts = {f"{part}.{n}": shape for part in ("population", "crowd") for n, shape in _heads(m, k).items()}
    for name, shape in {
        "centre": (width,),
        "directions": (width, k),
        "prior": (m + 1 + k * m,) * 2,
        "asked": (len(header.questions), 2, m),
        **parts,
    }.items():
        if promised(path, lambda name=name: tensors[name].shape) != shape:
            raise CheckpointError(f"{path}: tensor {name} has shape {tensors[name].shape}; expected {shape}")
    model = promised(
        path,
        lambda: PersonalModel(
            settings=_settings(header.settings),
            models=header.models,
            basis=Basis(centre=tensors["centre"], directions=tensors["directions"]),
            population={n: tensors[f"population.{n}"] for n in _heads(m, k)},
            crowd={n: tensors[f"crowd.{n}"] for n in _heads(m, k)},
            prior=tensors["prior"],
            asked=dict(zip(header.questions, tensors["asked"], strict=True)),
            learned=header.learned,
        ),
    )
    return LoadedGmt(model=model, header=header)
