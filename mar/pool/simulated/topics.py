"""Topics: what an item is about, as its text tells it.

Text says a little about how hard an item is and about which models are good at it. On recorded answers both were
regressed on sentence embeddings (`benchmarks/fit_simulator.py`); what was found is a linear map for each benchmark from
an embedding to a few coordinates with mean 0 and variance 1 over that benchmark: the first shifts an item's difficulty,
the others meet the models' loadings. So a controller that reads texts can gain on the simulated pool about what could
be gained on the recorded answers. The maps are of all-MiniLM-L6-v2 and of the six benchmarks; items of others have no
topics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import as_file, files
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mar.errors import InternalError
from mar.pool.simulated.assumptions import DEFAULT, Assumptions
from mar.pool.simulated.world import SimItem, World
from mar.reading.weights import read_tensors

Vectors = npt.NDArray[np.float32]
ENCODER = "all-MiniLM-L6-v2"


class Encoder(Protocol):
    """Turns texts into vectors."""

    @property
    def name(self) -> str:
        """Which encoder it is."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One L2-normalised vector per text, (n, 384)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicMap:
    """From embeddings to coordinates."""

    weights: Vectors  # (384, 1 + topics)
    offset: Vectors  # (1 + topics,)

    def __call__(self, vectors: Vectors) -> npt.NDArray[np.float64]:
        """Coordinates of embeddings (n, 384), (n, 1 + topics)."""
        return (vectors @ self.weights - self.offset).astype(np.float64)


@cache
def topic_maps() -> Mapping[str, TopicMap]:
    """The packaged maps by benchmark."""
    with as_file(files("mar.pool.simulated").joinpath("topics.safetensors")) as path:
        _, arrays = read_tensors(path)
    names = {name.rsplit(".", 1)[0] for name in arrays}
    return {n: TopicMap(weights=arrays[f"{n}.weights"], offset=arrays[f"{n}.offset"]) for n in sorted(names)}


def with_topics(world: World, texts: Mapping[str, str], encoder: Encoder, rules: Assumptions = DEFAULT) -> World:
    """The same items, about what their texts are about.

    Args:
        world: Items that have no topics yet.
        texts: What is asked, by item id; items without a text stay as they are.
        encoder: all-MiniLM-L6-v2; the vectors of any other say nothing here, and the world stays as it is.
        rules: What topics are worth.
    """
    ids = [i for i, item in world.items.items() if i in texts and item.benchmark in rules.topics]
    if encoder.name != ENCODER or not ids:
        return world
    if any(world.items[i].topic for i in ids):
        raise InternalError("a world's items were given topics twice")
    vectors = encoder.encode([texts[i] for i in ids])
    placed: dict[str, SimItem] = {}
    for benchmark in sorted({world.items[i].benchmark for i in ids}):
        places = [n for n, i in enumerate(ids) if world.items[i].benchmark == benchmark]
        coordinates = topic_maps()[benchmark](vectors[places]).round(3).tolist()
        share = rules.topics[benchmark].difficulty
        placed |= {ids[n]: _placed(world.items[ids[n]], c, share) for n, c in zip(places, coordinates, strict=True)}
    return World({i: placed.get(i, item) for i, item in world.items.items()})


def _placed(item: SimItem, coordinates: Sequence[float], share: float) -> SimItem:
    difficulty = share * coordinates[0] + math.sqrt(1 - share**2) * item.difficulty
    return replace(item, difficulty=difficulty, topic=tuple(coordinates[1:]))
