"""Controllers that need no checkpoint, by name (see `mar.extensions` for those of one's own)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mar.controllers.base import Controller
from mar.controllers.cards import Cards
from mar.errors import ConfigError
from mar.extensions import Registry, is_place, parse_call

CONTROLLERS = Registry[Callable[..., Controller]](
    "controller",
    group="mar.controllers",
    fits=callable,
    expected="a class or function that makes a controller (name, plan)",
    own={Cards.name: Cards},
)


def named_controller(name: str) -> Controller | None:
    """The controller that a person named, with parameters or without; None where the name is none of these.

    Raises:
        ConfigError: It cannot be made, or is no controller.
    """
    kind, parameters = parse_call(name, CONTROLLERS.what)
    if not is_place(kind) and not CONTROLLERS.knows(kind):
        return None
    make = CONTROLLERS.named(kind)
    try:
        made: Any = make(**parameters)
    except TypeError as error:
        raise ConfigError(f"controller {kind}: {error}") from None
    if missing := [part for part in ("name", "plan") if not hasattr(made, part)]:
        raise ConfigError(f"controller {kind} has no {missing[0]}; expected {CONTROLLERS.expected}")
    return made
