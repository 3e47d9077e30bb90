"""`mar ask` and `mar plan`: one query through a controller, shown to a person."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.tree import Tree

from mar.cli.script import finite
from mar.errors import ConfigError
from mar.reading import attempt, decoded
from mar.terminal import Terminal
from mar.types import (
    Budget,
    CallAnswered,
    CallFailed,
    Considered,
    Decided,
    Episode,
    PassedThrough,
    Plan,
    StepFailed,
    Stopped,
    ToolRan,
    Usage,
    Why,
)

if TYPE_CHECKING:
    from mar.controllers.base import Foreseen, Planned
    from mar.pool.pool import Pool

QueryArgument = Annotated[str, typer.Argument(help="The question or task. '-' reads it from standard input.")]
PoolOption = Annotated[
    str, typer.Option("--pool", help="auto (as configured, else simulated), simulated, simulated-vllm, or a file.")
]
RouterOption = Annotated[
    str,
    typer.Option("--router", help="cards (one good-value model by card), a packaged controller or a checkpoint file."),
]
EmbeddingOption = Annotated[
    str | None,
    typer.Option("--embedding", help="Encoder of the queries: name or folder; default: the checkpoint's own."),
]
ClassOption = Annotated[
    str | None,
    typer.Option(
        "--router-class", help="module:Class of your own that the checkpoint was fitted with; it is imported."
    ),
]
RateOption = Annotated[
    float | None, typer.Option("--cost-rate", min=0.0, callback=finite, help="Utility per USD: higher is thriftier.")
]
TimeRateOption = Annotated[
    float | None,
    typer.Option("--time-rate", min=0.0, callback=finite, help="Utility per second: higher is hastier."),
]
AllowOption = Annotated[list[str] | None, typer.Option("--allow", help="Use only this model (may be repeated).")]
DenyOption = Annotated[list[str] | None, typer.Option("--deny", help="Do not use this model (may be repeated).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of pictures for people.")]


def plan_command(
    query: QueryArgument,
    pool: PoolOption = "auto",
    router: RouterOption = "cards",
    embedding: EmbeddingOption = None,
    router_class: ClassOption = None,
    cost_rate: RateOption = None,
    time_rate: TimeRateOption = None,
    allow: AllowOption = None,
    deny: DenyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a query would be worked on; nothing is run."""
    from mar import api
    from mar.controllers.careful import FALLBACK

    console = Terminal()
    chosen = chosen_pool(pool, allow, deny)
    controller = _controller(router, {"cost_rate": cost_rate, "time_rate": time_rate}, embedding, router_class)
    planned = api.plan(_text(query), controller, chosen)
    if FALLBACK in planned.notes and not as_json:
        console.print(planned.notes[FALLBACK], markup=False, highlight=False, style="yellow")
    tree = api.foresee(_text(query), planned)
    if as_json:
        print(json.dumps(_as_json(planned, controller.name) | ({} if tree is None else tree.to_json()), indent=2))
        return
    if planned.plan is None:
        console.print(f"decided step by step by {controller.name}", markup=False)
        if tree is not None:
            console.print(_foreseen(tree, Tree(escape(_step(tree)))))
        return
    console.print(plan_tree(planned.plan, chosen))


def ask_command(
    query: QueryArgument,
    pool: PoolOption = "auto",
    router: RouterOption = "cards",
    embedding: EmbeddingOption = None,
    router_class: ClassOption = None,
    cost_rate: RateOption = None,
    time_rate: TimeRateOption = None,
    allow: AllowOption = None,
    deny: DenyOption = None,
    max_usd: Annotated[
        float | None, typer.Option(min=0.0, callback=finite, help="Stop with what there is at this cost.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=0.0, callback=finite, help="Stop with what there is after this time.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Work on one query; show the plan, the conversation, the answer and the cost."""
    from mar import api

    console = Terminal()
    chosen = chosen_pool(pool, allow, deny)
    controller = _controller(router, {"cost_rate": cost_rate, "time_rate": time_rate}, embedding, router_class)
    budget = Budget(usd=max_usd, seconds=max_seconds)
    episode = api.run(_text(query), controller, chosen, budget=budget)
    if as_json:
        from mar.runtime.trace import episode_to_json

        print(json.dumps({"simulated": chosen.simulated, **episode_to_json(episode)}, indent=2))
        _exit_for(episode)
        return
    if episode.plan is None:
        console.print(f"decided step by step by {episode.policy}", markup=False)
    else:
        console.print(plan_tree(episode.plan, chosen, title=f"plan by {controller.name}"))
    show_conversation(episode, console)
    show_outcome(episode, chosen, console)
    _exit_for(episode)


def _step(point: Foreseen) -> str:
    chance = "" if point.chance is None else f" ({point.chance:.0%})"
    heard = f"{point.heard}{chance}: " if point.heard else ""
    believed = f", right {point.right:.0%}" if point.heard and point.right else ""
    cost = f" (about {point.usd:.6f} USD)" if point.usd else ""
    return f"{heard}{point.action}{cost}{believed}"


def _foreseen(point: Foreseen, tree: Tree) -> Tree:
    """What would be done, as branches of what may be heard."""
    for after in point.then:
        _foreseen(after, tree.add(escape(_step(after))))
    return tree


def _as_json(planned: Planned, name: str) -> dict[str, Any]:
    if planned.plan is None:
        return {"policy": name, "notes": dict(planned.notes)}
    return planned.plan.to_json()


def _exit_for(episode: Episode) -> None:
    """Scripts learn from the exit status that there is no answer."""
    if episode.answer is None:
        raise typer.Exit(1)


def chosen_pool(choice: str, allow: list[str] | None, deny: list[str] | None) -> Pool:
    """The pool that the options name: configured, a file, or simulated."""
    from mar.pool.choose import empty_pool

    return empty_pool(choice).restricted(allow=allow or None, deny=deny or ())


def _controller(name: str, prices: Mapping[str, float | None], embedding: str | None, router_class: str | None) -> Any:
    from mar import api

    encoder = None
    if embedding is not None:
        from mar.controllers.embeddings import encoder_of  # only who names an encoder needs it here

        encoder = encoder_of(embedding)
    file = Path(name) if Path(name).is_file() else name
    loaded = api.load_controller(file, encoder=encoder, router_class=router_class)
    for price, rate in prices.items():
        if rate is not None:
            if not hasattr(loaded, price):
                raise ConfigError(f"--{price.replace('_', '-')} has no meaning for the controller {loaded.name}")
            setattr(loaded, price, rate)
    return loaded


def _text(query: str) -> str:
    if query == "-":
        text = decoded(sys.stdin.buffer.read(), "standard input", expected="a query in UTF-8", error=ConfigError)
    else:
        text = attempt(lambda: os.fsencode(query).decode(), "the query", expected="UTF-8 text", error=ConfigError)
    if not text.strip():
        raise ConfigError("the query is empty; give a question or a task")
    return text


def plan_tree(plan: Plan, pool: Pool, *, title: str = "plan") -> Tree:
    """A plan as a picture: rounds, and who reads whom."""
    from mar.runtime.engine import Runtime
    from mar.runtime.modes import get_mode, has_decider

    runtime = Runtime(pool)
    bound, cost = runtime.bound(plan), runtime.cost_bound(plan)
    label = f"{title}: [bold]{plan.mode.name}[/] on {plan.domain}, at most {bound.calls} calls in {bound.stages} stages"
    label += ", of unknown cost" if cost is None else f" and {cost:.4f} USD if every call filled its model's context"
    tree = Tree(label + (" [yellow](simulated pool)[/]" if pool.simulated else ""))
    for number, graph in enumerate(get_mode(plan.mode).graph(len(plan.agents), plan.mode), start=1):
        branch = tree.add(f"round {number}")
        for i, (now, before) in enumerate(zip(graph.reads_now, graph.reads_before, strict=True)):
            branch.add(escape(_agent_line(i, plan, now, before)))
    tree.add(_decision_line(plan, has_decider=has_decider(plan)))
    return tree


def _agent_line(i: int, plan: Plan, now: tuple[int, ...], before: tuple[int, ...]) -> str:
    agent = plan.agents[i]
    reads = [f"{j + 1}" for j in now] + [f"{'its own' if j == i else j + 1} of the last round" for j in before]
    heard = f"  <- reads {', '.join(reads)}" if reads else ""
    strategy = f", {agent.strategy}" if agent.strategy else ""
    return f"{i + 1} {agent.role} on {agent.model or 'a model chosen when it runs'}{strategy}{heard}"


def _decision_line(plan: Plan, *, has_decider: bool) -> str:
    if len(plan.agents) == 1:
        return "answer: the agent's own"
    if has_decider:
        return f"answer: a final call to {plan.decider or 'the model that most agents ran on'}"
    return "answer: the last agent's" if plan.decision == "last" else "answer: the majority's"


def show_conversation(episode: Episode, console: Console) -> None:
    """What was said and done, in order."""
    names = episode.lanes
    for event in episode.events:
        match event:
            case CallAnswered():
                cost = "cost unknown" if event.usage.cost_usd is None else f"{event.usage.cost_usd:.6f} USD"
                title = f"{names[event.index]} on {event.model}, round {event.round + 1}, {event.call}"
                tail = f"{event.latency_s:.2f} s, {cost}" + (", cached" if event.cached else "") + event.cut
                console.print(Panel(escape(event.text), title=escape(title), subtitle=tail, title_align="left"))
            case Considered():
                before = "settling" if event.index is None else names[event.index]
                _show_why(event.why, before, console)
            case CallFailed() | StepFailed():
                console.print(f"[red]{escape(names[event.index])}: {escape(event.failure.reason)}[/]")
            case ToolRan():
                console.print(f"  {escape(names[event.index])} {event.tool}: {escape(event.summary)}")
            case PassedThrough():
                console.print(f"  {escape(names[event.index])} passes on code that already passes the shown tests")
            case Stopped():
                console.print(f"[yellow]stopped after round {event.round + 1}: {event.why}[/]")
            case _:
                pass


def _show_why(why: Why, before: str, console: Console) -> None:
    """What a policy believed, and what it chose among: its choice first."""
    believed = ", ".join(f"{b.answer} {b.probability:.0%}" for b in why.beliefs)
    told = [why.because, f"believed: {believed}" if believed else ""]
    console.print(f"  [dim]before {escape(before)}: {escape('; '.join(t for t in told if t))}[/]")
    if not why.options:
        return
    table = Table(box=None, padding=(0, 2), pad_edge=True, style="dim")
    for column in ("could", "right", "USD", "seconds", "utility"):
        table.add_column(column, justify="left" if column == "could" else "right")
    for option in why.options:
        figures = (
            (option.right, "{:.0%}"),
            (option.usd, "{:.6f}"),
            (option.seconds, "{:.1f}"),
            (option.utility, "{:.4f}"),
        )
        cells = ["-" if value is None else form.format(value) for value, form in figures]
        table.add_row(escape(option.action), *cells, style="bold" if option is why.options[0] else None)
    console.print(table)


def paid(usage: Usage) -> str:
    """A cost in words, and how much of it nobody stated."""
    if usage.cost_usd is None:
        return "unknown"
    guessed = f", of which {usage.uncertain_usd:.6f} is the most that failed tries can have cost"
    return f"{usage.cost_usd:.6f} USD" + (guessed if usage.uncertain_usd else "")


def show_outcome(episode: Episode, pool: Pool, console: Console) -> None:
    """The answer and what it took."""
    how = next((e.how for e in episode.events if isinstance(e, Decided)), "")
    answer = episode.answer if episode.answer is not None else "none"
    console.print(Panel(escape(answer), title=f"answer ({how})", border_style="green"))
    table = Table.grid(padding=(0, 2))
    usage = episode.usage
    table.add_row("cost", paid(usage))
    table.add_row("tokens", f"{usage.prompt_tokens} in, {usage.completion_tokens} out, {usage.calls} calls")
    table.add_row("time", f"{episode.latency_s:.2f} s" + (" (simulated)" if pool.simulated else ""))
    for failure in episode.failures:
        tries = f" ({failure.attempts} tries)" if failure.attempts > 1 else ""
        table.add_row("[red]failure[/]", escape(f"{failure.kind}: {failure.reason}{tries}"))
    console.print(table)
    if pool.simulated:
        console.print("[yellow]Simulated pool: nobody was asked. Configure a live one as template.env shows.[/]")
