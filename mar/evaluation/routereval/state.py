"""What a kept result depends on beside its options: the data, and code that is not mar's.

A run folder is gone on with under the same command. Between two runs a table may have been mended or a router of one's
own rewritten; then what was measured before is no answer any more, and is measured again.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mar.controllers.routers.base import Router
from mar.controllers.routers.registry import ROUTERS
from mar.evaluation.routereval.construct import RoutingSet

SIZE = 8  # bytes


def digest_of_problem(problem: RoutingSet) -> str:
    """Digest of the candidates, and of every part's embeddings, scores, labels and texts."""
    digest = blake2b("\x1f".join(problem.models).encode(errors="surrogatepass"), digest_size=SIZE)
    for part in (problem.train, problem.validation, problem.test):
        for values in (part.vectors, part.scores, part.targets):
            digest.update(np.ascontiguousarray(values).data)
        digest.update("\x1f".join((*part.texts, *part.groups)).encode(errors="surrogatepass"))
    return digest.hexdigest()


def digest_of_files(paths: Iterable[Path]) -> str:
    """Digest of the contents of those that are files; empty where none is."""
    found = [path.read_bytes() for path in paths if path.is_file()]
    return blake2b(b"\x1f".join(found), digest_size=SIZE).hexdigest() if found else ""


def own_files(router: Router) -> list[Path]:
    """The file that a router of the user's own is written in; nothing for those that come with mar."""
    if ROUTERS.place(ROUTERS.name_of(router)).startswith("mar."):
        return []
    source = inspect.getsourcefile(type(router))
    return [Path(source)] if source else []
