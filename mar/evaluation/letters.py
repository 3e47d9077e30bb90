"""The letters that real models answered MMLU-Pro with, as they were recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from mar.errors import DataError
from mar.tasks.mmlu_pro import MmluPro
from mar.tasks.options import OptionItem
from mar.tasks.readers import read_csv

PREDICTIONS = Path("outcomes/mmlu_pro/predictions.csv.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """The recorded letters as they are, rows in the order of MMLU-Pro's questions."""

    items: tuple[OptionItem, ...]  # the questions, gold included
    models: tuple[str, ...]  # as the file orders them
    letters: npt.NDArray[np.str_]  # shape (Q, M), "" where none could be read


def read_letters(data: Path) -> Letters:
    """Read MMLU-Pro's questions and what the recorded models answered from a data folder.

    Raises:
        DataError: A file is missing, or predictions and questions do not belong together.
    """
    path = data / PREDICTIONS
    if not path.is_file():
        raise DataError(f"no file {path}; expected the predictions of mmlu_pro_outputs (mar data pull)")
    header, *rows = [cast("list[str]", row["cells"]) for row in read_csv(path)]
    items = tuple(MmluPro.load(data=data).all_items)
    if [item.id for item in items] != [row[0] for row in rows]:
        raise DataError(f"{path}: the question ids are not those of MMLU-Pro's questions, in their order")
    return Letters(items=items, models=tuple(header[1:]), letters=np.array([row[1:] for row in rows]))
