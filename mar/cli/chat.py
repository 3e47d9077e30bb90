"""`mar chat`: a conversation in the terminal with a router that learns what this person likes."""

from __future__ import annotations

import io
import re
import secrets
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from mar.cli.ask import chosen_pool
from mar.cli.options import AllowOption, DenyOption, ExtendOption, PoolOption, PromptsOption, ToolsOption
from mar.errors import ConfigError, MarError
from mar.terminal import Terminal
from mar.types import CallAnswered, Episode, Query, Turn

if TYPE_CHECKING:
    from mar.controllers.embeddings import MiniLM
    from mar.controllers.gmt import GmtRouter, Interactions
    from mar.pool.pool import Pool
    from mar.runtime.prompts import PromptLibrary
    from mar.runtime.toolkit import Toolkit

GMT, BLANK = "gmt", "blank"
SIMULATED = (
    "Simulated pool: answers are made up, and ratings are kept apart. Configure a live one as template.env shows."
)
Explore = Literal["ucb", "none"]
HELP = (
    "Rate the last answer with + or - or 1 to 5. /new begins another conversation, /say TEXT asks what looks like a "
    "rating, /help shows this, /quit ends."
)
NUMBER = re.compile(r"[+-]?[0-9]+([.,/][0-9]+)?|[+]{2,}|-{2,}")  # a line of this kind is meant as a rating


def chat_command(
    user: Annotated[str, typer.Option("--user", help="Who is asking; ratings are kept under this name.")],
    router: Annotated[
        str,
        typer.Option(
            "--router",
            help="gmt (packaged; learned from simulated users of the simulated pool), blank (knows nothing yet), or a "
            "checkpoint of run_gmt.py.",
        ),
    ] = GMT,
    pool: PoolOption = "auto",
    allow: AllowOption = None,
    deny: DenyOption = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            help="Of interactions: a file, or a gateway's postgresql://... Default: a file in the cache folder.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", help="How much likelier you must prefer another LLM before a conversation changes (0 to 0.5)."
        ),
    ] = None,
    explore: Annotated[
        Explore,
        typer.Option(
            "--explore", help="ucb: also try LLMs that you seldom rated. none: only the one that leads so far."
        ),
    ] = "ucb",
    prompts: PromptsOption = None,
    tools: ToolsOption = None,
    extend: ExtendOption = None,
    forget: Annotated[bool, typer.Option("--forget", help="Delete everything kept under this name, and end.")] = False,
) -> None:
    """Chat with the LLM that you will like best; every rating moves the next choice."""
    from mar.controllers.gmt import default_store_path
    from mar.runtime.prompts import PromptLibrary
    from mar.runtime.toolkit import Toolkit

    user = user.strip()
    if not user:
        raise ConfigError("--user is empty; expected a name")
    console = Terminal(highlight=False)
    if forget:
        _forget(user, store, console)
        return
    kit = Toolkit() if tools is None else Toolkit.load(tools)
    library = PromptLibrary.load(prompts)
    kit.check(library.with_tools(kit.roles))
    chosen = chosen_pool(pool, allow, deny)
    kept = _kept(store or str(default_store_path(simulated=chosen.simulated)), simulated=chosen.simulated)
    try:
        if margin is not None:
            kept.set_margin(user, margin)
        talking = _router(router, kept)
        talking.exploration = explore
        _Chat(user, talking, chosen, kept, library, kit, console).run()
    finally:
        kept.close()


def _kept(place: str, *, simulated: bool) -> Interactions:
    """What is kept at an address, open."""
    from mar.controllers.gmt import InteractionStore
    from mar.serving.store.places import interactions

    return interactions(place, simulated=simulated) or InteractionStore(Path(place))


def _router(name: str, store: Interactions) -> GmtRouter:
    """The router of that name. Where a person types, what an answer takes is loaded while they do."""
    from mar.controllers.embeddings import CachedEncoder, MiniLM
    from mar.controllers.gmt import GmtRouter
    from mar.controllers.packaged import packaged_controller

    encoder = MiniLM()
    cached = CachedEncoder(encoder, on_disk=False)  # what a person says lies in the store alone, which forgets it
    if name == BLANK:
        return GmtRouter(store, cached)
    router = GmtRouter.load(packaged_controller(name), store, cached)
    if sys.stdin.isatty():
        threading.Thread(target=_load_ahead, args=(encoder,)).start()
    return router


def _load_ahead(encoder: MiniLM) -> None:
    """What the first answer would wait for."""
    import_module("mar.api")
    encoder.load()


def _forget(user: str, store: str | None, console: Console) -> None:
    """Delete a user's data in the given store, else in both default ones."""
    from mar.controllers.gmt import default_store_path

    found = False
    for simulated in (False, True):
        place = store or str(default_store_path(simulated=simulated))
        if "://" not in place and (not Path(place).is_file() or (simulated and store is not None)):
            continue  # a file is one store, whoever answered
        found, kept = True, _kept(place, simulated=simulated)
        try:
            count = kept.forget(user)
        finally:
            kept.close()
        console.print(f"{count} interactions of {user} deleted from {kept.name}", markup=False)
    if not found:
        console.print(f"nothing is kept of {user}, nor of anybody else", markup=False)


class _Chat:
    """One person at a terminal."""

    def __init__(
        self,
        user: str,
        router: GmtRouter,
        pool: Pool,
        store: Interactions,
        prompts: PromptLibrary,
        tools: Toolkit,
        console: Console,
    ) -> None:
        self.user, self.router, self.pool, self.store, self.console = user, router, pool, store, console
        self.prompts, self.tools = prompts, tools
        self._begin()

    def _begin(self) -> None:
        self.incarnation: str | None = None  # of the user's data, since this conversation's first answer
        self.conversation = secrets.token_hex(8)
        self.history: tuple[Turn, ...] = ()
        self.last: tuple[int, str] | None = None  # the interaction that a rating is about, and its LLM
        self.turn = 0

    def run(self) -> None:
        """Read lines until the end."""
        read: object = sys.stdin
        if isinstance(read, io.TextIOWrapper):
            cast("io.TextIOWrapper", read).reconfigure(errors="replace")  # bad bytes are no reason to end
        with suppress(ImportError):  # of Windows: there lines are edited by the console
            import_module("readline")  # lines can be edited, and be longer than a terminal's 4,096 bytes
        self.console.print(HELP, markup=False)
        if self.pool.simulated:
            self.console.print(SIMULATED, style="yellow")
        self.console.print(self._greeting(), markup=False)
        while True:
            try:
                line = input("> ").strip()
                if line in ("/quit", "/exit"):
                    return
                self._line(line)
            except EOFError:
                return
            except KeyboardInterrupt:  # at the prompt: the line; during an answer: the answer, of which nothing is kept
                self.console.print("\nstopped; /quit ends", markup=False)
            except MarError as error:
                self.console.print(f"[red]{escape(str(error))}[/]")

    def _greeting(self) -> str:
        names = list(self.pool.cards)
        known = [name for name in names if name in self.router.models]
        rated = self.router.store.rated(self.user)
        head = f"{len(names)} LLMs, {len(known)} of them known to the {self.router.name}. "
        return head + (f"{rated} ratings of {self.user} count." if rated else f"{self.user} is new here.")

    def _line(self, line: str) -> None:
        if not line:
            return
        command, _, rest = line.partition(" ")
        if command == "/say" and rest.strip():
            self._ask(rest.strip())
        elif line == "/help":
            self.console.print(HELP, markup=False)
        elif line == "/new":
            self._begin()
            self.console.print("a new conversation")
        elif (rating := rating_of(line)) is not None:
            self._rate(rating)
        elif NUMBER.fullmatch(line):
            self.console.print(f"{line} is no rating; expected 1 to 5, + or -. /say {line} asks it", markup=False)
        elif line.startswith("/"):
            self.console.print(f"no command {line.split()[0]}. {HELP}", markup=False)
        else:
            self._ask(line)

    def _begin_if_forgotten(self) -> None:
        """Where another process deleted this user's data, nothing said before may be kept again."""
        if self.incarnation not in (None, self.store.standing(self.user).incarnation):
            self._begin()
            self.console.print("everything kept of you was deleted meanwhile; a new conversation begins")

    def _rate(self, rating: float) -> None:
        self._begin_if_forgotten()
        if self.last is None:
            self.console.print("there is no answer to rate yet")
            return
        interaction, model = self.last
        self.store.rate(interaction, rating)
        self.console.print(f"noted: {rating:.2f} for {model}", markup=False)

    def _ask(self, text: str) -> None:
        from mar import api
        from mar.controllers.baselines import Constant

        self._begin_if_forgotten()
        identity = f"chat/{self.conversation}/{self.turn}"
        query = Query(
            text=text, id=identity, history=self.history, user_id=self.user, conversation_id=self.conversation
        )
        planned = api.plan(query, self.router, self.pool, prompts=self.prompts, tools=self.tools)
        chosen = Constant(planned.intent, name=self.router.name)
        episode = api.run(query, chosen, self.pool, prompts=self.prompts, tools=self.tools)
        model = planned.notes["model"]
        self._begin_if_forgotten()  # while the answer was written
        interaction = self.store.record(
            self.user,
            conversation=self.conversation,
            turn=self.turn,
            model=model,
            opening=self.history[0].query if self.history else text,
            query=text,
            response=episode.answer,
        )
        self.incarnation = self.store.standing(self.user).incarnation
        self._show(episode, model, planned.notes)
        # a failed call is nobody's answer and cannot be rated
        self.last = None if episode.answer is None else (interaction, model)
        if episode.answer is None:
            return
        self.history = (*self.history, Turn(query=text, answer=episode.answer))
        self.turn += 1

    def _show(self, episode: Episode, model: str, notes: Mapping[str, str]) -> None:
        simulated = " (simulated)" if self.pool.simulated else ""
        if episode.answer is None:
            for failure in episode.failures:
                self.console.print(f"[red]{escape(model)}{simulated}: {escape(failure.reason)}[/]")
        else:
            cut = next((e.cut for e in reversed(episode.events) if isinstance(e, CallAnswered)), "")
            title = escape(model) + simulated + cut
            self.console.print(Panel(escape(episode.answer), title=title, title_align="left"))
        self.console.print(f"[dim]{escape(notes['why'])}[/]")
        self.console.print(f"[dim]{escape(notes['evidence'])}[/]")


def rating_of(line: str) -> float | None:
    """A line as a rating, or None when it is something else: +, -, thumbs, or 1 to 5."""
    from mar.controllers.gmt import stars, thumb

    if line in ("+", "👍"):
        return thumb(up=True)
    if line in ("-", "👎"):
        return thumb(up=False)
    return stars(int(line)) if line in {"1", "2", "3", "4", "5"} else None
