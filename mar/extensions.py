"""What can be added to mar from outside: one registry for each kind of thing, and one way to find what is in it.

A thing has a name in its registry because it comes with mar, because Python code registers it, or because an installed
package names it among its entry points (the registry's `group`, loaded when the name is first asked for). A person may
also name it by place, `module:name` or `file.py:name`, or have a file imported that registers it (`use`).

Names that come from data (checkpoints, plans, traces, roles) are looked up with `find`, which imports nothing by place:
a file does not get to say which code runs. `named` and `use` are for what a person named on a command line or in code.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from mar.errors import ConfigError
from mar.reading import parse_json

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Things of one kind by name. As a mapping it holds what is registered, in that order, as `find` gives it.

    Args:
        what: One of them is called, in messages: "mode".
        group: Of entry points of installed packages: "mar.modes".
        fits: Whether something is one of them.
        expected: What that takes, in words.
        own: Those that come with mar: things, or places (`module:name`) that are imported when they are needed.
    """

    def __init__(
        self,
        what: str,
        *,
        group: str,
        fits: Callable[[Any], bool],
        expected: str,
        own: Mapping[str, T | str] | None = None,
    ) -> None:
        self.what, self.group, self.expected = what, group, expected
        self._fits = fits
        self._known: dict[str, T | str] = dict(own or {})

    def register(self, name: str, thing: T | str) -> None:
        """Give a thing a name; again under the same name is fine, another thing is not.

        Args:
            name: The name.
            thing: It, or its place (`module:name`), which is imported when it is needed.

        Raises:
            ConfigError: The name belongs to another one, or the thing is none of this kind.
        """
        if not isinstance(thing, str):
            self._checked(thing, name)
        if name in self._known and place_of(self._known[name]) != place_of(thing):
            raise ConfigError(f"there is a {self.what} {name!r} already: {place_of(self._known[name])}")
        self._known[name] = thing

    def find(self, name: str) -> T:
        """What has that name, here or in an installed package. Nothing is imported by its place.

        Raises:
            ConfigError: There is none, or what there is is none of this kind; lists the names there are.
        """
        if name not in self._known and (installed := self._installed().get(name)) is not None:
            self._known[name] = self._checked(_loaded(installed), f"{name} ({installed.value})")
        if name not in self._known:
            raise ConfigError(self._unknown(name))
        found = self._known[name]
        return self._checked(load(found), name) if isinstance(found, str) else found

    def named(self, name: str) -> T:
        """What a person named: as `find`, or by its place, which is imported.

        Raises:
            ConfigError: There is none, or what there is is none of this kind.
        """
        if self.knows(name):
            return self.find(name)
        if not is_place(name):
            raise ConfigError(f"{self._unknown(name)}; or a place of your own, module:name or file.py:name")
        return self._checked(load(name), name)

    def knows(self, name: str) -> bool:
        """Whether `find` finds it."""
        return name in self._known or name in self._installed()

    def names(self) -> tuple[str, ...]:
        """All names, those of installed packages last."""
        return tuple(dict.fromkeys([*self._known, *self._installed()]))

    def has_place(self, place: str) -> bool:
        """Whether what stands at a place is registered under some name."""
        return any(place_of(known) == place for known in self._known.values())

    def place(self, name: str) -> str:
        """Where what is registered under a name is from, as module:name; "" where there is none."""
        return place_of(self._known[name]) if name in self._known else ""

    def name_of(self, thing: object) -> str:
        """The name a thing is registered by, else its place."""
        place = place_of(thing)
        return next((name for name, known in self._known.items() if place_of(known) == place), place)

    def __getitem__(self, name: str) -> T:
        if name not in self._known:
            raise KeyError(name)
        return self.find(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def _unknown(self, name: str) -> str:
        return f"unknown {self.what} {name!r}; there are: {', '.join(self.names())}"

    def _installed(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points  # takes a while to load, and is seldom needed

        return {point.name: point for point in entry_points(group=self.group)}

    def _checked(self, thing: Any, name: str) -> T:
        if not self._fits(thing):
            raise ConfigError(f"{self.what} {name}: {type(thing).__name__} {thing!r:.80}; expected {self.expected}")
        return cast("T", thing)


def is_place(name: str) -> bool:
    """Whether a name says where something is: module:name or file.py:name."""
    module, colon, attribute = name.rpartition(":")
    return bool(colon) and attribute.isidentifier() and (_is_file(module) or module.replace(".", "").isidentifier())


def load(place: str) -> Any:
    """What stands at `module:name` or `file.py:name`; modules of the working folder are found too.

    Raises:
        ConfigError: There is no such module or name, or importing it fails.
    """
    module_name, _, attribute = place.rpartition(":")
    module = use(module_name)
    if not hasattr(module, attribute):
        raise ConfigError(f"{module_name} has no {attribute!r}; expected the name of something that stands in it")
    return getattr(module, attribute)


def use(place: str) -> Any:
    """Import a module or a Python file that a person named, for what it registers; once for each.

    Raises:
        ConfigError: There is none, or importing it fails.
    """
    try:
        return _file(Path(place)) if _is_file(place) else _module(place)
    except ConfigError:
        raise
    except Exception as error:  # whatever importing code of the user's raises
        raise ConfigError(f"{place} cannot be imported: {type(error).__name__}: {error}") from None


def place_of(thing: object) -> str:
    """Where a thing is from, as module:name; a place as it is; of an instance its class's."""
    if isinstance(thing, str):
        return thing
    named: Any = thing if hasattr(thing, "__qualname__") else type(thing)
    own = getattr(thing, "name", "") if named is not thing else ""
    return f"{named.__module__}:{named.__qualname__}" + (f" {own!r}" if own else "")


def _is_file(name: str) -> bool:
    return name.endswith(".py")


def _module(name: str) -> Any:
    if (folder := os.getcwd()) not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


def _file(path: Path) -> Any:
    """A file as a module of its name, or where another module has that, of its name and place; it is run once."""
    if not path.is_file():
        raise ConfigError(f"no Python file {path}")
    where = path.resolve()
    name = path.stem if _is_of(path.stem, where) else f"{path.stem}_{sha256(str(where).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, where)
    assert spec is not None
    assert spec.loader is not None  # of a file that ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_of(name: str, file: Path) -> bool:
    """Whether a module's name is free for a file, or that file's already."""
    if name in sys.modules:
        return Path(getattr(sys.modules[name], "__file__", None) or "").resolve() == file
    return importlib.util.find_spec(name) is None or (file.parent == Path.cwd() and str(file.parent) in sys.path)


def _loaded(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:  # whatever importing an installed package raises
        raise ConfigError(f"{point.value} cannot be imported: {type(error).__name__}: {error}") from None


def parse_call(text: str, what: str) -> tuple[str, Mapping[str, Any]]:
    """Something to be made as a command line names it: knn, or knn(k=20) with JSON values.

    Raises:
        ConfigError: It is written in another way.
    """
    name, opened, rest = text.partition("(")
    if not opened:
        return name, {}
    pairs = [part.partition("=") for part in rest.removesuffix(")").split(",") if part.strip()]
    found = {key.strip(): parse_json(value, text, error=ConfigError) for key, sign, value in pairs if sign}
    if not rest.endswith(")") or len(found) < len(pairs):
        raise ConfigError(f"{what} {text!r}; expected a name, or name(parameter=value,...) with each parameter once")
    return name, found
