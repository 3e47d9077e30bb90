# pyright: basic
"""Training of the published preference router: sample what is visible and what is predicted, one pass, one step.

Each epoch draws, for every user, `record_per_user` conversations that build the graph, and from the remaining ones
`prediction_count` decided votes whose outcomes are predicted. Conversations are whole: no turn of a visible
conversation is predicted, and no pair of a visible group. All randomness comes from (seed, epoch), so a killed run
goes on exactly.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from mar.controllers.gmt.comparisons import Comparisons, Floats
from mar.controllers.gmt.graph import graph_of
from mar.controllers.gmt.published import Published, PublishedSettings, pair_scores, predict_published
from mar.learning.progress import Progress
from mar.learning.rundir import RunDir, SavedParts, TrainingState

Objective = Literal["auc", "acc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTraining:
    """How long and on what, under the published names."""

    epochs: int = 350
    lr: float = 5e-4
    record_per_user: int = 10  # visible conversations per user and epoch
    prediction_count: int = 256  # votes predicted per epoch, over all users
    objective: Objective = "auc"  # which measure on the validation votes picks the weights
    binary: bool = True  # groups of more than two: each answer apart (True), or which one is best
    eval_every: int = 5
    save_every: int = 25
    seed: int = 136


@dataclass(slots=True, kw_only=True)
class TrainedPublished:
    """A trained network and how training went."""

    network: Published
    best_epoch: int
    epoch_s: list[float] = field(default_factory=list[float])  # wall clock of each epoch of this process
    epoch_cpu_s: list[float] = field(default_factory=list[float])  # processor time, all threads


def visible_and_predicted(
    votes: Comparisons, settings: PublishedTraining, epoch: int
) -> tuple[Comparisons, Comparisons]:
    """What builds the graph in an epoch, and what is predicted."""
    rng = np.random.default_rng([settings.seed, epoch])
    _, first = np.unique(votes.group, return_index=True)
    order = rng.permutation(first)
    users = votes.user[order]
    by_user = np.argsort(users, kind="stable")
    starts = np.searchsorted(users[by_user], users[by_user], side="left")
    rank = np.arange(len(order)) - starts
    # A user with few conversations keeps one to predict.
    limit = np.minimum(settings.record_per_user, np.bincount(users)[users[by_user]] - 1)
    seen = votes.group[order[by_user[rank < limit]]]
    visible = np.isin(votes.group, seen)
    candidates = np.flatnonzero(~visible & votes.decided)
    picked = rng.permutation(candidates)[: settings.prediction_count]
    return votes.where(visible), votes.where(np.sort(picked))


def loss_of(network: Published, visible: Comparisons, predicted: Comparisons, *, binary: bool) -> torch.Tensor:
    """Pairs: softplus(-y (s_a - s_b)). Groups of more than two: cross-entropy on the best answer, or binary."""
    graph = graph_of(visible, multi_turn=network.settings.multi_turn)
    a, b = pair_scores(network, graph, predicted)
    single = torch.from_numpy(predicted.weight == 1)
    sign = torch.from_numpy(predicted.sign).float()
    losses = [F.softplus(-sign * (a - b))[single]]
    if not bool(single.all()):
        losses.append(_group_losses(predicted, a, b, ~single, binary=binary))
    joined = torch.cat(losses)
    return joined.mean() if len(joined) else joined.sum()  # nothing to predict teaches nothing


def _group_losses(
    votes: Comparisons, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, *, binary: bool
) -> torch.Tensor:
    """One loss per answer (binary) or per group with one best answer, of groups of more than two."""
    kept = rows.numpy()
    score = torch.cat([a[rows], b[rows]])
    key = np.stack([np.tile(votes.group[kept], 2), np.tile(votes.turn[kept], 2)], axis=1)
    llm, rating = (
        np.concatenate([votes.a[kept], votes.b[kept]]),
        np.concatenate([votes.rating_a[kept], votes.rating_b[kept]]),
    )
    _, first = np.unique(np.column_stack([key, llm]), axis=0, return_index=True)  # every answer once
    score, rating = score[first], torch.from_numpy(rating[first]).float()
    _, group = np.unique(key[first], axis=0, return_inverse=True)
    at = torch.from_numpy(group.reshape(-1))
    count = int(at.max()) + 1
    top = torch.full((count,), -torch.inf).scatter_reduce(0, at, rating, "amax")
    best = rating == top[at]
    if binary:
        return F.binary_cross_entropy_with_logits(score, best.float(), reduction="none")
    unique = torch.zeros(count).index_add(0, at, best.float()) == 1
    peak = torch.full((count,), -torch.inf).scatter_reduce(0, at, score.detach(), "amax")
    total = torch.zeros(count).index_add(0, at, torch.exp(score - peak[at])).log() + peak
    return (total[at] - score)[best & unique[at]]


def train_published(
    train: Comparisons,
    validation: Comparisons,
    shape: PublishedSettings,
    settings: PublishedTraining,
    *,
    progress: Progress,
    run: RunDir | None = None,
) -> TrainedPublished:
    """Train, keeping the weights that are best on the validation votes (given all training votes).

    With a run folder the state is saved every `save_every` epochs, and an interrupted run goes on from there.
    """
    torch.manual_seed(settings.seed)
    network = Published(shape)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr, fused=True)
    best = Published(shape)
    parts = SavedParts(modules={"network": network, "best": best}, optimizers={"adam": optimizer})
    state = (run.load_state(parts) if run else None) or TrainingState()
    done = TrainedPublished(network=best, best_epoch=state.best_epoch)
    with progress.bar("training", total=settings.epochs - state.epoch) as bar:
        for epoch in range(state.epoch, settings.epochs):
            began, used = time.perf_counter(), time.process_time()
            torch.manual_seed(1_000_003 * settings.seed + epoch)  # of dropout
            visible, predicted = visible_and_predicted(train, settings, epoch)
            network.train()
            loss = loss_of(network, visible, predicted, binary=settings.binary)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done.epoch_s.append(time.perf_counter() - began)
            done.epoch_cpu_s.append(time.process_time() - used)
            state.epoch = state.step = epoch + 1
            metrics = {"epoch": float(epoch), "loss": float(loss.detach())}
            if (epoch + 1) % settings.eval_every == 0 or epoch + 1 == settings.epochs:
                value = _validate(network, train, validation, settings.objective)
                metrics[f"validation_{settings.objective}"] = value
                if value > state.best_utility:
                    state.best_utility, state.best_epoch = value, epoch
                    best.load_state_dict(network.state_dict())
            if run:
                run.log(state.step, metrics)
                if (epoch + 1) % settings.save_every == 0 or epoch + 1 == settings.epochs:
                    run.save_state(state, parts)
            bar.advance(note=f"loss {metrics['loss']:.3f}, best {state.best_utility:.4f}")
    done.best_epoch = state.best_epoch
    return done


def _validate(network: Published, visible: Comparisons, votes: Comparisons, objective: Objective) -> float:
    """The measure on decided votes, after the step and without dropout."""
    decided = votes.where(votes.decided)
    score: Floats = predict_published(network, visible, decided)
    if objective == "acc":
        return float(np.mean(np.where(score == 0, 0.5, score * decided.sign > 0)))
    from sklearn.metrics import roc_auc_score

    labels = np.concatenate([decided.sign > 0, decided.sign < 0])
    return float(roc_auc_score(labels, np.concatenate([score, -score])))
