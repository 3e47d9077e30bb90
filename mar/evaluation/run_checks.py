"""What is refused of a benchmark run's options before anything is written or paid."""

from __future__ import annotations

from pathlib import Path

from mar.errors import ConfigError
from mar.evaluation.options import RunOptions
from mar.evaluation.session import check_spread
from mar.pool.pool import Pool


def check_options(options: RunOptions, pool: Pool | None) -> None:
    """Refuse what could only fail later.

    Args:
        options: Of the run.
        pool: The live or recorded pool; None for the simulated one, whose prices are all known.

    Raises:
        ConfigError: Names the option and what is expected.
    """
    if options.spread:
        check_spread(pool)
        if options.arrival_rate is not None or options.arrival_rates:
            raise ConfigError("queries that arrive in time share one clock; expected --workers or --arrival_rate")
    if pool is not None and pool.kind == "replay":
        _check_replay(options, pool)
    elif pool is not None and options.cost_rate != 0 and (missing := pool.without_price()):
        raise ConfigError(
            f"--cost_rate is {options.cost_rate}, but no price is known for {', '.join(missing)}; "
            "expected every price in the pool file, or --cost_rate 0"
        )
    for name in ("result_file", "train_telemetry_csv", "save_checkpoint"):
        path: Path | None = getattr(options, name)
        if path is not None and (path.is_dir() or any(p.exists() and not p.is_dir() for p in path.parents)):
            raise ConfigError(f"--{name} is {path}, which cannot be a file")


def _check_replay(options: RunOptions, pool: Pool) -> None:
    """Refuse what nobody recorded, or what would show one recording as if it were several."""
    if options.cost_rate not in (0, "auto") and (missing := pool.without_price()):
        raise ConfigError(
            f"--cost_rate is {options.cost_rate}, but the table has no cost of some answers of {', '.join(missing)}; "
            "expected --cost_rate 0, or a table with all costs"
        )
    if options.test_draws > 1:
        raise ConfigError(
            f"--test_draws is {options.test_draws}; recorded answers are the same in every draw: expected 1"
        )
    if options.num_rounds not in (None, 1):
        raise ConfigError(f"--num_rounds is {options.num_rounds}; a first round was recorded and no other: expected 1")
    if options.arrival_rate is not None or options.arrival_rates:
        raise ConfigError("recorded answers say nothing about load; expected no --arrival_rate")
