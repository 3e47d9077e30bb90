"""Configuration of a preference router's run: the published file as it is, and ours with more choices."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mar.errors import ConfigError
from mar.evaluation.gmt.protocol import SplitKind

DataName = Literal["chatbot_arena", "gsm8k", "mmlu", "mt_bench"]
Variant = Literal["personal", "published"]
PUBLISHED_ONLY = ("epochs", "lr", "record_per_user", "prediction_count", "objective", "binary", "eval_every")


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
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {path}: {error.strerror}; expected a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path} is no YAML: {str(error).splitlines()[0]}") from None
    try:
        config = GmtConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(f"{path}: {field} is {first['input']!r}: {first['msg']}") from None
    idle = [name for name in PUBLISHED_ONLY if name in config.train.model_fields_set]
    if config.train.variant == "personal" and idle:
        raise ConfigError(f"{path}: train.{idle[0]} has no effect on variant personal; leave it out")
    if variant is None:
        return config
    return config.model_copy(update={"train": config.train.model_copy(update={"variant": variant})})


def without_effect(config: GmtConfig) -> list[str]:
    """Fields of a published file that the chosen variant does not read, for a note."""
    if config.train.variant == "published":
        return []
    return [name for name in PUBLISHED_ONLY if name in config.train.model_fields_set]
