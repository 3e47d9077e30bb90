"""What of Python a job can see: the standard library by a list of its modules, and the shared objects they load.

A list and not a folder, because beside the standard library lies what was installed: mar itself and the answers of its
bundled benchmarks, where mar was installed without a virtual environment. The same holds for the system's folders of
shared libraries, beneath which some distributions keep their packages.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from typing import Any, NoReturn

# Tables that the C library and `zoneinfo` read. Nothing else is ever installed there.
_TABLES = ("/usr/share/zoneinfo", "/etc/ld.so.cache", "/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8")
_LOADED_ON_DEMAND = "libgcc_s.so.1"  # by the C library, when a thread ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The standard library as it lies on this machine.

    Attributes:
        folders: The folders it lies in.
        modules: For each top-level module or package its folder's number and its name in it.
        paths: Everything a job may read: files, and folders with all they contain.
    """

    folders: list[str]
    modules: dict[str, tuple[int, str]]
    paths: list[str]


class Finder:
    """Finds top-level modules of the standard library without listing a folder.

    Args:
        folders: Paths under which the library's folders can be reached.
        library: What there is.
    """

    def __init__(self, folders: list[str], library: Library) -> None:
        self._folders = folders
        self._modules = library.modules

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where the module lies; None if it is not on the list."""
        if fullname not in self._modules:
            return None
        number, name = self._modules[fullname]
        place = f"{self._folders[number]}/{name}"
        if name != fullname:
            return importlib.util.spec_from_file_location(fullname, place)
        start = f"{place}/__init__.py"
        return importlib.util.spec_from_file_location(fullname, start, submodule_search_locations=[place])


def survey() -> Library:
    """Look up what there is. Loads every extension module, in a process of its own that ends."""
    folders = _folders()
    modules: dict[str, tuple[int, str]] = {}
    paths: list[str] = []
    for number, folder in enumerate(folders):
        for name in sorted(os.listdir(folder)):
            module, _, suffix = name.partition(".")
            if module in sys.stdlib_module_names and (not suffix or name.endswith((".py", ".so"))):
                modules.setdefault(module, (number, name))
                paths.append(f"{folder}/{name}")
            elif module.startswith("_sysconfigdata_"):
                modules[module] = (number, name)
                paths.append(f"{folder}/{name}")
        paths += _compiled(folder, modules, number)
    extensions = [path for path in paths if path.endswith(".so")]
    shared = [path for path in _loaded_by(extensions) if path not in extensions]
    return Library(folders=folders, modules=modules, paths=[*paths, *shared, *filter(os.path.exists, _TABLES)])


def use(library: Library, folders: list[str]) -> None:
    """Import from the library by its list from now on, its folders reached by these paths."""
    moved = dict(zip(library.folders, folders, strict=True))
    for module in [module for module in sys.modules.values() if hasattr(module, "__path__")]:
        module.__path__ = [_move(path, moved) for path in module.__path__]
    sys.path.clear()
    sys.meta_path.append(Finder(folders, library))


def _move(path: str, moved: dict[str, str]) -> str:
    folder = os.path.dirname(path)
    return f"{moved[folder]}/{os.path.basename(path)}" if folder in moved else path


def _folders() -> list[str]:
    wanted = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    wanted += [path for path in sys.path if path.endswith("lib-dynload")]
    return [path for path in dict.fromkeys(wanted) if os.path.isdir(path)]


def _compiled(folder: str, modules: dict[str, tuple[int, str]], number: int) -> list[str]:
    sources = [f"{folder}/{name}" for place, name in modules.values() if place == number and name.endswith(".py")]
    return [path for path in map(importlib.util.cache_from_source, sources) if os.path.exists(path)]


def _loaded_by(extensions: list[str]) -> list[str]:
    """Paths of all shared objects in a process that has loaded these, as the loader found them."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _load_and_tell(extensions, writing)
    os.close(writing)
    with open(reading, encoding="utf-8", errors="surrogateescape") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return [os.path.normpath(path) for path in text.splitlines() if path.startswith("/")]


def _load_and_tell(extensions: list[str], writing: int) -> NoReturn:
    try:
        for path in [*extensions, _LOADED_ON_DEMAND]:
            try:
                ctypes.CDLL(path)
            except OSError:
                continue  # no interpreter here could load it either
        with open(writing, "wb") as pipe:
            pipe.write(b"\n".join(_loaded()))
    finally:
        os._exit(0)


class _Info(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))  # the start of struct dl_phdr_info


def _loaded() -> list[bytes]:
    names: list[bytes] = []

    def note(info: Any, size: int, data: object) -> int:
        names.append(info.contents.name or b"")
        return 0

    kind: Callable[..., Any] = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Info), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.CDLL(None).dl_iterate_phdr(kind(note), None)
    return names
