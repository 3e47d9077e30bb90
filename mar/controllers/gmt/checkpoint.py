# pyright: basic
"""Saving and loading a personal router: one safetensors file with a JSON header, nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mar.controllers.gmt.personal import Basis, PersonalModel, PersonalSettings
from mar.errors import CheckpointError
from mar.files import write_atomically

FORMAT = "mar/gmt/1"


class GmtHeader(BaseModel):
    """What a checkpoint says about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str
    encoder: str
    models: tuple[str, ...]
    questions: tuple[str, ...]  # those that effects were learned for
    settings: dict[str, int]
    learned: dict[str, float]  # prior variances
    notes: dict[str, str]  # data and seed, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedGmt:
    """A router from a checkpoint."""

    model: PersonalModel
    header: GmtHeader


def save_personal(path: Path, model: PersonalModel, *, encoder: str, notes: Mapping[str, str]) -> None:
    """Write a checkpoint, all or nothing."""
    header = GmtHeader(
        format=FORMAT,
        encoder=encoder,
        models=model.models,
        questions=tuple(model.asked),
        settings=asdict(model.settings),
        learned=model.learned,
        notes=dict(notes),
    )
    asked = np.array(list(model.asked.values())) if model.asked else np.zeros((0, 2, len(model.models)))
    tensors = {"centre": model.basis.centre, "directions": model.basis.directions, "prior": model.prior, "asked": asked}
    tensors |= {f"population.{k}": v for k, v in model.population.items()}
    tensors |= {f"crowd.{k}": v for k, v in model.crowd.items()}
    whole = {name: np.ascontiguousarray(t) for name, t in tensors.items()}
    write_atomically(path, save(whole, metadata={"mar": header.model_dump_json()}))


def _settings(given: Mapping[str, int]) -> PersonalSettings:
    """Settings as they were: JSON's booleans are numbers here."""
    kinds = {f.name: type(getattr(PersonalSettings(), f.name)) for f in fields(PersonalSettings)}
    return PersonalSettings(**{name: kinds[name](value) for name, value in given.items()})


def load_personal(path: Path, *, encoder: str) -> LoadedGmt:
    """Read a checkpoint.

    Raises:
        CheckpointError: No such file, damaged, of another kind, or made for another encoder.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {path}; expected a file that run_gmt.py wrote")
    try:
        with safe_open(path, framework="np") as file:
            metadata: dict[str, Any] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        header = GmtHeader.model_validate(json.loads(metadata["mar"]))
        if header.format != FORMAT:
            raise CheckpointError(f"{path} has format {header.format!r}; expected {FORMAT!r}")
        if header.encoder != encoder:
            raise CheckpointError(f"{path} was trained on embeddings of {header.encoder}; this encoder is {encoder}")
        parts = {
            part: {n: tensors[f"{part}.{n}"] for n in ("skill", "turn", "match")} for part in ("population", "crowd")
        }
        m, k = len(header.models), tensors["directions"].shape[1]
        expected = {"prior": (m + 1 + k * m,) * 2, "asked": (len(header.questions), 2, m), "population.match": (k, m)}
        for name, shape in expected.items():
            if tensors[name].shape != shape:
                raise CheckpointError(f"{path}: tensor {name} has shape {tensors[name].shape}; expected {shape}")
        model = PersonalModel(
            settings=_settings(header.settings),
            models=header.models,
            basis=Basis(centre=tensors["centre"], directions=tensors["directions"]),
            population=parts["population"],
            crowd=parts["crowd"],
            prior=tensors["prior"],
            asked=dict(zip(header.questions, tensors["asked"], strict=True)),
            learned=header.learned,
        )
    except (SafetensorError, KeyError, TypeError, ValueError, ValidationError, OSError) as error:
        raise CheckpointError(f"{path} is no preference router's checkpoint: {str(error).splitlines()[0]}") from None
    return LoadedGmt(model=model, header=header)
