"""Configuration of a preference router's run: the published file as it is, and ours with more choices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mar.errors import ConfigError
from mar.evaluation.gmt.protocol import SplitKind
from mar.reading.yaml_values import read_yaml

DataName = Literal["chatbot_arena", "gsm8k", "mmlu", "mt_bench"]
Variant = Literal["personal", "published"]
ONLY: Mapping[Variant, tuple[str, ...]] = {  # what one variant alone reads
    "published": (
        *("train.epochs", "train.lr", "train.record_per_user", "train.prediction_count", "train.objective"),
        *("train.binary", "train.eval_every", "train.seed", "checkpoint.save_every"),
    ),
    "personal": ("train.contexts", "train.rounds"),
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetSection(_Section):
    """What is learned from."""

    name: DataName
    path: Path = Path("Datasets/gmt")  # holds <name>/training_set.jsonl and so on; not there: built from raw data
    split: SplitKind = "votes"  # of data that are built: hold out conversations, or whole questions


class ConfigSection(_Section):
    """Published: whether data were preprocessed into pickled tensors, which mar does not read."""

    preprocess: bool = False


class TrainSection(_Section):
    """How it is learned. Fields of the published file have their published defaults."""

    id: str = "gmt"
    variant: Variant = "published"
    epochs: int = Field(default=350, gt=0)
    lr: float = Field(default=5e-4, gt=0)
    record_per_user: int = Field(default=10, gt=0)
    prediction_count: int = Field(default=256, gt=0)
    multi_turn: bool = True
    # Messages into a node are averaged with attention as weights; nothing else is published or built.
    aggregation_type: Literal["mean"] = "mean"
    objective: Literal["auc", "acc"] = "auc"
    binary: bool = True
    eval_every: int = Field(default=5, gt=0)
    seed: int = 136
    splits: int = Field(default=5, gt=0)  # of data that are built: seeds of the split that results are averaged over
    contexts: int = Field(default=8, ge=1, le=64)  # personal: directions of query embeddings
    rounds: int = Field(default=15, ge=1)  # personal: of learning the priors


class CheckpointSection(_Section):
    """What is kept."""

    root: Path = Path("runs")
    save_every: int = Field(default=25, gt=0)  # epochs


class GmtConfig(_Section):
    """A whole file."""

    dataset: DatasetSection
    config: ConfigSection = ConfigSection()
    train: TrainSection = TrainSection()
    checkpoint: CheckpointSection = CheckpointSection()


def load_config(path: Path, *, variant: Variant | None = None) -> GmtConfig:
    """Read a YAML file.

    Args:
        path: The file.
        variant: Instead of the file's.

    Raises:
        ConfigError: The file is missing, no YAML, or a field is wrong, unknown or without effect; names it.
    """
    if not path.is_file():
        raise ConfigError(f"--config {path}: no such file; expected a YAML file")
    try:
        raw: Any = read_yaml(path, error=ConfigError)
    except ConfigError as error:
        raise ConfigError(f"--config {path} is no YAML: {error}") from None
    try:
        config = GmtConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(f"{path}: {field} is {first['input']!r}: {first['msg']}") from None
    if idle := without_effect(config):
        raise ConfigError(f"{path}: {idle[0]} has no effect on variant {config.train.variant}; leave it out")
    if variant is None:
        return config
    return config.model_copy(update={"train": config.train.model_copy(update={"variant": variant})})


def without_effect(config: GmtConfig) -> list[str]:
    """Fields that were given and that the chosen variant does not read, such as those of a file for the other one."""
    given = {f"train.{name}" for name in config.train.model_fields_set}
    given |= {f"checkpoint.{name}" for name in config.checkpoint.model_fields_set}
    return [
        name for variant, names in ONLY.items() for name in names if variant != config.train.variant and name in given
    ]
