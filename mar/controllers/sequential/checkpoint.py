# pyright: basic
"""Saving and loading minds: one safetensors file with a JSON header, nothing pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from mar.controllers.belief.beliefs import Beliefs, Form
from mar.controllers.belief.topics import Topics
from mar.controllers.embeddings import Encoder
from mar.controllers.headers import (
    CheckpointHeader,
    check_encoder,
    promised,
    read_checkpoint,
    write_checkpoint,
)
from mar.controllers.sequential.controller import Sequential
from mar.controllers.sequential.habits import Habits
from mar.controllers.sequential.mind import Mind
from mar.controllers.sequential.policy import Terms
from mar.errors import CheckpointError
from mar.types import Domain

FORMAT = "mar/sequential/1"
WHAT = "a sequential controller (training writes them)"
_TOPICS = ("mean", "directions")
_HABITS = ("written", "factor", "seconds", "centre")


class MindHeader(BaseModel):
    """What a checkpoint says about one mind."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    domain: Domain
    form: Form
    models: tuple[str, ...] = Field(min_length=1)
    families: tuple[str, ...]
    strategies: tuple[str | None, ...] = Field(min_length=1)
    overhead: float
    apart: float = Field(ge=0)
    spread: float = Field(gt=0)
    edge: float = -1.0  # of its texts, see Topics
    middle: float = -1.0


class Header(CheckpointHeader):
    """What a checkpoint says about itself."""

    encoder: str
    embedding: int = Field(gt=0)
    cost_rate: float = Field(ge=0)
    reading: bool = True  # whether models may read what others said
    again: bool = True  # whether a model may be asked a second time
    minds: tuple[MindHeader, ...] = Field(min_length=1)
    trained_on: dict[str, str]  # data, pool, seed, ... for people
    simulated: bool  # whether it was trained on a simulated pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A controller from a checkpoint."""

    controller: Sequential
    header: Header


def save_sequential(path: Path, controller: Sequential, *, trained_on: Mapping[str, str], simulated: bool) -> None:
    """Write a checkpoint, all or nothing."""
    minds = list(controller.minds.values())
    header = Header(
        format=FORMAT,
        encoder=controller.encoder.name,
        embedding=controller.encoder.width,
        cost_rate=controller.terms.cost_rate,
        reading=controller.terms.reading,
        again=controller.terms.again,
        minds=tuple(_described(m) for m in minds),
        trained_on=dict(trained_on),
        simulated=simulated,
    )
    arrays: dict[str, Any] = {}
    for number, mind in enumerate(minds):
        arrays |= {f"{number}.{name}": t.numpy() for name, t in mind.beliefs.tensors.items()}
        arrays |= {f"{number}.habits.{name}": getattr(mind.habits, name) for name in _HABITS}
        arrays |= {f"{number}.topics.{name}": getattr(mind.topics, name).numpy() for name in _TOPICS}
    write_checkpoint(path, header, arrays)


def load_sequential(path: Path, encoder: Encoder) -> Loaded:
    """Read a checkpoint.

    Raises:
        CheckpointError: No such file, damaged, of another kind, or made for another encoder.
    """
    header, arrays = read_checkpoint(path, Header, FORMAT, WHAT)
    check_encoder(path, encoder, header.encoder, header.embedding)
    minds = promised(path, lambda: [_mind(path, h, n, arrays, header) for n, h in enumerate(header.minds)])
    terms = Terms(cost_rate=header.cost_rate, reading=header.reading, again=header.again)
    return Loaded(controller=Sequential(minds, encoder, terms), header=header)


def _described(mind: Mind) -> MindHeader:
    b, h = mind.beliefs, mind.habits
    return MindHeader(
        domain=mind.domain,
        form=b.form,
        models=b.models,
        families=b.families,
        strategies=b.strategies,
        overhead=h.overhead,
        apart=h.apart,
        spread=h.spread,
        edge=mind.topics.edge,
        middle=mind.topics.middle,
    )


def _mind(path: Path, header: MindHeader, number: int, arrays: Mapping[str, np.ndarray], whole: Header) -> Mind:
    models, strategies = len(header.models), len(header.strategies)
    if len(header.families) != models or len(set(header.models)) != models:
        raise CheckpointError(f"{path}: mind {number} names {models} models and {len(header.families)} families")
    width = _array(path, arrays, f"{number}.common", None).shape[0]
    vague = Beliefs.vague(header.models, header.families, header.form, strategies=header.strategies, width=width)
    tensors = {
        name: torch.from_numpy(_array(path, arrays, f"{number}.{name}", tuple(t.shape)).astype(np.float32))
        for name, t in vague.tensors.items()
    }
    if not bool((tensors["doubt"] > 0).all()):
        raise CheckpointError(f"{path}: mind {number} has a spread of skills that is not above 0")
    sizes = {"written": models, "factor": strategies, "seconds": models, "centre": models}
    habits = {n: _array(path, arrays, f"{number}.habits.{n}", (k,)).astype(np.float64) for n, k in sizes.items()}
    shapes = {"mean": (whole.embedding,), "directions": (whole.embedding, width)}
    topics = {
        n: torch.from_numpy(_array(path, arrays, f"{number}.topics.{n}", shape).astype(np.float32))
        for n, shape in shapes.items()
    }
    for name, value in tensors.items():
        setattr(vague, name, value)
    return Mind(
        domain=header.domain,
        beliefs=vague,
        habits=Habits(
            models=header.models,
            strategies=header.strategies,
            overhead=header.overhead,
            apart=header.apart,
            spread=header.spread,
            **habits,
        ),
        topics=Topics(**topics, edge=header.edge, middle=header.middle),
    )


def _array(path: Path, arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...] | None) -> np.ndarray:
    """One tensor, of a shape and finite."""
    found = arrays.get(name)
    if found is None or (shape is not None and found.shape != shape) or (shape is None and found.ndim != 1):
        has = None if found is None else found.shape
        raise CheckpointError(f"{path}: tensor {name} has shape {has}; expected {shape or 'one dimension'}")
    if not np.isfinite(found).all():
        raise CheckpointError(f"{path}: tensor {name} holds numbers that are not finite")
    return found
