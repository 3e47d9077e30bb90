# pyright: basic
"""Saving and loading a cascade, by thresholds or by agreement: the table of calls that it was learned from, in one
safetensors file.

Scores, orders and teams are learned from the table anew when it is loaded, which takes less than a second, so one file
serves every price of money and every part of the pool. Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from mar.controllers.belief.topics import Topics
from mar.controllers.cascades.agreement import Agreement
from mar.controllers.cascades.steps import Cascade, Method
from mar.controllers.cascades.table import SIGNS, Table
from mar.controllers.cascades.threshold import Threshold
from mar.controllers.embeddings import Encoder
from mar.controllers.headers import (
    Arrays,
    CheckpointHeader,
    check_encoder,
    promised,
    read_checkpoint,
    write_checkpoint,
)
from mar.errors import CheckpointError
from mar.numerics import one_thread
from mar.types import Domain

FORMAT = "mar/cascade/1"
WHAT = "a cascade (mar route writes them)"
_FLOATS = ("quality", "usd", "signs", "usual", "texts")


class Header(CheckpointHeader):
    """What a checkpoint says about itself."""

    models: tuple[str, ...] = Field(min_length=1)
    cost_rate: float = Field(ge=0, allow_inf_nan=False)
    method: Literal["threshold", "agreement"] = "threshold"
    encoder: str
    embedding: int = Field(gt=0)
    domain: Domain
    trained_on: dict[str, str]  # data, pool, ... for people
    simulated: bool  # whether the calls are of a simulated pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A controller from a checkpoint."""

    controller: Cascade
    header: Header


def save_cascade(path: Path, controller: Cascade, *, trained_on: Mapping[str, str], simulated: bool) -> None:
    """Write the table of a cascade, all or nothing."""
    table = controller.method.table
    header = Header(
        format=FORMAT,
        models=table.models,
        cost_rate=table.cost_rate,
        method="agreement" if isinstance(controller.method, Agreement) else "threshold",
        encoder=controller.encoder.name,
        embedding=controller.encoder.width,
        domain=controller.domain,
        trained_on=dict(trained_on),
        simulated=simulated,
    )
    arrays: Arrays = {name: getattr(table, name) for name in (*_FLOATS, "answer", "heard")}
    topics = {"topics.mean": table.topics.mean.numpy(), "topics.directions": table.topics.directions.numpy()}
    write_checkpoint(path, header, {**arrays, **topics})


def load_cascade(path: Path, encoder: Encoder) -> Loaded:
    """Read a checkpoint, and learn from its table.

    Raises:
        CheckpointError: No such file, damaged, of another kind, or made for another encoder.
    """
    header, arrays = read_checkpoint(path, Header, FORMAT, WHAT)
    check_encoder(path, encoder, header.encoder, header.embedding)
    table = promised(path, lambda: _table(path, header, arrays))
    with one_thread():
        method = promised(path, lambda: _learned(header, table))
    return Loaded(controller=Cascade(method, encoder, header.domain), header=header)


def _learned(header: Header, table: Table) -> Method:
    return Agreement(table=table) if header.method == "agreement" else Threshold.learn(table)


def _table(path: Path, header: Header, arrays: Arrays) -> Table:
    n, m = len(arrays["quality"]), len(header.models)
    width = arrays["texts"].shape[-1]
    shapes = {
        **dict.fromkeys(("quality", "usd", "answer", "heard"), (n, m)),
        "signs": (n, m, SIGNS),
        "usual": (m, 2, 2),
        "texts": (n, width),
        "topics.mean": (header.embedding,),
        "topics.directions": (header.embedding, width),
    }
    if not n or len(set(header.models)) != m:
        raise CheckpointError(f"{path} holds no calls, or names a model twice")
    for name, shape in shapes.items():
        found = arrays[name]
        if found.shape != shape or not np.isfinite(found).all():
            raise CheckpointError(f"{path}: tensor {name} has shape {found.shape}; expected {shape}, finite numbers")
    floats = {name: arrays[name].astype(np.float64) for name in _FLOATS}
    topics = Topics(
        mean=torch.from_numpy(arrays["topics.mean"].astype(np.float32)),
        directions=torch.from_numpy(arrays["topics.directions"].astype(np.float32)),
    )
    return Table(
        models=header.models,
        cost_rate=header.cost_rate,
        answer=arrays["answer"].astype(np.int64),
        heard=arrays["heard"].astype(bool),
        topics=topics,
        **floats,
    )
