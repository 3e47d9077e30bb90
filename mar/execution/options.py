"""Options that say where work is done, shared by everything that has them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, Field

from mar.execution.fleet import Fleet
from mar.execution.processes import Process
from mar.execution.spec import Executor, InProcess

WORKERS = "processes that share the work, with the same results; default: none but this one (docs/scaling.md)"
RAY = "address of a Ray cluster that shares the work, or local; --workers then says how many actors"


class Workers(BaseModel):
    """Where work is done."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    workers: int | None = Field(default=None, gt=0, description=WORKERS)
    ray: str | None = Field(default=None, description=RAY)

    @property
    def spread(self) -> bool:
        """Whether anybody but this process works."""
        return self.workers is not None or self.ray is not None


PLACES = frozenset(Workers.model_fields)
"""Options that change no result, so that a run may be gone on with on other workers."""


@contextmanager
def executor(
    where: Workers, *, extend: tuple[str, ...] = (), say: Callable[[str], None] | None = None
) -> Generator[Executor]:
    """Whoever does the work.

    Args:
        where: What was asked for.
        extend: Python files or modules that workers import first.
        say: Is told when a worker is lost.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at its address.
    """
    if where.ray is not None:
        from mar.execution.ray_cluster import cluster

        with cluster(where.ray) as found:
            workers = where.workers or found.processors
            with Fleet(found.place, workers, extend=extend, say=say, host=found.host) as fleet:
                yield fleet
    elif where.workers is not None:
        with Fleet(Process, where.workers, extend=extend, say=say) as fleet:
            yield fleet
    else:
        yield InProcess()
