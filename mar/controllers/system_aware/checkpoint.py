# pyright: basic
"""Saving and loading a system-aware controller: one safetensors file with a JSON header, nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import Encoder
from mar.controllers.headers import header_of
from mar.controllers.system_aware.controller import SystemAware, SystemSettings, build
from mar.controllers.system_aware.planners import CascadePlanner
from mar.errors import CheckpointError
from mar.files import write_atomically

FORMAT = "mar/system_aware/1"


class Header(BaseModel):
    """What a checkpoint says about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str
    encoder: str
    settings: SystemSettings
    cost_rate: float | None = None  # published: of the cascade
    trained_on: dict[str, str]  # data, pool, seed, ... for people
    simulated: bool  # whether it was trained on a simulated pool


def is_system_aware(path: Path) -> bool:
    """Whether a file is such a checkpoint."""
    return FORMAT in header_of(path)


def save_system_aware(path: Path, controller: SystemAware, *, trained_on: Mapping[str, str], simulated: bool) -> None:
    """Write a checkpoint, all or nothing."""
    router = controller.planner.router if isinstance(controller.planner, CascadePlanner) else None
    settings = controller.settings
    if router is not None:
        settings = settings.model_copy(update={"router": router.settings})
    header = Header(
        format=FORMAT,
        encoder=controller.executor.senses.encoder.name,
        settings=settings,
        cost_rate=None if router is None else router.cost_rate,
        trained_on=dict(trained_on),
        simulated=simulated,
    )
    write_atomically(path, save(tensors_of(controller), metadata={"mar": header.model_dump_json()}))


def tensors_of(controller: SystemAware) -> dict[str, Tensor]:
    """All weights by name."""
    parts = {"planner": controller.planner.network, "executor": controller.executor.network}
    return {f"{p}.{k}": v.detach().clone() for p, net in parts.items() for k, v in net.state_dict().items()}


def restore(controller: SystemAware, tensors: Mapping[str, Tensor]) -> None:
    """Take over weights that `tensors_of` returned."""
    for part, net in (("planner", controller.planner.network), ("executor", controller.executor.network)):
        net.load_state_dict({k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(f"{part}.")})


def load_system_aware(path: Path, encoder: Encoder, space: PlanSpace) -> SystemAware:
    """Read a checkpoint for a pool; it takes the most likely choices.

    Raises:
        CheckpointError: No such file, damaged, of another kind or another encoder.
        ConfigError: The pool lacks a model that it was made for.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        header = Header.model_validate(json.loads(metadata["mar"]))
    except (SafetensorError, KeyError, ValueError, ValidationError, OSError) as error:
        raise CheckpointError(f"{path} is no system-aware checkpoint: {str(error).splitlines()[0]}") from None
    if header.encoder != encoder.name:
        raise CheckpointError(f"{path} was trained on embeddings of {header.encoder}; this encoder is {encoder.name}")
    controller = build(header.settings, space, encoder)
    try:
        restore(controller, tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit: {str(error).splitlines()[0]}") from None
    if header.cost_rate is not None and isinstance(controller.planner, CascadePlanner):
        controller.planner.router.cost_rate = header.cost_rate
    controller.greedy = True
    if header.simulated:
        controller.name += " (trained on the simulated pool)"
    return controller
