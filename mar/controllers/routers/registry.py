"""Routers by name, and any class given as module:Class."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from mar.controllers.routers.base import Router
from mar.errors import ConfigError
from mar.reading import parse_json

HERE = "mar.controllers.routers"
ROUTERS: dict[str, str] = {
    "knn": f"{HERE}.neighbours:Knn",
    "linear": f"{HERE}.networks:Linear",
    "mlp": f"{HERE}.networks:Mlp",
    "roberta_cluster": f"{HERE}.clusters:Cluster",
    "roberta_MLC": f"{HERE}.mlc:MultiLabelClassifier",
    "svm": f"{HERE}.classical:Svm",
    "mf": f"{HERE}.classical:MatrixFactorisation",
    "elo": f"{HERE}.classical:Elo",
    "kernel": f"{HERE}.kernel:Kernel",
    "trees": f"{HERE}.trees:Trees",
    "shrunken": f"{HERE}.shrunken:Shrunken",
}
"""Where the class of each named router is; the first five names are RouterEval's."""


def register(name: str, place: str) -> None:
    """Give a router class, as module:Class, a name of its own.

    Raises:
        ConfigError: The name belongs to another class.
    """
    if ROUTERS.setdefault(name, place) != place:
        raise ConfigError(f"there is a router {name!r} already: {ROUTERS[name]}")


def make_router(name: str, **parameters: Any) -> Router:
    """A fresh router, by name or as module:Class; modules of the working folder are found too.

    Raises:
        ConfigError: There is none, it lacks fit or score, or it has no such parameters.
    """
    kind = _class(ROUTERS.get(name, name), name)
    try:
        router: object = kind(**parameters)
    except TypeError as error:
        raise ConfigError(f"router {name}: {error}") from None
    if not isinstance(router, Router):
        raise ConfigError(f"router {name} has no fit and score; expected both")
    return router


def name_of(router: Router) -> str:
    """The name a router is registered by, else module:Class."""
    place = f"{type(router).__module__}:{type(router).__qualname__}"
    return next((name for name, known in ROUTERS.items() if known == place), place)


def parse_parameters(text: str) -> tuple[str, Mapping[str, Any]]:
    """A router as a command line names it: knn, or knn(k=20) with JSON values.

    Raises:
        ConfigError: It is written in another way.
    """
    name, opened, rest = text.partition("(")
    if not opened:
        return name, {}
    try:
        pairs = [part.split("=", 1) for part in rest.removesuffix(")").split(",") if part.strip()]
        return name, {key.strip(): parse_json(value, text, error=ConfigError) for key, value in pairs}
    except ValueError:
        raise ConfigError(f"router {text!r}; expected a name, or name(parameter=value,...)") from None


def _class(place: str, name: str) -> Any:
    module, colon, attribute = place.partition(":")
    if not colon:
        raise ConfigError(f"no router {name!r}; expected {', '.join(ROUTERS)}, or module:Class")
    if (folder := os.getcwd()) not in sys.path:
        sys.path.insert(0, folder)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"router {name}: {error}") from None
