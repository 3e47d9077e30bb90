"""A published executor that learns while others keep one model busy: the same on a toy and on real servers."""

from mar.controllers.system_aware.controller import SystemSettings, build
from mar.learning.arrivals import Arrivals
from mar.learning.system_aware import SystemTrainer, SystemTraining

BUSY_SHARE = 0.5  # of its share in the first quarter that the busy model may still have in the last


def busy_settings(*, rate, budget_s):
    """A few hundred episodes; latency is dear, so that little time is enough to learn from."""
    return SystemTraining(
        arrivals=(Arrivals(rate=rate),),
        episodes=480,
        budgets_s=(budget_s,),
        update_every=16,
        most_in_flight=64,
        lr=3e-3,
        entropy_weight=0.01,
        multiplier=1.0,
        multiplier_step=0.0,
    )


def busy_controller(space, encoder, items, training, run, progress):
    """A trainer of a fresh published controller."""
    models = tuple(card.name for card in space.cards)
    settings = SystemSettings(variant="published", domain="Math", models=models, embedding=encoder.width)
    return SystemTrainer(build(settings, space, encoder), space, items, (), training, run, progress)


def shares_of(samples, model, controller):
    """The share of decisions that chose a model, in the first and in the last quarter of the episodes."""
    place = [card.name for card in controller.executor.senses.cards].index(model)
    strategies = len(controller.executor.strategies)
    chosen = [s.steps[0].decision.action // strategies == place for s in samples if s.steps]
    quarter = len(chosen) // 4
    return sum(chosen[:quarter]) / quarter, sum(chosen[-quarter:]) / quarter
