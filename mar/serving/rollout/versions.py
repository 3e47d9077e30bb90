"""What a controller is made of, under a name that follows from it: the hash of its weights and its price of money.

A version travels between workers through the store: a checkpoint file by its bytes, any other controller by its name.
A name that would import code (`module:Class`) is refused, since whoever can write to the store would run it: such a
controller is registered by an extension that the gateway's own settings name.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mar.controllers.packaged import packaged_controllers
from mar.controllers.registry import named_controller
from mar.environment import cache_folder
from mar.errors import ConfigError
from mar.extensions import is_place, parse_call
from mar.files import write_atomically
from mar.serving.settings import ControllerSettings, Settings

MOST_BYTES = 64 * 2**20  # of a checkpoint that travels through the store


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A controller, as a file or by its name."""

    id: str  # follows from all the others but the label
    label: str  # what people call it: the file's name, or the controller's
    weights: bytes | None = None  # of a checkpoint file; None: it is made by its name
    cost_rate: float | None = None  # utility per USD; None: the controller's own

    @classmethod
    def of(cls, router: str, cost_rate: float | None = None) -> Version:
        """The version of a checkpoint file, or of a controller's name.

        Raises:
            ConfigError: There is no such file and the name is no controller's, the file is too large or no checkpoint,
                or the price is none.
        """
        if cost_rate is not None and not (math.isfinite(cost_rate) and cost_rate >= 0):
            raise ConfigError(f"cost_rate is {cost_rate}; expected a number from 0 on")
        path = Path(router)
        if not path.is_file():
            check_name(router)
            return cls(id=_id(router.encode(), cost_rate), label=router, cost_rate=cost_rate)
        if (size := path.stat().st_size) > MOST_BYTES:
            raise ConfigError(f"{path} has {size:,} bytes; a candidate may have {MOST_BYTES:,}")
        from mar.controllers.headers import kind_of  # NumPy and safetensors, of whoever starts a rollout

        if not kind_of(path):
            raise ConfigError(f"{path} is no checkpoint of a controller")
        weights = path.read_bytes()
        return cls(id=_id(weights, cost_rate), label=path.name, weights=weights, cost_rate=cost_rate)

    @property
    def settings(self) -> ControllerSettings:
        """How it is loaded; its file lies in the cache folder meanwhile.

        Raises:
            ConfigError: Its weights are not those that its name says.
        """
        if self.weights is None:
            check_name(self.label)
            return ControllerSettings(name=self.id, router=self.label, cost_rate=self.cost_rate)
        if _id(self.weights, self.cost_rate) != self.id:
            raise ConfigError(f"the weights of version {self.id} ({self.label}) are not what its name says")
        path = cache_folder() / "versions" / f"{self.id}.safetensors"
        if not (path.is_file() and path.read_bytes() == self.weights):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, self.weights)
        return ControllerSettings(name=self.id, router=str(path), cost_rate=self.cost_rate)


def check_name(name: str) -> None:
    """Refuse a name that would import code, or that is no file's and no controller's.

    Raises:
        ConfigError: It is one.
    """
    kind = parse_call(name, "controller")[0]
    if is_place(kind):
        raise ConfigError(f"{name}: code is not taken from a store; register it by `extend`, and name it")
    if kind not in packaged_controllers() and named_controller(name) is None:
        raise ConfigError(f"{name}: expected a checkpoint file, or the name of a controller")


def versions_of(settings: Settings, main: str) -> Mapping[str, str]:
    """The versions of the controllers that the settings name, by the name that clients ask for.

    Args:
        settings: Of the gateway.
        main: The name of the one that is asked for without a name of its own.
    """
    wanted = {main: (settings.router, settings.cost_rate)}
    wanted |= {f"{main}/{c.name}": (c.router, c.cost_rate) for c in settings.controllers}
    return {name: _id(_content(router), rate) for name, (router, rate) in wanted.items()}


def _content(router: str) -> bytes:
    path = Path(router)
    return path.read_bytes() if path.is_file() else router.encode()


def _id(content: bytes, cost_rate: float | None) -> str:
    priced = content if cost_rate is None else content + f"@{cost_rate!r}".encode()
    return hashlib.blake2b(priced, digest_size=8).hexdigest()
