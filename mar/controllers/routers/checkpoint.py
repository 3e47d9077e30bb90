# pyright: basic
"""Saving and loading a fitted router: one safetensors file with a JSON header, nothing pickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from pydantic import Field

from mar.controllers.embeddings import Encoder, encoder_of, place_of
from mar.controllers.headers import (
    CheckpointHeader,
    check_encoder,
    promised,
    read_checkpoint,
    tried,
    write_checkpoint,
)
from mar.controllers.routers.base import Prompts, Router
from mar.controllers.routers.controller import RouterController
from mar.controllers.routers.registry import ROUTERS, make_router
from mar.errors import CheckpointError, ConfigError
from mar.reading.arrays import plain_dtype, rebuild
from mar.types import Domain

FORMAT = "mar/router/1"
WHAT = "a fitted router (save_routed writes them)"
TIES, COSTS = "ties", "costs"


class Header(CheckpointHeader):
    """What a checkpoint says about itself."""

    router: str  # its registered name, or module:Class
    parameters: dict[str, Any]
    encoder: str
    width: int = Field(gt=0, le=65_536)
    models: tuple[str, ...] = Field(min_length=1)
    name: str
    domain: Domain
    trained_on: dict[str, str]  # data, split, ... for people
    texts: tuple[str, ...] = ()  # tensors that hold code points of text
    cost_rate: float | None = Field(
        default=None, ge=0, allow_inf_nan=False
    )  # utility per USD; None: costs are not known
    encoder_place: str = ""  # name or folder that the encoder was loaded from; "": its name


def save_routed(path: Path, controller: RouterController, *, trained_on: Mapping[str, str]) -> None:
    """Write a checkpoint, all or nothing.

    Raises:
        ConfigError: The router is no dataclass, or has learned nothing.
    """
    router = controller.router
    if not is_dataclass(router):
        raise ConfigError(f"{type(router).__name__} is no dataclass, so its parameters cannot be saved")
    arrays = dict(_arrays(router))
    if not arrays:
        raise ConfigError(f"{type(router).__name__} has no fitted attribute (name_) to save")
    if odd := [name for name, value in arrays.items() if value.dtype.kind not in "biufU"]:
        raise ConfigError(
            f"{type(router).__name__}.{odd[0]} is an array of {arrays[odd[0]].dtype}; expected numbers or text"
        )
    texts = tuple(name for name, value in arrays.items() if value.dtype.kind == "U")
    header = Header(
        format=FORMAT,
        router=ROUTERS.name_of(router),
        parameters={f.name: getattr(router, f.name) for f in fields(router) if f.init},
        encoder=controller.encoder.name,
        width=controller.encoder.width,
        encoder_place=place_of(controller.encoder),
        models=controller.models,
        name=controller.name,
        domain=controller.domain,
        trained_on=dict(trained_on),
        texts=texts,
        cost_rate=None if controller.costs is None else controller.cost_rate,
    )
    priced = {} if controller.costs is None else {COSTS: controller.costs}
    points = {name: _code_points(arrays[name]) for name in texts}
    write_checkpoint(path, header, {TIES: controller.ties, **priced, **arrays, **points})


def load_routed(
    path: Path, encoder: Encoder | None = None, *, own: str | None = None, vectors_on_disk: bool = True
) -> RouterController:
    """Read a checkpoint.

    Args:
        path: The file.
        encoder: The one it was fitted with; None: the one it names.
        own: The class of your own that it was fitted with, as module:Class.
        vectors_on_disk: Whether vectors of texts outlive the process.

    Raises:
        CheckpointError: No such file, damaged, made for another encoder, for one that is not there, or of a class that
            is neither registered nor `own`: a file does not get to say which code is imported.
        ConfigError: There is no such class.
    """
    header, arrays = read_checkpoint(path, Header, FORMAT, WHAT)
    kind = own or header.router
    if own is None and not ROUTERS.knows(kind) and not ROUTERS.has_place(kind):
        raise CheckpointError(
            f"{path} holds a router of the class {kind!r}, which is not registered; if you trust its code, name it "
            f"yourself (--router-class {kind if kind.isprintable() else '...'})"
        )
    encoder = _encoder_of(path, header, on_disk=vectors_on_disk) if encoder is None else encoder
    check_encoder(path, encoder, header.encoder, header.width)
    priced = () if header.cost_rate is None else (COSTS,)
    for name in (TIES, *priced, *header.texts):
        if name not in arrays:
            raise CheckpointError(f"{path} does not hold what its header promises: no tensor {name!r}")
    arrays |= {name: promised(path, lambda name=name: _text(arrays[name])) for name in header.texts}
    ties, costs = arrays.pop(TIES), arrays.pop(COSTS) if priced else None
    router = promised(path, lambda: _restored(make_router(kind, **header.parameters), arrays))
    m = len(header.models)
    for name, found in ((TIES, ties), (COSTS, costs)):
        if found is not None and (found.shape != (m,) or not np.isfinite(found).all()):
            raise CheckpointError(f"{path}: tensor {name} has shape {found.shape}; expected {(m,)} finite numbers")
    one = Prompts(vectors=np.eye(1, header.width, dtype=np.float32), texts=("a question",))
    tried(path, lambda: router.score(one), (1, m))
    return RouterController(
        router=router,
        models=header.models,
        ties=ties,
        encoder=encoder,
        name=header.name,
        domain=header.domain,
        costs=costs,
        rate=header.cost_rate or 0.0,
    )


def _encoder_of(path: Path, header: Header, *, on_disk: bool) -> Encoder:
    """The encoder that a checkpoint names.

    Raises:
        CheckpointError: It is not there.
    """
    try:
        return encoder_of(header.encoder_place or header.encoder, on_disk=on_disk)
    except ConfigError as error:
        raise CheckpointError(
            f"{path} was fitted on embeddings of {header.encoder}, which is not there ({error}); "
            "name it (--embedding NAME or FOLDER)"
        ) from None


def _code_points(text: np.ndarray) -> np.ndarray:
    """Text as numbers, with one more axis; shorter texts end in zeros."""
    width = max(1, text.dtype.itemsize // 4)
    return np.ascontiguousarray(text, dtype=f"<U{width}").view(np.uint32).reshape(*text.shape, width)


def _text(points: np.ndarray) -> np.ndarray:
    """The inverse."""
    flat = np.ascontiguousarray(points, dtype="<u4")
    return rebuild(plain_dtype(f"<U{points.shape[-1]}"), points.shape[:-1], flat.tobytes())


def _arrays(router: object, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """What a router learned by name; parts of tuples by number, those of routers within it after a dot."""
    for name, value in vars(router).items():
        if name.endswith("_") and not name.startswith("_"):
            parts = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
            for i, part in enumerate(parts):
                key = f"{prefix}{name}.{i}" if isinstance(value, tuple) else f"{prefix}{name}"
                if isinstance(part, np.ndarray):
                    yield key, part
                elif is_dataclass(part):
                    yield from _arrays(part, f"{key}.")


def _restored(router: Router, arrays: Mapping[str, np.ndarray]) -> Router:
    _restore(router, arrays)
    return router


def _restore(router: object, arrays: Mapping[str, np.ndarray]) -> None:
    """The inverse of `_arrays` on a fresh router, which has made the routers within it itself.

    Raises:
        CheckpointError: A name is none of a fitted attribute.
    """
    below: dict[str, dict[str, np.ndarray]] = {}
    for key, value in arrays.items():
        name, dot, rest = key.partition(".")
        if not name.endswith("_") or name.startswith("_"):
            raise CheckpointError(f"a tensor is called {key!r}; expected names of fitted attributes, which end in _")
        if dot:
            below.setdefault(name, {})[rest] = value
        else:
            setattr(router, name, value)
    for name, parts in below.items():
        inner: Any = getattr(router, name, ())
        if is_dataclass(inner):
            _restore(inner, parts)
        elif inner:
            for i, part in enumerate(inner):
                own = {key.partition(".")[2]: v for key, v in parts.items() if key.partition(".")[0] == str(i)}
                _restore(part, own)
        else:
            setattr(router, name, tuple(parts[str(i)] for i in range(len(parts))))
