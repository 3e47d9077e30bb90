# pyright: basic
"""CASCAL's files: tensors as safetensors, with a JSON header that says what made them. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from mar.controllers.cascal.controller import CascalModel
from mar.controllers.cascal.local import LocalSettings, LocalSkills
from mar.controllers.cascal.responses import Responses
from mar.controllers.cascal.routing import RoutingSettings
from mar.controllers.cascal.skills import Skills, SubjectSkills
from mar.controllers.headers import (
    Arrays,
    CheckpointHeader,
    promised,
    read_checkpoint,
    tried,
    write_checkpoint,
)
from mar.types import ConfidenceScale

MODEL_FORMAT = "mar-cascal-1"
RESPONSES_FORMAT = "mar-responses-1"


class _Scale(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    centre: float
    spread: float


class ModelHeader(CheckpointHeader):
    """What a CASCAL file says about itself."""

    kind: Literal["skills", "local"]
    models: tuple[str, ...]
    subjects: tuple[str, ...]
    encoder: str
    settings: dict[str, Any]  # of the smoothers or of the routing
    confidence: dict[str, _Scale]
    trained_on: dict[str, str]
    simulated: bool


class ResponsesHeader(CheckpointHeader):
    """What a file of responses says about itself."""

    questions: tuple[str, ...]
    models: tuple[str, ...]
    made_by: dict[str, str]


def save_model(path: Path, model: CascalModel) -> None:
    """Write what a controller knows, whole or not at all."""
    learned = model.learned
    local = isinstance(learned, LocalSkills)
    header = ModelHeader(
        format=MODEL_FORMAT,
        kind="local" if local else "skills",
        models=learned.models,
        subjects=learned.subjects if local else tuple(learned.subjects),
        encoder=model.encoder,
        settings=asdict(learned.settings if local else model.routing),
        confidence={name: _Scale(centre=c.centre, spread=c.spread) for name, c in model.confidence.items()},
        trained_on=dict(model.trained_on),
        simulated=model.simulated,
    )
    write_checkpoint(path, header, _local_arrays(learned) if local else _skill_arrays(learned))


def load_model(path: Path) -> CascalModel:
    """Read what a controller knows.

    Raises:
        CheckpointError: No such file, damaged, or of another kind.
    """
    header, arrays = read_checkpoint(path, ModelHeader, MODEL_FORMAT, "CASCAL")

    def model() -> CascalModel:
        learned = _local(header, arrays) if header.kind == "local" else _skills(header, arrays)
        return CascalModel(
            learned=learned,
            encoder=header.encoder,
            confidence={n: ConfidenceScale(centre=c.centre, spread=c.spread) for n, c in header.confidence.items()},
            routing=RoutingSettings(**header.settings) if header.kind == "skills" else RoutingSettings(),
            trained_on=header.trained_on,
            simulated=header.simulated,
        )

    found = promised(path, model)
    width = arrays["vectors" if header.kind == "local" else "0.representative"].shape[-1]
    tried(path, lambda: found.routes(np.eye(1, width, dtype=np.float32)).scores, (1, len(header.models)))
    return found


def save_responses(path: Path, responses: Responses, *, made_by: Mapping[str, str]) -> None:
    """Write responses, whole or not at all."""
    arrays: Arrays = {"choices": responses.choices, "options": responses.options}
    if responses.logprobs is not None:
        arrays["logprobs"] = responses.logprobs
    header = ResponsesHeader(
        format=RESPONSES_FORMAT, questions=responses.questions, models=responses.models, made_by=dict(made_by)
    )
    write_checkpoint(path, header, arrays)


def load_responses(path: Path) -> Responses:
    """Read responses.

    Raises:
        CheckpointError: No such file, damaged, or of another kind.
    """
    header, arrays = read_checkpoint(path, ResponsesHeader, RESPONSES_FORMAT, "recorded responses")
    return promised(
        path,
        lambda: Responses(
            questions=header.questions,
            models=header.models,
            options=arrays["options"],
            choices=arrays["choices"],
            logprobs=arrays.get("logprobs"),
        ),
    )


def _skill_arrays(skills: Skills) -> Arrays:
    arrays: Arrays = {"overall": skills.overall}
    for i, subject in enumerate(skills.subjects.values()):
        for name in ("representative", "centroids", "scores", "sizes", "assigned"):
            arrays[f"{i}.{name}"] = getattr(subject, name)
    return arrays


def _skills(header: ModelHeader, arrays: Arrays) -> Skills:
    names = ("representative", "centroids", "scores", "sizes", "assigned")
    subjects = {
        subject: SubjectSkills(**{name: arrays[f"{i}.{name}"] for name in names})
        for i, subject in enumerate(header.subjects)
    }
    return Skills(models=header.models, subjects=subjects, overall=arrays["overall"])


_LOCAL = ("representatives", "vectors", "scores", "centroids", "means", "sizes", "slopes")


def _local_arrays(local: LocalSkills) -> Arrays:
    return {name: getattr(local, name) for name in _LOCAL}


def _local(header: ModelHeader, arrays: Arrays) -> LocalSkills:
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in header.settings.items()}
    return LocalSkills(
        models=header.models,
        subjects=header.subjects,
        settings=LocalSettings(**settings),
        **{name: arrays[name] for name in _LOCAL},
    )
