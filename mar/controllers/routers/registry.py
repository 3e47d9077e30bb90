"""Routers by name (see `mar.extensions` for those of one's own)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from mar.controllers.routers.base import Router
from mar.errors import ConfigError
from mar.extensions import Registry

HERE = "mar.controllers.routers"
_OURS = {
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
    "pooled": f"{HERE}.pooled:Pooled",
}
"""Where the class of each named router is; the first five names are RouterEval's."""
ROUTERS = Registry[type[Any]](
    "router", group="mar.routers", fits=lambda thing: isinstance(thing, type), expected="a class", own=_OURS
)


def make_router(name: str, **parameters: Any) -> Router:
    """A fresh router, by name, or as module:Class or file.py:Class.

    Raises:
        ConfigError: There is none, it lacks fit or score, or it has no such parameters.
    """
    kind = ROUTERS.named(name)
    _check(kind, name, parameters)
    try:
        router: object = kind(**parameters)
    except TypeError as error:
        raise ConfigError(f"router {name}: {error}") from None
    if not isinstance(router, Router):
        raise ConfigError(f"router {name} has no fit and score; expected both")
    return router


def _check(kind: Any, name: str, parameters: Mapping[str, Any]) -> None:
    """Refuse what a router does not take; a value must be of the kind of the default.

    Raises:
        ConfigError: Names the parameter and what is expected.
    """
    known = inspect.signature(kind).parameters
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    for key, value in parameters.items():
        if key not in known:
            expected = f"one of {', '.join(known)}" if known else "none"
            raise ConfigError(f"router {name} has no parameter {key!r}; expected {expected}")
        wanted = _wanted(known[key].default, value)
        if wanted:
            raise ConfigError(f"router {name}: {key} is {value!r}; expected {wanted}")


def _wanted(default: object, value: object) -> str:
    """What kind of value is expected in place of this one; empty where it fits."""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if not isinstance(default, int | float):
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "a number"
    if isinstance(default, int) and not isinstance(value, int):
        return "a whole number"
    return "a number above 0" if isinstance(default, int) and value <= 0 < default else ""
