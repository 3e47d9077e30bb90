"""What people are shown of plans and episodes in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.tree import Tree

from mar.types import (
    CallAnswered,
    CallFailed,
    Considered,
    Decided,
    Episode,
    PassedThrough,
    Plan,
    StepFailed,
    Stopped,
    ToolCalled,
    ToolRan,
    Usage,
    Why,
)

if TYPE_CHECKING:
    from mar.controllers.base import Foreseen
    from mar.pool.pool import Pool
    from mar.runtime.prompts import PromptLibrary
    from mar.runtime.toolkit import Toolkit


def foreseen_tree(point: Foreseen) -> Tree:
    """What would be done, as branches of what may be heard."""
    return _grown(point, Tree(escape(_step(point))))


def _step(point: Foreseen) -> str:
    chance = "" if point.chance is None else f" ({point.chance:.0%})"
    heard = f"{point.heard}{chance}: " if point.heard else ""
    believed = f", right {point.right:.0%}" if point.heard and point.right else ""
    cost = f" (about {point.usd:.6f} USD)" if point.usd else ""
    return f"{heard}{point.action}{cost}{believed}"


def _grown(point: Foreseen, tree: Tree) -> Tree:
    for after in point.then:
        _grown(after, tree.add(escape(_step(after))))
    return tree


def plan_tree(
    plan: Plan,
    pool: Pool,
    *,
    prompts: PromptLibrary | None = None,
    tools: Toolkit | None = None,
    title: str = "plan",
) -> Tree:
    """A plan as a picture: rounds, who reads whom, and which tools who may call."""
    from mar.runtime.engine import Runtime
    from mar.runtime.modes import get_mode, has_decider
    from mar.runtime.tools import Tools

    runtime = Runtime(pool, prompts=prompts, tools=None if tools is None else Tools(kit=tools))
    bound, cost = runtime.bound(plan), runtime.cost_bound(plan)
    label = f"{title}: [bold]{plan.mode.name}[/] on {plan.domain}, at most {bound.calls} calls in {bound.stages} stages"
    label += ", of unknown cost" if cost is None else f" and {cost:.4f} USD if every call filled its model's context"
    tree = Tree(label + (" [yellow](simulated pool)[/]" if pool.simulated else ""))
    for number, graph in enumerate(get_mode(plan.mode).graph(len(plan.agents), plan.mode), start=1):
        branch = tree.add(f"round {number}")
        for i, (now, before) in enumerate(zip(graph.reads_now, graph.reads_before, strict=True)):
            called = runtime.prompts.role(plan.domain, plan.agents[i].role).tools
            may = f", may call {', '.join(called)}" if called else ""
            branch.add(escape(_agent_line(i, plan, now, before) + may))
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
                called = [f"calls {call.name}: {call.arguments}" for call in event.calls]
                said = "\n".join(filter(None, (event.text, *called)))
                console.print(Panel(escape(said), title=escape(title), subtitle=tail, title_align="left"))
            case Considered():
                before = "settling" if event.index is None else names[event.index]
                _show_why(event.why, before, console)
            case CallFailed() | StepFailed():
                console.print(f"[red]{escape(names[event.index])}: {escape(event.failure.reason)}[/]")
            case ToolRan():
                console.print(f"  {escape(names[event.index])} {event.tool}: {escape(event.summary)}")
            case ToolCalled():
                result = escape(f"{event.tool} in {event.seconds:.2f} s: {event.result}")
                style = "" if event.ok else "[red]"
                console.print(f"  {escape(names[event.index])} {style}{result}")
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
    calls = list(episode.calls())
    if kept := sum(call.cached for call in calls):
        table.add_row("cached", f"{kept} of {len(calls)} answers: their cost and time are those of the first time")
    for failure in episode.failures:
        tries = f" ({failure.attempts} tries)" if failure.attempts > 1 else ""
        table.add_row("[red]failure[/]", escape(f"{failure.kind}: {failure.reason}{tries}"))
    console.print(table)
    if pool.simulated:
        console.print("[yellow]Simulated pool: nobody was asked. Configure a live one as template.env shows.[/]")
