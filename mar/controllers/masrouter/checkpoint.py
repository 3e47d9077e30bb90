# pyright: basic
"""Saving and loading a MasRouter: one safetensors file with a JSON header, under 3 MB, nothing pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import Encoder
from mar.controllers.headers import CheckpointHeader, check_encoder, promised, read_checkpoint, write_checkpoint
from mar.controllers.masrouter.controller import MasRouter, PlanOptions, candidate_texts
from mar.controllers.masrouter.settings import NetworkSettings
from mar.errors import CheckpointError

FORMAT = "mar/masrouter/1"
WHAT = "a MasRouter (--save-checkpoint writes them)"


class Header(CheckpointHeader):
    """What a checkpoint says about itself."""

    encoder: str
    settings: NetworkSettings
    cost_rate: float
    texts: dict[str, str]  # every candidate it was trained with, by kind and name
    trained_on: dict[str, str]  # data, pool, seed, ... for people
    simulated: bool  # whether it was trained on a simulated pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A controller from a checkpoint."""

    router: MasRouter
    header: Header


def save_router(
    path: Path, router: MasRouter, space: PlanSpace, *, trained_on: Mapping[str, str], simulated: bool
) -> None:
    """Write a checkpoint, all or nothing."""
    header = Header(
        format=FORMAT,
        encoder=router.encoder.name,
        settings=router.settings,
        cost_rate=router.cost_rate,
        texts=candidate_texts(space),
        trained_on=dict(trained_on),
        simulated=simulated,
    )
    write_checkpoint(path, header, {name: t.numpy() for name, t in router.network.state_dict().items()})


def load_router(path: Path, encoder: Encoder, *, options: PlanOptions | None = None) -> Loaded:
    """Read a checkpoint.

    Raises:
        CheckpointError: No such file, damaged, of another kind, or made for another encoder or other dimensions.
    """
    header, arrays = read_checkpoint(path, Header, FORMAT, WHAT)
    check_encoder(path, encoder, header.encoder, header.settings.embedding)
    tensors = {name: torch.from_numpy(a) for name, a in arrays.items()}
    router = MasRouter(header.settings, encoder, cost_rate=header.cost_rate, options=options)
    expected = {name: tuple(t.shape) for name, t in router.network.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    if expected != found:
        name = next(n for n in sorted(expected.keys() | found.keys()) if expected.get(n) != found.get(n))
        raise CheckpointError(f"{path}: tensor {name} has shape {found.get(name)}; expected {expected.get(name)}")
    promised(path, lambda: router.network.load_state_dict(tensors))  # dtypes that numbers do not fit
    router.trained = frozenset(_named(header, "llm"))
    router.modes, router.domains = _named(header, "mode") or None, _named(header, "domain")
    return Loaded(router=router, header=header)


def _named(header: Header, kind: str) -> tuple[str, ...]:
    """Names of the candidates of a kind."""
    prefix = f"{kind}/"
    return tuple(name.removeprefix(prefix) for name in header.texts if name.startswith(prefix))


def differences(header: Header, space: PlanSpace) -> list[str]:
    """In what the candidates differ from those the checkpoint was trained with, one line each."""
    now, then = candidate_texts(space), header.texts
    lines = [f"{name} is new: it was not there in training" for name in now if name not in then]
    lines += [f"{name} is gone" for name in then if name not in now]
    lines += [f"{name} has another description" for name in now if name in then and now[name] != then[name]]
    return lines
