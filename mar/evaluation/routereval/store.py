"""Results of a comparison on disk, one file each, so that a run that was killed goes on."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import TypeAdapter

from mar.evaluation.routereval.metrics import Metrics
from mar.evaluation.routereval.results import Measured
from mar.files import write_atomically
from mar.learning.rundir import claim_folder
from mar.reading import attempt, parse_json
from mar.reading.arrays import read_npz

_METRICS = TypeAdapter(Metrics)


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of results by key."""

    folder: Path

    @classmethod
    def open(cls, folder: Path, arguments: dict[str, Any]) -> Self:
        """A new folder, or one of a run with the same arguments.

        Raises:
            ConfigError: It belongs to a run with other arguments; names the first that differs.
        """
        claim_folder(folder, arguments)
        return cls(folder)

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def put(self, key: str, measured: Measured) -> None:
        """Keep a result, whole or not at all."""
        about = {
            "router": measured.router,
            **asdict(measured.metrics),
            "fit_s": measured.fit_s,
            "score_s": measured.score_s,
        }
        content = io.BytesIO()
        np.savez_compressed(content, about=np.array(json.dumps(about)), values=measured.values)
        write_atomically(self._path(key), content.getvalue())

    def get(self, key: str) -> Measured:
        """A result that was kept.

        Raises:
            DataError: Its file is damaged.
        """
        path, expected = self._path(key), "a result; remove it to measure it again"
        arrays = read_npz(path, expected=expected)

        def measured() -> Measured:
            about = parse_json(str(arrays["about"]), str(path), finite=False)
            times = {name: float(about.pop(name)) for name in ("fit_s", "score_s")}
            router, metrics = str(about.pop("router")), _METRICS.validate_python(about)
            return Measured(router=router, metrics=metrics, values=arrays["values"], **times)

        return attempt(measured, f"{path} is no result", expected=expected)

    def _path(self, key: str) -> Path:
        return self.folder / "results" / f"{key}.npz"
