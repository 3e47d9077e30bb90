# pyright: basic
"""Saving and loading a system-aware controller: one safetensors file with a JSON header, nothing pickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import Encoder
from mar.controllers.headers import (
    Arrays,
    CheckpointHeader,
    check_encoder,
    promised,
    read_checkpoint,
    write_checkpoint,
)
from mar.controllers.system_aware.controller import SystemAware, SystemSettings, build
from mar.controllers.system_aware.planners import CascadePlanner

FORMAT = "mar/system_aware/1"
WHAT = "a system-aware controller"


class Header(CheckpointHeader):
    """What a checkpoint says about itself."""

    encoder: str
    settings: SystemSettings
    cost_rate: float | None = None  # published: of the cascade
    trained_on: dict[str, str]  # data, pool, seed, ... for people
    simulated: bool  # whether it was trained on a simulated pool


def save_system_aware(path: Path, controller: SystemAware, *, trained_on: Mapping[str, str], simulated: bool) -> None:
    """Write a checkpoint, all or nothing."""
    write_checkpoint(path, *contents(controller, trained_on=trained_on, simulated=simulated))


def contents(controller: SystemAware, *, trained_on: Mapping[str, str], simulated: bool) -> tuple[Header, Arrays]:
    """What a checkpoint holds: a controller as plain data."""
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
    return header, {name: t.numpy() for name, t in tensors_of(controller).items()}


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
    header, arrays = read_checkpoint(path, Header, FORMAT, WHAT)
    check_encoder(path, encoder, header.encoder)
    controller = build(header.settings, space, encoder)
    promised(path, lambda: fill(controller, header, arrays))
    if header.simulated:
        controller.name += " (trained on the simulated pool)"
    return controller


def fill(controller: SystemAware, header: Header, arrays: Arrays) -> None:
    """Make a controller that was built by a checkpoint's settings the one that its contents are of, but for its name.

    It takes the most likely choices then.
    """
    restore(controller, {name: torch.from_numpy(a) for name, a in arrays.items()})
    if header.cost_rate is not None and isinstance(controller.planner, CascadePlanner):
        controller.planner.router.cost_rate = header.cost_rate
    controller.greedy = True
