# pyright: basic
"""CASCAL's files: tensors as safetensors, with a JSON header that says what made them. Nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mar.controllers.cascal.controller import CascalModel
from mar.controllers.cascal.local import LocalSettings, LocalSkills
from mar.controllers.cascal.responses import Responses
from mar.controllers.cascal.routing import RoutingSettings
from mar.controllers.cascal.skills import Skills, SubjectSkills
from mar.controllers.headers import header_of
from mar.errors import CheckpointError, MarError
from mar.files import write_atomically
from mar.types import ConfidenceScale

Arrays = dict[str, npt.NDArray[Any]]
MODEL_KIND = "mar-cascal-"
MODEL_FORMAT = f"{MODEL_KIND}1"
RESPONSES_FORMAT = "mar-responses-1"


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Scale(_Header):
    centre: float
    spread: float


H = TypeVar("H", bound=_Header)


class ModelHeader(_Header):
    """What a CASCAL file says about itself."""

    format: str
    kind: Literal["skills", "local"]
    models: tuple[str, ...]
    subjects: tuple[str, ...]
    encoder: str
    settings: dict[str, Any]  # of the smoothers or of the routing
    confidence: dict[str, _Scale]
    trained_on: dict[str, str]
    simulated: bool


class ResponsesHeader(_Header):
    """What a file of responses says about itself."""

    format: str
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
    _write(path, _local_arrays(learned) if local else _skill_arrays(learned), header)


def is_cascal(path: Path) -> bool:
    """Whether a file holds what a CASCAL controller knows (of any version)."""
    return MODEL_KIND in header_of(path)


def load_model(path: Path) -> CascalModel:
    """Read what a controller knows.

    Raises:
        CheckpointError: No such file, damaged, or of another kind.
    """
    header, arrays = _read(path, ModelHeader, MODEL_FORMAT)
    try:
        learned = _local(header, arrays) if header.kind == "local" else _skills(header, arrays)
        return CascalModel(
            learned=learned,
            encoder=header.encoder,
            confidence={n: ConfidenceScale(centre=c.centre, spread=c.spread) for n, c in header.confidence.items()},
            routing=RoutingSettings(**header.settings) if header.kind == "skills" else RoutingSettings(),
            trained_on=header.trained_on,
            simulated=header.simulated,
        )
    except (KeyError, TypeError, MarError) as error:
        raise CheckpointError(f"{path} does not hold what its header promises: {error}") from None


def save_responses(path: Path, responses: Responses, *, made_by: Mapping[str, str]) -> None:
    """Write responses, whole or not at all."""
    arrays: Arrays = {"choices": responses.choices, "options": responses.options}
    if responses.logprobs is not None:
        arrays["logprobs"] = responses.logprobs
    header = ResponsesHeader(
        format=RESPONSES_FORMAT, questions=responses.questions, models=responses.models, made_by=dict(made_by)
    )
    _write(path, arrays, header)


def load_responses(path: Path) -> Responses:
    """Read responses.

    Raises:
        CheckpointError: No such file, damaged, or of another kind.
    """
    header, arrays = _read(path, ResponsesHeader, RESPONSES_FORMAT)
    try:
        return Responses(
            questions=header.questions,
            models=header.models,
            options=arrays["options"],
            choices=arrays["choices"],
            logprobs=arrays.get("logprobs"),
        )
    except (KeyError, MarError) as error:
        raise CheckpointError(f"{path} does not hold what its header promises: {error}") from None


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


def _write(path: Path, arrays: Arrays, header: BaseModel) -> None:
    tensors = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    write_atomically(path, save(tensors, metadata={"mar": header.model_dump_json()}))


def _read(path: Path, kind: type[H], expected: str) -> tuple[H, Arrays]:
    if not path.is_file():
        raise CheckpointError(f"no file {path}; expected one of format {expected}")
    try:
        with safe_open(path, framework="np") as file:
            metadata: dict[str, str] = file.metadata() or {}
            arrays: Arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        content = json.loads(metadata["mar"])
        found = content.get("format")
        if found != expected:
            raise CheckpointError(f"{path} has format {found!r}; expected {expected!r}")
        return kind.model_validate(content), arrays
    except (SafetensorError, KeyError, ValueError, AttributeError, ValidationError, OSError) as error:
        raise CheckpointError(f"{path} is no file of format {expected}: {str(error).splitlines()[0]}") from None
