"""The short way in: a pool, a controller, a query, an episode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import sniffio

from mar import clock
from mar.controllers.base import Controller, Foreseen, Foresees, Planned, PlanSpace
from mar.controllers.cards import Cards
from mar.controllers.careful import plan_carefully
from mar.controllers.packaged import packaged_controller
from mar.controllers.registry import named_controller
from mar.errors import ConfigError
from mar.pool.pool import Pool
from mar.runtime import Lookup, PromptLibrary, Toolkit
from mar.service import Service, as_query, space_of
from mar.types import Budget, Episode, Query

if TYPE_CHECKING:  # learned controllers are imported when one is loaded: PyTorch takes seconds
    from mar.controllers.embeddings import Encoder
    from mar.controllers.gmt import Interactions
    from mar.controllers.masrouter import Loaded

DEFAULT = Cards.name  # the controller of whoever names none
TRAINED_ON_SIMULATED = " (trained on the simulated pool)"


def load_controller(
    name: str | Path = DEFAULT,
    *,
    encoder: Encoder | None = None,
    pool: Pool | None = None,
    prompts: PromptLibrary | None = None,
    router_class: str | None = None,
    interactions: Callable[[], Interactions | None] = lambda: None,
    vectors_on_disk: bool = True,
) -> Controller:
    """A controller: "cards", which needs no training, one of your own, a packaged one by name, or a checkpoint file.

    One of your own is registered or installed (`mar.controllers.registry.CONTROLLERS`), or named by its place,
    `module:Class` or `file.py:Class`, which is imported; parameters may follow, `file.py:Class(width=3)`.

    Files of MasRouter, of the sequential controller, of a cascade, of a system-aware router, of CASCAL (top-1; set
    `top` for a vote of three), of fitted routers and of the personal router are told apart by what they say about
    themselves.

    The packaged ones were trained on the simulated pool and say so in their `name`.

    Args:
        name: Of a controller or a file.
        encoder: Of texts; None: all-MiniLM-L6-v2, and for a fitted router the one that its checkpoint names.
        pool: What it will run on; a system-aware controller is made for the models of one pool.
        prompts: Roles and prompts that it will run with; None: the packaged ones.
        router_class: The class of your own that a router was fitted with, as module:Class; its module is imported.
        interactions: Opens what users said, for the personal router; gives None: what the cache folder holds.
        vectors_on_disk: Whether vectors of texts outlive the process; False where texts are other people's.

    Raises:
        CheckpointError: There is no such controller, or the file does not fit.
        ConfigError: It needs to know the pool, or the pool lacks one of its models; or `router_class` is given, and it
            is no fitted router.
    """
    made = None if Path(name).is_file() else named_controller(str(name))
    path = None if made is not None else packaged_controller(name)
    kind = "" if path is None else _kind(path)
    if path is not None and kind == "router":
        from mar.controllers.routers.checkpoint import load_routed

        return load_routed(path, encoder, own=router_class, vectors_on_disk=vectors_on_disk)
    if router_class is not None:
        raise ConfigError(f"{name} is no fitted router; a router class ({router_class}) has no meaning for it")
    if path is None:
        assert made is not None
        return made
    chosen = _encoder(on_disk=vectors_on_disk) if encoder is None else encoder
    if kind == "gmt":
        from mar.controllers.gmt import GmtRouter, InteractionStore, default_store_path

        made_up = pool is not None and pool.simulated  # what nobody really answered is kept apart
        kept = interactions() or InteractionStore(default_store_path(simulated=made_up))
        return GmtRouter.load(path, kept, chosen)
    if kind == "system_aware":
        from mar.controllers.system_aware.checkpoint import load_system_aware

        if pool is None:
            raise ConfigError(f"{name} is a system-aware controller, made for the models of a pool; give the pool")
        return load_system_aware(path, chosen, PlanSpace.of(pool, _loaded(prompts)))
    if kind == "cascal":
        from mar.controllers.cascal import Cascal, load_model

        return Cascal(load_model(path), chosen)
    if kind == "cascade":
        from mar.controllers.cascades.checkpoint import load_cascade

        return load_cascade(path, chosen).controller
    if kind == "sequential":
        from mar.controllers.sequential import load_sequential

        kept = load_sequential(path, chosen)
        if kept.header.simulated:
            kept.controller.name += TRAINED_ON_SIMULATED
        return kept.controller
    loaded = load_checkpoint(name, encoder=chosen)
    if loaded.header.simulated:
        loaded.router.name += TRAINED_ON_SIMULATED
    return loaded.router


def load_checkpoint(name: str | Path, *, encoder: Encoder | None = None) -> Loaded:
    """A controller together with what its checkpoint says about itself.

    Raises:
        CheckpointError: There is no such controller, or the file does not fit.
    """
    from mar.controllers.masrouter import load_router

    return load_router(packaged_controller(name), _encoder(on_disk=True) if encoder is None else encoder)


def _kind(path: Path) -> str:
    from mar.controllers.headers import kind_of

    return kind_of(path)


def _encoder(*, on_disk: bool) -> Encoder:
    from mar.controllers import embeddings

    return embeddings.encoder_of(None, on_disk=on_disk)


def _loaded(prompts: PromptLibrary | None) -> PromptLibrary:
    return PromptLibrary.load() if prompts is None else prompts


def plan(
    query: str | Query,
    controller: Controller,
    pool: Pool,
    *,
    prompts: PromptLibrary | None = None,
    tools: Toolkit | None = None,
) -> Planned:
    """What the controller would do about a query; nothing is run, no tool is opened. `prompts`, `tools`: see `run`."""
    library = _loaded(prompts).with_tools({} if tools is None else tools.roles)
    return plan_carefully(controller, [as_query(query)], space_of(controller, pool, library))[0]


def foresee(query: str | Query, planned: Planned) -> Foreseen | None:
    """What would be done step by step, as far as a controller that decides so can say; None for any other."""
    policy = None if planned.policy is None else planned.policy()
    return policy.foresee(as_query(query)) if isinstance(policy, Foresees) else None


def run(
    query: str | Query,
    controller: Controller,
    pool: Pool,
    *,
    prompts: PromptLibrary | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    lookup: Lookup | None = None,
    tools: Toolkit | None = None,
) -> Episode:
    """Work on a query as the controller decides, and return what happened.

    Args:
        query: What is asked.
        controller: Who decides how agents collaborate on it.
        pool: The models they run on.
        prompts: Roles and prompts (`mar.PromptLibrary.load(folder)`); None: the packaged ones.
        budget: What the episode may spend before it has to answer with what it has.
        seed: Of every draw.
        lookup: What roles that look things up may ask, as `mar.runtime.WikipediaLookup()`; None: nothing.
        tools: What roles may name beside mar's own tools, and which roles are given which.

    Raises:
        ConfigError: Controller, pool and tools do not fit together, or an event loop is running (use `mar.arun`).
    """
    try:
        sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        asked = partial(arun, query, controller, pool, prompts=prompts, budget=budget, seed=seed)
        return clock.run(partial(asked, lookup=lookup, tools=tools), virtual=pool.virtual_time)
    raise ConfigError("mar.run was called inside a running event loop (a notebook, a server); use await mar.arun(...)")


async def arun(
    query: str | Query,
    controller: Controller,
    pool: Pool,
    *,
    prompts: PromptLibrary | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    lookup: Lookup | None = None,
    tools: Toolkit | None = None,
) -> Episode:
    """`run` for callers with an event loop of their own. A simulated pool then takes its time on that loop's clock."""
    async with Service(pool, controller, prompts=prompts, budget=budget, lookup=lookup, tools=tools) as service:
        return await service.answer(query, seed=seed)
