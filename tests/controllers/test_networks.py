"""The small networks of routers learn as PyTorch's layers, loss, Adam and cosine schedule would."""

from math import cos, pi

import numpy as np
import pytest
import torch
from torch import nn

from mar.controllers.routers.base import Examples
from mar.controllers.routers.networks import Linear, _Adam, _layers, _Network

LR, STEPS = 0.05, 40


def theirs_of(network):
    weights, biases = _layers(network.parameters, network.sizes)
    parts = []
    for weight, bias in zip(weights, biases, strict=True):
        layer = nn.Linear(*weight.shape)
        layer.weight.data, layer.bias.data = torch.from_numpy(weight.T.copy()), torch.from_numpy(bias.copy())
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


@pytest.mark.parametrize("sizes", [(4, 2), (4, 6, 5, 2)])
def test_every_step_is_that_of_pytorch(sizes):
    rng = np.random.default_rng(0)
    network = _Network(sizes, rng)
    theirs = theirs_of(network)
    adam = _Adam(len(network.parameters))
    optimizer = torch.optim.Adam(theirs.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    loss = nn.BCEWithLogitsLoss()
    for step in range(STEPS):
        x = rng.standard_normal((3, 4), dtype=np.float32)
        y = (rng.random((3, 2)) < 0.5).astype(np.float32)
        adam.step(network.parameters, network.gradient(x, y), LR * (1 + cos(pi * step / STEPS)) / 2)
        optimizer.zero_grad()
        loss(theirs(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimizer.step()
        schedule.step()
    expected = torch.cat([part for p in theirs if isinstance(p, nn.Linear) for part in (p.weight.T.ravel(), p.bias)])
    assert np.allclose(network.parameters, expected.detach().numpy(), atol=2e-4)
    with torch.inference_mode():
        assert network.loss(x, y) == pytest.approx(
            float(loss(theirs(torch.from_numpy(x)), torch.from_numpy(y))), abs=1e-4
        )


def noise(n):
    rng = np.random.default_rng(n)
    vectors = rng.standard_normal((n, 8), dtype=np.float32)
    return Examples(vectors=vectors, scores=(rng.random((n, 2)) < 0.5).astype(np.float32))


def test_patience_keeps_the_epoch_with_the_lowest_validation_loss():
    # Labels are coin flips: every epoch after the first few fits noise, and the loss elsewhere rises.
    train, validation = noise(200), noise(100)

    def loss(router):
        router.fit(train, validation)
        logits = router.score(validation)
        return float(np.mean(np.logaddexp(0, logits) - validation.scores * logits))

    stopped, to_the_end = (loss(Linear(hidden=(32,), epochs=60, patience=p)) for p in (3, None))
    assert stopped < 0.75 < to_the_end
