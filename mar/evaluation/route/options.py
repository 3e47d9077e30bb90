"""The options of `mar route`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from mar.evaluation.options import EXTEND, PROMPTS
from mar.evaluation.route.kinds import KINDS, check_kinds
from mar.execution import Workers
from mar.execution.options import PLACES
from mar.pool.simulated import CATALOGUES
from mar.types import Domain


class RouteOptions(Workers):
    """Options of a search for cheaper answers. Each field's description is its help text."""

    rows: Path | None = Field(
        default=None,
        description="questions: JSONL rows, or a task's TOML file (also the first word); without "
        "any: made-up ones for the simulated pool",
    )
    table: str | None = Field(
        default=None, description="scores and costs that are there already (CSV, Parquet, npz): nothing is asked"
    )
    pool: str = Field(default="auto", description="auto (as .env or pool.toml say, else simulated), or a pool file")
    domain: Domain | None = Field(default=None, description="task domain of JSONL rows; default: as they look")
    prompts: Path | None = Field(default=None, description=PROMPTS)
    extend: tuple[str, ...] = Field(default=(), description=EXTEND)
    reference: str | None = Field(default=None, description="model to compare with; default: the most accurate one")
    controllers: tuple[str, ...] = Field(
        default=KINDS, description="what is learned: cascade, teams, sequential, or routers whose scores are qualities"
    )
    limit: int | None = Field(default=None, gt=0, description="at most so many rows")
    max_cost: float | None = Field(
        default=None, ge=0, description="USD that asking may cost, honoured to the last call"
    )
    concurrency: int = Field(default=32, gt=0, description="rows under way at once")
    request_timeout: float | None = Field(default=None, gt=0, description="seconds for a call; default: the card's")
    embedding: str | None = Field(default=None, description="encoder, name or folder; default: all-MiniLM-L6-v2")
    seed: int = Field(default=0, description="of which rows are asked first, and of the folds")
    dry_run: bool = Field(default=False, description="ask a few rows, say what all would cost, and stop")
    out: Path | None = Field(default=None, description="folder, gone on with if it exists; default: runs/route-<name>")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_kinds(self.controllers)
        if self.rows is not None and self.table is not None:
            raise ValueError("expected either rows (a JSONL file or a task's TOML file) or --table")
        if self.first_look and self.pool not in ("auto", *CATALOGUES):
            raise ValueError(f"--pool is {self.pool}, but there is nothing to ask it; expected rows, or --table")
        return self

    @property
    def first_look(self) -> bool:
        """Whether there is nothing of one's own: made-up questions are put to the simulated pool."""
        return self.rows is None and self.table is None

    def identity(self) -> dict[str, Any]:
        """What must be equal for a run to be resumed."""
        free = {*PLACES, "out", "max_cost", "dry_run", "concurrency", "request_timeout", "reference", "controllers"}
        return self.model_dump(mode="json", exclude=free)
