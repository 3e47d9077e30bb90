"""Controllers that ship with mar, as files."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from mar.errors import CheckpointError

PACKAGED = "checkpoints"  # folder of mar.controllers


def packaged_controllers() -> tuple[str, ...]:
    """Names of the controllers that ship with mar."""
    folder = resources.files("mar.controllers").joinpath(PACKAGED)
    files = [f.name for f in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(name.removesuffix(".safetensors") for name in files if name.endswith(".safetensors")))


def packaged_controller(name: str | Path) -> Path:
    """The file of a packaged controller, or of a path that is one.

    Raises:
        CheckpointError: There is neither.
    """
    if Path(name).is_file():
        return Path(name)
    known = packaged_controllers()
    if str(name) not in known:
        among = f" or one of: {', '.join(known)}" if known else ""
        what = f"{name} is a folder" if str(name) and Path(name).is_dir() else f"no controller {str(name)!r}"
        raise CheckpointError(f"{what}; expected a checkpoint file{among}")
    return Path(str(resources.files("mar.controllers").joinpath(PACKAGED, f"{name}.safetensors")))
