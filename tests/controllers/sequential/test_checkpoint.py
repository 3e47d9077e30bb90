"""Minds that are kept and read again, and files that hold none."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mar.api import load_controller
from mar.controllers.embeddings import HashEncoder
from mar.controllers.sequential import Sequential, Terms, load_sequential, save_sequential
from mar.errors import CheckpointError
from tests.controllers.sequential.test_policy import mind

ENCODER = HashEncoder(16)


@pytest.fixture
def kept(tmp_path):
    made = mind()
    made.beliefs.theta = torch.tensor([1.0, 2.0, 3.0])
    controller = Sequential([made, mind("options", "Commonsense")], ENCODER, Terms(cost_rate=7.0))
    path = tmp_path / "kept.safetensors"
    save_sequential(path, controller, trained_on={"task": "t"}, simulated=True)
    return path


def changed(path, *, tensors=None, about=None):
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["mar"])
    arrays = load_file(path)
    for name, value in (tensors or {}).items():
        arrays[name] = value
        if value is None:
            del arrays[name]
    about = about(header) if about else header
    save_file(arrays, path, metadata={"mar": json.dumps(about)})


def test_what_was_kept_is_read_again(kept):
    loaded = load_sequential(kept, ENCODER)

    first = loaded.controller.minds["Math/open"]
    assert first.beliefs.theta.tolist() == [1.0, 2.0, 3.0]
    assert first.beliefs.strategies == (None,)
    assert loaded.controller.terms.cost_rate == 7.0
    assert set(loaded.controller.minds) == {"Math/open", "Commonsense/options"}
    assert loaded.header.trained_on == {"task": "t"}
    assert isinstance(load_controller(kept, encoder=ENCODER), Sequential)


@pytest.mark.parametrize(
    "harm",
    [
        {"tensors": {"0.theta": np.zeros(2, dtype=np.float32)}},
        {"tensors": {"0.theta": np.full(3, np.nan, dtype=np.float32)}},
        {"tensors": {"0.theta": None}},
        {"tensors": {"0.doubt": np.zeros(3, dtype=np.float32)}},
        {"tensors": {"1.habits.written": np.zeros(1)}},
        {"tensors": {"0.topics.mean": np.zeros(3, dtype=np.float32)}},
        {"tensors": {"0.common": np.zeros((1, 1), dtype=np.float32)}},
        {"about": lambda h: h | {"minds": []}},
        {"about": lambda h: h | {"embedding": 0}},
        {"about": lambda h: h | {"minds": [h["minds"][0] | {"families": ["x"]}, h["minds"][1]]}},
        {"about": lambda h: h | {"minds": [h["minds"][0] | {"spread": 0.0}, h["minds"][1]]}},
        {"about": lambda h: h | {"format": "mar/sequential/999"}},
    ],
)
def test_a_damaged_file_is_one_line(kept, harm):
    changed(kept, **harm)

    with pytest.raises(CheckpointError) as caught:
        load_sequential(kept, ENCODER)

    assert len(str(caught.value).splitlines()) == 1


def test_another_encoder_is_refused(kept):
    with pytest.raises(CheckpointError, match="width"):
        load_sequential(kept, HashEncoder(32))
