"""The application of one worker: routes, what opens and closes with it, and the one shape that errors have."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import orjson
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mar import api
from mar.concurrency import beside, task_group
from mar.controllers.base import Controller
from mar.errors import ConfigError
from mar.extensions import use
from mar.garbage import rarely_collecting
from mar.pool.choose import empty_pool
from mar.pool.pool import Pool
from mar.runtime import PromptLibrary, Toolkit
from mar.service import Service
from mar.serving.admission import Admission, Anybody
from mar.serving.answers import Answers, Desk
from mar.serving.apis.base import Api
from mar.serving.apis.chat import Chat
from mar.serving.apis.messages import Messages
from mar.serving.apis.responses import Responses
from mar.serving.beliefs import Beliefs
from mar.serving.embeddings import Embeddings
from mar.serving.errors import Refusal, anthropic_error, openai_error
from mar.serving.exchange import Exchange
from mar.serving.exploring import Explorer
from mar.serving.forgetting import Deleted, Forgetting
from mar.serving.graders import Graders
from mar.serving.house import MAR, House
from mar.serving.http import Gone, Reply
from mar.serving.inquiries import Inquiries
from mar.serving.interactions import Interactions
from mar.serving.memory import giving_back
from mar.serving.observe import access
from mar.serving.observe.metrics import Metrics
from mar.serving.observe.tracing import Tracing, load_tracing
from mar.serving.others import OTHERS, Others
from mar.serving.record import Entry, Memory, Record
from mar.serving.replies import with_cache
from mar.serving.rollout.referee import Referee
from mar.serving.rollout.versions import versions_of
from mar.serving.rollout.worker import Rollouts
from mar.serving.settings import ControllerSettings, Settings
from mar.serving.state import State
from mar.serving.sticky import Sticky
from mar.serving.store.places import interactions as interactions_at
from mar.serving.ui.gateway import page_of
from mar.serving.ui.latest import Latest
from mar.serving.watch import watching

if TYPE_CHECKING:  # PyTorch takes seconds
    from mar.controllers import gmt

log = logging.getLogger(__name__)
MESSAGES = "/v1/messages"
LOOK_S = 5.0  # how old what a worker says of circuits and of its store may be in the figures of another one


def load_pool(settings: Settings) -> Pool:
    """The pool of a gateway.

    Raises:
        ConfigError: It cannot be used.
    """
    return empty_pool(settings.pool, breaker=settings.breaker)


def load_prompts(settings: Settings) -> PromptLibrary:
    """Roles and prompts of a gateway, once what may be named in them is known.

    Raises:
        ConfigError: A folder, file or module cannot be used.
    """
    for place in settings.extend:
        use(place)
    return PromptLibrary.load(settings.prompts)


def load_tools(settings: Settings) -> Toolkit:
    """Tools that a gateway's roles may call.

    Raises:
        ConfigError: The file cannot be used, or names what is not there.
    """
    return Toolkit() if settings.tools is None else Toolkit.load(settings.tools)


def load_controllers(settings: Settings, pool: Pool) -> dict[str, Controller]:
    """The controllers of a gateway, by the name that clients ask for.

    Raises:
        ConfigError: One weighs no money and is given a price of it.
        CheckpointError: One is not there, or does not fit.
    """
    main = ControllerSettings(name=MAR, router=settings.router, cost_rate=settings.cost_rate)
    told = {MAR: main} | {f"{MAR}/{controller.name}": controller for controller in settings.controllers}
    said = cache(partial(interactions_at, settings.store or "", simulated=pool.simulated))  # once, by who needs it
    return {name: load_controller(one, pool, said) for name, one in told.items()}


def load_controller(
    told: ControllerSettings, pool: Pool, said: Callable[[], gmt.Interactions | None] = lambda: None
) -> Controller:
    """A controller.

    Args:
        told: Which one.
        pool: What it will run on.
        said: Opens what users said, for the personal router; gives None: what the cache folder holds.

    Raises:
        ConfigError: It weighs no money and is given a price of it.
        CheckpointError: It is not there, or does not fit.
        StoreUnavailable: What users said is kept where there is no answer.
    """
    place = Path(told.router) if Path(told.router).is_file() else told.router
    controller = api.load_controller(place, pool=pool, interactions=said, vectors_on_disk=False)
    if told.cost_rate is not None:
        if not hasattr(controller, "cost_rate"):
            raise ConfigError(f"{told.name}: a cost_rate has no meaning for the controller {controller.name}")
        controller.cost_rate = told.cost_rate  # pyright: ignore[reportAttributeAccessIssue]
    return controller


def create_app(
    settings: Settings,
    *,
    pool: Pool | None = None,
    controllers: Mapping[str, Controller] | None = None,
    admission: Admission | None = None,
    record: Record | None = None,
    state: State | None = None,
    tracing: Tracing | None = None,
) -> ASGIApp:
    """The application of one worker.

    Args:
        settings: What the gateway was told.
        pool: The models; None: as the settings say.
        controllers: By the name that clients ask for; None: as the settings say.
        admission: Who is let in; None: everybody.
        record: Where requests are kept; None: in memory, the latest ones.
        state: Admission and record in one, which the application opens; None: there is none.
        tracing: Who tells of requests as they happen; None: as the settings say.

    Raises:
        ConfigError: The settings name what cannot be used.
    """
    prompts, tools = load_prompts(settings), load_tools(settings)
    chosen = load_pool(settings) if pool is None else pool
    sticky: Sticky | None = None
    if state is not None:  # what workers share lies there
        if settings.cache.seconds:
            chosen = with_cache(chosen, lambda: state.shelf, settings.cache.seconds)
        if settings.sticky_seconds:
            sticky = Sticky(lambda: state.shelf, settings.sticky_seconds)
    loaded = load_controllers(settings, chosen) if controllers is None else controllers
    kept = record or state or Memory(settings.episodes.rows)
    telling = tracing or load_tracing(settings.otel, simulated=chosen.simulated)
    metrics, interactions, newest = Metrics(), Interactions(loaded), Latest(kept)
    service = Service(
        chosen,
        loaded[MAR],
        prompts=prompts,
        tools=tools,
        limit_usd=settings.max_usd,
        longest_wait_s=settings.limits.wait_seconds,
    )
    graders = Graders(settings.outcomes, chosen, kept.tell)
    house = House(service, loaded, versions_of(settings, MAR), sticky)
    rollouts = Rollouts(
        house,
        settings.rollout,
        partial(load_controller, pool=chosen),
        Referee(chosen, settings.rollout.judge, settings.outcomes),
        on_shadow=metrics.shadowed,
        on_verdict=metrics.compared,
        on_drift=metrics.drifted,
    )
    others, beliefs = Others(house, metrics.heard), Beliefs(house)

    async def told_again(gone: Deleted) -> None:
        await interactions.forget(gone.deletion.what, gone.named, before=gone.deletion.at)

    forgetting = Forgetting((others, graders, rollouts, interactions), told_again)

    def keep(entry: Entry) -> None:
        if not forgetting.covers(entry):
            for one in (kept, newest, interactions, graders):
                one.add(entry)

    def ended(exchange: Exchange, entry: Entry) -> None:
        if forgetting.covers(entry):
            return
        rollouts.add(exchange, entry)
        if settings.explore.others_usd_day:
            others.add(exchange, entry)

    desk = Desk(
        settings=settings,
        house=house,
        explorer=Explorer(house, settings.explore, settings.episodes.keep, beliefs),
        admission=admission or state or Anybody(),
        on_entry=(keep, metrics.add, access.write),
        on_end=ended,
        on_refusal=metrics.refused,
        tracing=telling,
        local=settings.loopback,
    )

    def look() -> None:
        metrics.look(chosen.telemetry(), 0 if state is None else state.dropped)

    def figures() -> bytes:
        look()
        return metrics.text()

    inquiries = Inquiries(desk, kept, figures, interactions, forgetting)
    page = page_of(desk, kept, state, newest, interactions.rate)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        with rarely_collecting():
            looking = beside(partial(_again_and_again, look), giving_back, *page.work)
            async with state or nullcontext(), service, task_group() as tasks, looking, _watching(state, desk.house):
                tasks.start_soon(interactions.run)
                tasks.start_soon(graders.run)
                if sticky is not None:
                    tasks.start_soon(sticky.run)
                learning: list[Callable[[], Coroutine[Any, Any, None]]] = []
                if state is not None:
                    learning.append(partial(forgetting.run, state.deleted))
                if state is not None and (usd_day := settings.explore.others_usd_day):
                    learning.append(partial(others.run, state, state.purse(OTHERS, usd_day=usd_day)))
                if state is not None and settings.explore.share and settings.explore.by == "belief":
                    learning.append(partial(beliefs.run, state.look))
                async with beside(*(partial(kept_up, work) for work in learning)), rollouts.opened(state):
                    inquiries.ready = True
                    yield
                    inquiries.ready = False
                interactions.close()
                graders.close()
                if sticky is not None:
                    sticky.close()
        await anyio.to_thread.run_sync(telling.close)

    apis: Mapping[str, Api] = {"/v1/chat/completions": Chat(), "/v1/responses": Responses(), MESSAGES: Messages()}
    answers: dict[str, ASGIApp] = {path: Answers(desk, api) for path, api in apis.items()}
    answers["/v1/embeddings"] = Embeddings(desk)
    app = Starlette(
        routes=[
            *(Route(path, endpoint, methods=["POST"]) for path, endpoint in answers.items()),
            *inquiries.routes(),
            *page.routes(),
        ],
        lifespan=lifespan,
        exception_handlers={404: _not_found, 405: _not_allowed},
    )
    return Guarded(app, answers)


def _watching(state: State | None, house: House) -> AbstractAsyncContextManager[None]:
    """One mind with other workers about the pool, once the state is open."""
    if state is None:
        return nullcontext()

    @asynccontextmanager
    async def opened() -> AsyncGenerator[None]:
        async with watching(state.standings, house.pool.telemetry, house.take_out):
            yield

    return opened()


async def kept_up(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have something done beside requests, from the beginning after an error of ours: it must not end them."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("an error of ours beside requests; what it ended is begun again in %g s", LOOK_S)
            await anyio.sleep(LOOK_S)
        else:
            return


async def _again_and_again(look: Callable[[], None]) -> None:
    """Look at how things stand, since whoever asks for the figures of all workers is answered by one of them."""
    while True:
        look()
        await anyio.sleep(LOOK_S)


async def _not_found(request: Any, error: Exception) -> Response:
    message = f"there is no {request.url.path} here; docs/gateway.md lists what there is"
    return _refused(request.url.path, Refusal(message, status=404, code="not_found"))


async def _not_allowed(request: Any, error: Exception) -> Response:
    message = f"{request.method} has no meaning for {request.url.path}"
    return _refused(request.url.path, Refusal(message, status=405, code="method_not_allowed"))


def _refused(path: str, refusal: Refusal) -> Response:
    shape = anthropic_error if path.startswith(MESSAGES) else openai_error
    return Response(orjson.dumps(shape(refusal)), refusal.status, refusal.headers, "application/json")


class Guarded:
    """The outermost layer: whatever goes wrong inside is an error of the usual shape, and nothing is told of it.

    Args:
        app: The application.
        answers: Its busy endpoints by path. They are plain ASGI applications, and need none of what lies between.
    """

    def __init__(self, app: ASGIApp, answers: Mapping[str, ASGIApp]) -> None:
        self._app, self._answers = app, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        busy = self._answers.get(scope["path"]) if scope["method"] == "POST" else None
        try:
            await (busy or self._app)(scope, receive, sent)
        except Gone:
            return  # the client left: there is nobody to tell
        except Exception:
            log.exception("an error of ours")
            if not begun:
                refusal = Refusal("the gateway failed; its log says why", status=500, code="server_error")
                shape = anthropic_error if scope["path"].startswith(MESSAGES) else openai_error
                await Reply(send).whole(500, shape(refusal))
