"""Train and test a preference router: which LLM will this user like best?

uv run python experiments/run_gmt.py --config configs/gmt/mt_bench.yaml --data DIR    real votes, built from raw data
uv run python experiments/run_gmt.py --config sample.yaml                             a published configuration, as is
uv run python experiments/run_gmt.py --config FILE --data DIR --build Datasets/gmt    the data set as published files
uv run python experiments/run_gmt.py --config FILE --variant published|personal       the other router on the same data
uv run python experiments/run_gmt.py --config FILE --workers 4                        splits fitted by four processes
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from mar.cli.script import run_script
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.errors import ConfigError
from mar.evaluation.gmt.config import Variant, load_config
from mar.evaluation.gmt.data import load_votes, write_published
from mar.evaluation.gmt.experiment import run_gmt
from mar.evaluation.options import parse_options
from mar.execution import Workers
from mar.learning.progress import Progress


class GmtOptions(Workers):
    """Options of the script."""

    config: Path | None = Field(default=None, description="YAML file, such as configs/gmt/mt_bench.yaml (required)")
    variant: Variant | None = Field(default=None, description="which router, instead of the file's")
    data: Path | None = Field(default=None, description="folder of raw data; default: MAR_DATA")
    build: Path | None = Field(
        default=None, description="write the data set as published files below this folder, stop"
    )
    out: Path | None = Field(default=None, description="run folder, gone on with if it exists")


def main() -> None:
    """Read the options, run."""
    options = parse_options(GmtOptions, description="Train and test a preference router.")
    if options.config is None:
        raise ConfigError("--config is missing; expected a YAML file such as configs/gmt/mt_bench.yaml")
    data = options.data or (Path(os.environ["MAR_DATA"]) if os.environ.get("MAR_DATA") else None)
    config = load_config(options.config, variant=options.variant)
    encoder, progress = CachedEncoder(MiniLM()), Progress()
    if options.build is not None:
        for path in write_published(load_votes(config, data), options.build / config.dataset.name, encoder):
            progress.say(f"wrote {path}")
        return
    run_gmt(config, data, options.out, encoder, progress, options)


if __name__ == "__main__":
    run_script(main)
