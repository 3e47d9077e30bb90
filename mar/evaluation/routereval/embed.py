"""Embedding a table's prompts with any encoder, each text once for all runs."""

from __future__ import annotations

import numpy as np

from mar.controllers.embeddings import Encoder
from mar.errors import DataError
from mar.evaluation.routereval.table import OutcomeTable
from mar.learning.progress import Progress

CHUNK = 256  # texts between two moves of the bar, and between two writes to the cache


def embed(table: OutcomeTable, encoder: Encoder, progress: Progress) -> OutcomeTable:
    """The table with embeddings of its prompts.

    Raises:
        DataError: The prompts' texts are not known.
    """
    if not table.prompts:
        raise DataError(f"{table.name} has no texts of its prompts to embed; expected a table with prompts")
    blocks: list[np.ndarray] = []
    with progress.bar(f"embedding {table.name}", total=len(table)) as bar:
        for at in range(0, len(table), CHUNK):
            some = table.prompts[at : at + CHUNK]
            blocks.append(encoder.encode(some))
            bar.advance(len(some))
    return table.with_vectors(np.concatenate(blocks))
