# pyright: basic
"""A run's folder: its arguments, versions, metrics, state to resume from, best controller, and what it found.

args.json, environment.json   what was asked for, and with which versions and prompts
metrics.jsonl                 one line per update and per validation
state.safetensors             weights, the best of them, optimiser and position after the last update, for resuming
checkpoint.safetensors        the finished controller
episodes-*.jsonl              traces of the test phase
results.json, results.md, curves.png

Everything that resuming needs is one file that is replaced whole, so there is no moment between two writes. Whoever
runs in a folder holds it (`held`), so that two processes never mix in one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import ConfigDict, TypeAdapter
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from mar.errors import CheckpointError, ConfigError
from mar.files import clear_unfinished, write_atomically
from mar.reading import attempt, read_json, read_json_lines, table, validated

PACKAGES = ("mar", "torch", "sentence-transformers", "openai", "anyio", "trio", "numpy")


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """Where training stands."""

    epoch: int = 0  # epoch under way
    batch: int = 0  # next batch of it
    step: int = 0  # updates made so far
    best_epoch: int = -1
    best_step: int = 0  # updates made when it was found
    best_utility: float = float("-inf")
    best_by_item: list[float] = field(default_factory=list[float])  # its utility on each validation item
    settled: bool = False  # whether the best epoch is one whose policy has settled
    kept: bool = False  # whether any weights were kept as the best
    stopped: str = ""  # why training ended; empty: it has not


_STATE = TypeAdapter(TrainingState)
_NUMBERS = TypeAdapter(dict[str, int | float], config=ConfigDict(strict=True))


class Remembers(Protocol):
    """Anything else that training keeps, as tensors."""

    def state(self) -> dict[str, torch.Tensor]:
        """All of it."""
        ...

    def load(self, state: dict[str, torch.Tensor], /) -> None:
        """Take over what `state` returned."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedParts:
    """What changes in training, by name."""

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    memories: Mapping[str, Remembers] = field(default_factory=dict[str, "Remembers"])

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything as flat, named tensors."""
        found: dict[str, torch.Tensor] = {}
        for name, module in self.modules.items():
            found |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for i, moments in optimizer.state_dict()["state"].items():
                found |= {f"{name}.{i}.{key}": torch.as_tensor(value) for key, value in moments.items()}
        for name, memory in self.memories.items():
            found |= {f"{name}.{key}": value for key, value in memory.state().items()}
        return {key: value.contiguous() for key, value in found.items()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over what `tensors` returned."""
        for name, module in self.modules.items():
            module.load_state_dict(_below(name, tensors))
        for name, optimizer in self.optimizers.items():
            moments: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in _below(name, tensors).items():
                index, field = key.split(".", 1)
                moments.setdefault(int(index), {})[field] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
        for name, memory in self.memories.items():
            memory.load(_below(name, tensors))


def _below(name: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


@contextmanager
def held(folder: Path) -> Generator[None]:
    """Be the only process at work in a run's folder, which is made if need be, and clear away what a killed one left.

    The lock is on the folder itself and belongs to the process: it ends with it, however that ends, and leaves no file.
    A file system that knows no locks gives none. A folder that nothing was written to is not left.

    Raises:
        ConfigError: It cannot be a folder, or another process is at work in it.
    """
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(f"--out {folder} cannot be a folder: {error.strerror}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another process is at work in {folder}; wait for it, or give another --out") from None
        except OSError:
            pass
        clear_unfinished(folder)
        yield
    finally:
        os.close(handle)
        if new and not any(folder.iterdir()):
            folder.rmdir()


def claim_folder(path: Path, arguments: Mapping[str, Any]) -> None:
    """Create a run's folder with its args.json, or find it to be that of a run with the same arguments.

    Raises:
        ConfigError: The folder belongs to a run with other arguments (names the first that differs), or is none.
    """
    given = same_arguments(path, arguments)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {path} cannot be a folder: {error.strerror}") from None
    write_atomically(path / "args.json", json.dumps(given, indent=2, sort_keys=True))


def same_arguments(path: Path, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as args.json holds them, unless it holds others; writes nothing.

    Raises:
        ConfigError: The folder belongs to a run with other arguments (names the first that differs).
    """
    given = json.loads(json.dumps(dict(arguments), default=str))
    stored = path / "args.json"
    if stored.is_file():
        expected = "the arguments of a run; give another --out"
        read = read_json(stored, expected=expected, error=ConfigError)
        before = table(read, str(stored), expected=expected, error=ConfigError)
        for name in sorted(given.keys() | before.keys()):
            if given.get(name) != before.get(name):
                raise ConfigError(
                    f"{path} holds a run with {name} = {before.get(name)!r}, not {given.get(name)!r}; "
                    "give the same options to resume it, or another --out"
                )
    return given


def _version(package: str) -> str:
    """Of a package; one that only lies on the path (a checkout, a copy) has none that could be looked up."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


class RunDir:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path, *, arguments: Mapping[str, Any], prompts: str) -> RunDir:
        """Create the folder, or go on with one of the same arguments.

        Raises:
            ConfigError: The folder belongs to a run with other arguments (names the first that differs), or is none.
        """
        run = cls(path)
        claim_folder(path, arguments)
        versions = {name: _version(name) for name in PACKAGES}
        environment = {"python": platform.python_version(), "versions": versions, "prompts": prompts}
        write_atomically(path / "environment.json", json.dumps(environment, indent=2))
        return run

    def remember(self, name: str, value: float) -> None:
        """Keep a value that the run found out and that resuming must not find out anew."""
        facts = {**self._facts(), name: value}
        write_atomically(self.path / "facts.json", json.dumps(facts))

    def recall(self, name: str) -> float | None:
        """A remembered value, or None."""
        return self._facts().get(name)

    def _facts(self) -> dict[str, float]:
        path = self.path / "facts.json"
        if not path.is_file():
            return {}
        expected = "what the run found out; without this file it finds it out anew"
        return validated(_NUMBERS, read_json(path, expected=expected), str(path), expected=expected)

    # Metrics --------------------------------------------------------------------------------------------------

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line of metrics."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")

    def metrics(self) -> list[dict[str, float]]:
        """All lines of metrics; half a line at the end, which a kill or a full disk left, is none.

        Raises:
            DataError: A line is no metrics; names it.
        """
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return []
        expected = "metrics of an update; without this file the run goes on and its curves begin here"
        lines = read_json_lines(path, expected=expected, finite=False, complete=True)
        return [_numbers(m, where, expected) for where, m in lines]

    # State ----------------------------------------------------------------------------------------------------

    def save_state(self, state: TrainingState, parts: SavedParts) -> None:
        """Write everything that resuming needs, all or nothing."""
        tensors, text = parts.tensors(), json.dumps(asdict(state))
        about = {"state": text, "digest": _digest(text, tensors)}
        # One entry: safetensors writes several in no fixed order, and two runs of one seed end in the same bytes.
        content = save(tensors, metadata={"state": json.dumps(about)})
        write_atomically(self.path / "state.safetensors", content)

    def load_state(self, parts: SavedParts) -> TrainingState | None:
        """Restore all parts, and drop metrics of updates that were not saved. None: a fresh start.

        Raises:
            CheckpointError: The state is damaged or of another network.
        """
        path = self.path / "state.safetensors"
        if not path.is_file():
            (self.path / "metrics.jsonl").unlink(missing_ok=True)  # of a run that was killed in its first update
            return None
        expected = "the state of this run; delete the file to train anew, with what was paid for from the cache"
        state = attempt(lambda: _restored(path, parts), str(path), expected=expected, error=CheckpointError)
        kept = [m for m in self.metrics() if m["step"] <= state.step and not _redone(m, state)]
        write_atomically(self.path / "metrics.jsonl", "".join(json.dumps(m) + "\n" for m in kept))
        return state


def _restored(path: Path, parts: SavedParts) -> TrainingState:
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {})["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    if about["digest"] != _digest(about["state"], tensors):
        raise ValueError("it is not what was written")
    state = _STATE.validate_python(json.loads(about["state"]))
    parts.restore(tensors)
    return state


def _digest(state: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Of everything in a state: a weight that a disk has changed is a number like any other and would be trained on."""
    whole = hashlib.blake2b(state.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def _numbers(metrics: object, where: str, expected: str) -> dict[str, float]:
    """A line of metrics, with its step."""
    found = validated(_NUMBERS, metrics, where, expected=expected)
    return attempt(lambda: {"step": found["step"], **found}, where, expected=expected)


def _redone(metrics: Mapping[str, float], state: TrainingState) -> bool:
    """Whether a line is of episodes that will run again: the state after them was not saved."""
    epoch = metrics.get("epoch", -1)
    validation = "validation_utility" in metrics and epoch >= state.epoch
    real = "real_utility" in metrics and epoch >= state.epoch + (state.batch > 0)  # run before an epoch's updates
    return validation or real or metrics.get("segment", -1) >= state.batch
