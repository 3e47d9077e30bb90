"""`mar ask` and `mar plan`: one query through a controller, shown to a person."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mar.cli.options import (
    AllowOption,
    CacheOption,
    ClassOption,
    DenyOption,
    DomainOption,
    EmbeddingOption,
    ExtendOption,
    JsonOption,
    LookupOption,
    PoolOption,
    PromptsOption,
    QueryArgument,
    RateOption,
    RouterOption,
    TimeRateOption,
    ToolsOption,
    UserOption,
)
from mar.cli.script import finite
from mar.cli.shown import foreseen_tree, plan_tree, show_conversation, show_outcome
from mar.errors import ConfigError
from mar.reading import attempt, decoded
from mar.terminal import Terminal
from mar.types import Budget, Episode, Query

if TYPE_CHECKING:
    from mar.controllers.base import Planned
    from mar.pool.pool import Pool
    from mar.runtime.prompts import PromptLibrary


def plan_command(
    query: QueryArgument,
    pool: PoolOption = "auto",
    router: RouterOption = "cards",
    embedding: EmbeddingOption = None,
    router_class: ClassOption = None,
    cost_rate: RateOption = None,
    time_rate: TimeRateOption = None,
    user: UserOption = None,
    allow: AllowOption = None,
    deny: DenyOption = None,
    domain: DomainOption = None,
    prompts: PromptsOption = None,
    extend: ExtendOption = None,
    tools: ToolsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a query would be worked on; nothing is run."""
    from mar import api
    from mar.controllers.cards import Cards
    from mar.controllers.careful import FALLBACK
    from mar.runtime.prompts import PromptLibrary
    from mar.runtime.toolkit import Toolkit

    console = Terminal()
    chosen = chosen_pool(pool, allow, deny)
    kit = Toolkit() if tools is None else Toolkit.load(tools)
    library = PromptLibrary.load(prompts).with_tools(kit.roles)
    rates = {"cost_rate": cost_rate, "time_rate": time_rate}
    controller = _controller(router, rates, embedding, router_class, chosen, library)
    asked = _for(user, _query(query, domain, library), controller, chosen)
    planned = api.plan(asked, controller, chosen, prompts=library)
    decides = Cards.name if FALLBACK in planned.notes else controller.name
    if FALLBACK in planned.notes and not as_json:
        console.print(planned.notes[FALLBACK], markup=False, highlight=False, style="yellow")
    tree = api.foresee(asked, planned)
    if as_json:
        print(json.dumps(_as_json(planned, decides) | ({} if tree is None else tree.to_json()), indent=2))
        return
    if planned.plan is None:
        console.print(f"decided step by step by {decides}", markup=False)
        if tree is not None:
            console.print(foreseen_tree(tree))
        return
    console.print(plan_tree(planned.plan, chosen, prompts=library, tools=kit))


def ask_command(
    query: QueryArgument,
    pool: PoolOption = "auto",
    router: RouterOption = "cards",
    embedding: EmbeddingOption = None,
    router_class: ClassOption = None,
    cost_rate: RateOption = None,
    time_rate: TimeRateOption = None,
    user: UserOption = None,
    allow: AllowOption = None,
    deny: DenyOption = None,
    domain: DomainOption = None,
    prompts: PromptsOption = None,
    extend: ExtendOption = None,
    max_usd: Annotated[
        float | None, typer.Option(min=0.0, callback=finite, help="Stop with what there is at this cost.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=0.0, callback=finite, help="Stop with what there is after this time.")
    ] = None,
    cache: CacheOption = False,
    lookup: LookupOption = False,
    tools: ToolsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Work on one query; show the plan, the conversation, the answer and the cost."""
    from mar import api
    from mar.runtime.prompts import PromptLibrary
    from mar.runtime.toolkit import Toolkit

    console = Terminal()
    chosen = chosen_pool(pool, allow, deny, cache=cache)
    kit = Toolkit() if tools is None else Toolkit.load(tools)
    library = PromptLibrary.load(prompts).with_tools(kit.roles)
    rates = {"cost_rate": cost_rate, "time_rate": time_rate}
    controller = _controller(router, rates, embedding, router_class, chosen, library)
    budget = Budget(usd=max_usd, seconds=max_seconds)
    reference = None
    if lookup:
        from mar.runtime import WikipediaLookup

        reference = WikipediaLookup()
    asked = _for(user, _query(query, domain, library), controller, chosen)
    episode = api.run(asked, controller, chosen, prompts=library, budget=budget, lookup=reference, tools=kit)
    if as_json:
        from mar.runtime.trace import episode_to_json

        print(json.dumps({"simulated": chosen.simulated, **episode_to_json(episode)}, indent=2))
        _exit_for(episode)
        return
    if episode.plan is None:
        console.print(f"decided step by step by {episode.policy}", markup=False)
    else:
        console.print(plan_tree(episode.plan, chosen, prompts=library, tools=kit, title=f"plan by {controller.name}"))
    show_conversation(episode, console)
    show_outcome(episode, chosen, console)
    _exit_for(episode)


def _as_json(planned: Planned, name: str) -> dict[str, Any]:
    if planned.plan is None:
        return {"policy": name, "notes": dict(planned.notes)}
    return planned.plan.to_json()


def _exit_for(episode: Episode) -> None:
    """Scripts learn from the exit status that there is no answer."""
    if episode.answer is None:
        raise typer.Exit(1)


def chosen_pool(choice: str, allow: list[str] | None, deny: list[str] | None, *, cache: bool = False) -> Pool:
    """The pool that the options name: configured, a file, or simulated."""
    from mar.pool.choose import empty_pool

    return empty_pool(choice, cache=cache).restricted(allow=allow or None, deny=deny or ())


def _controller(
    name: str,
    prices: Mapping[str, float | None],
    embedding: str | None,
    router_class: str | None,
    pool: Pool,
    prompts: PromptLibrary,
) -> Any:
    from mar import api

    encoder = None
    if embedding is not None:
        from mar.controllers.embeddings import named_encoder  # only who names an encoder needs it here

        encoder = named_encoder(embedding)
    file = Path(name) if Path(name).is_file() else name
    loaded = api.load_controller(file, encoder=encoder, router_class=router_class, pool=pool, prompts=prompts)
    for price, rate in prices.items():
        if rate is not None:
            if not hasattr(loaded, price):
                raise ConfigError(f"--{price.replace('_', '-')} has no meaning for the controller {loaded.name}")
            setattr(loaded, price, rate)
    return loaded


def _query(query: str, domain: str | None, prompts: PromptLibrary) -> Query:
    from mar.service import as_query

    if domain is not None:
        prompts.require_domain(domain, "--domain")
    return replace(as_query(_text(query)), domain=domain)


def _for(user: str | None, query: Query, controller: Any, pool: Pool) -> Query:
    """The query, with who asks it, whose ratings the controller then knows."""
    if user is None:
        return query
    if not user.strip():
        raise ConfigError("--user is empty; expected a name")
    if not hasattr(controller, "likes"):
        raise ConfigError(f"--user has no meaning for the controller {controller.name}; expected sequential or gmt")
    if controller.likes is None:
        from mar.controllers.gmt import GmtRouter, InteractionStore, default_store_path
        from mar.controllers.packaged import packaged_controller

        rated = InteractionStore(default_store_path(simulated=pool.simulated))
        controller.likes = GmtRouter.load(packaged_controller("gmt"), rated).likes
    return replace(query, user_id=user.strip())


def _text(query: str) -> str:
    if query == "-":
        text = decoded(sys.stdin.buffer.read(), "standard input", expected="a query in UTF-8", error=ConfigError)
    else:
        text = attempt(lambda: os.fsencode(query).decode(), "the query", expected="UTF-8 text", error=ConfigError)
    if not text.strip():
        raise ConfigError("the query is empty; give a question or a task")
    return text
