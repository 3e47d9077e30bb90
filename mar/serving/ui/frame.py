"""The frame of the page: views, their routes, and what holds for each of them.

A view is a module that has a `View`: what the navigation calls it, who may see it, and its doors. A door is a path
below /ui with a handler, which is given an `Asking` and gives a response. The frame has let in whoever asks by then:
they have the role that the door wants, and a change has shown its token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from mar.errors import StoreUnavailable
from mar.serving.errors import Refusal
from mar.serving.http import read_body
from mar.serving.keys.key import Role
from mar.serving.settings import Limits
from mar.serving.ui.lobby import Lobby, Who
from mar.serving.ui.paper import HEADERS, static, write

LOGIN = "/ui/login"
LIMITS = Limits(body_bytes=2**20)  # of what a form sends
MOST_FIELDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One request of somebody who was let in."""

    request: Request
    who: Who
    form: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])  # what a change sends
    about: Mapping[str, Any]  # what every template may name

    @property
    def part(self) -> bool:
        """Whether a part of a page is wanted, by htmx, and not a whole one."""
        return "hx-request" in self.request.headers

    def one(self, name: str) -> str:
        """A field of a form, or else of the address; "": it is not there."""
        return next(iter(self.form.get(name, ())), self.request.query_params.get(name, "")).strip()

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A template as a response."""
        return HTMLResponse(write(template, {**self.about, **values}), status)


Handler = Callable[[Asking], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One path of a view."""

    path: str  # below /ui
    handler: Handler
    method: Literal["GET", "POST"] = "GET"  # POST: it changes something
    least: Role | None = None  # the role that it needs; None: the view's


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A part of the page that has a place in its navigation."""

    title: str
    path: str  # below /ui, where the navigation leads
    doors: tuple[Door, ...]
    least: Role = "use"
    work: Callable[[], Coroutine[Any, Any, None]] | None = None  # goes on as long as the worker does; None: nothing


class Frame:
    """Gives views their routes.

    Args:
        views: In the order of the navigation; the first one is what /ui shows.
        lobby: Knows who asks.
        about: What every template may name beside `who`, `views` and `here`.
    """

    def __init__(self, views: Sequence[View], lobby: Lobby, about: Mapping[str, Any] | None = None) -> None:
        self._views, self._lobby, self._about = tuple(views), lobby, dict(about or {})

    @property
    def work(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What has to go on beside requests."""
        return [view.work for view in self._views if view.work is not None]

    def routes(self) -> list[BaseRoute]:
        """All of /ui."""
        doors = [(view, door) for view in self._views for door in view.doors]
        return [
            Route("/ui/static/{name}", static, methods=["GET"]),
            Route(LOGIN, self._guarded(self._login), methods=["GET", "POST"]),
            Route("/ui/logout", self._guarded(self._logout), methods=["POST"]),
            Route("/ui", self._guarded(self._first), methods=["GET"]),
            *(Route(f"/ui{d.path}", self._guarded(self._opened(v, d)), methods=[d.method]) for v, d in doors),
            Route("/ui/{rest:path}", self._guarded(self._nowhere), methods=["GET", "POST"]),
        ]

    # Who is let in ---------------------------------------------------------------------------------------------

    def _guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """What holds for each response, and what is shown where there is none."""

        async def guarded(request: Request) -> Response:
            try:
                self._lobby.check_host(request)
                response = await handler(request)
            except Refusal as refusal:
                response = self._refused(request, refusal)
            except StoreUnavailable as down:
                response = self._refused(request, Refusal(str(down), status=503, code="unavailable"))
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return guarded

    def _opened(self, view: View, door: Door) -> Callable[[Request], Awaitable[Response]]:
        async def opened(request: Request) -> Response:
            who = await self._lobby.who(request)
            if who is None:
                return _to_login(request)
            least = door.least or view.least
            if not who.may(least):
                raise Refusal(f"this needs a key of the role {least}", status=403, code="role_not_allowed")
            asking = await self._asking(request, who, view.path, change=door.method == "POST")
            response = await door.handler(asking)
            self._lobby.remember(request, response, who.session)
            return response

        return opened

    async def _asking(self, request: Request, who: Who, here: str, *, change: bool) -> Asking:
        form = await _form(request) if change else {}
        if change:
            token = request.headers.get("x-csrf") or next(iter(form.get("csrf", ())), "")
            self._lobby.check_change(request, who, token)
        return Asking(request=request, who=who, form=form, about=self._named(who, here))

    def _named(self, who: Who | None, here: str) -> Mapping[str, Any]:
        """What every template may name."""
        views = [] if who is None else [view for view in self._views if who.may(view.least)]
        return {**self._about, "who": who, "views": views, "here": here, "keyless": self._lobby.open}

    # Pages of its own ------------------------------------------------------------------------------------------

    async def _first(self, request: Request) -> Response:
        return RedirectResponse(f"/ui{self._views[0].path}", 303)

    async def _login(self, request: Request) -> Response:
        if self._lobby.open or (request.method == "GET" and await self._lobby.who(request) is not None):
            return RedirectResponse("/ui", 303)
        who = self._lobby.stranger(request)
        wrong, status = "", 200
        if request.method == "POST":
            asking = await self._asking(request, who, "", change=True)
            try:
                session = await self._lobby.begin(asking.one("key"))
                response = RedirectResponse("/ui", 303)
                self._lobby.remember(request, response, session)
                return response
            except Refusal as refusal:
                wrong, status = refusal.message, refusal.status
        page = write("login.html.j2", {**self._named(None, ""), "wrong": wrong, "token": who.token})
        response = HTMLResponse(page, status)
        self._lobby.remember(request, response, who.session)
        return response

    async def _logout(self, request: Request) -> Response:
        who = await self._lobby.who(request)
        if who is not None:
            await self._asking(request, who, "", change=True)
            await self._lobby.end(who)
        return RedirectResponse(LOGIN, 303)

    async def _nowhere(self, request: Request) -> Response:
        raise Refusal("there is no such page", status=404, code="not_found")

    def _refused(self, request: Request, refusal: Refusal) -> Response:
        template = "refusal.part.html.j2" if "hx-request" in request.headers else "refusal.html.j2"
        page = write(template, {**self._named(None, ""), "refusal": refusal})
        return HTMLResponse(page, refusal.status, headers=refusal.headers)


async def _form(request: Request) -> dict[str, tuple[str, ...]]:
    """The fields of a form; none where something else is sent, which is then left for the handler to read.

    Raises:
        Refusal: It is too long.
    """
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    body = await read_body(request.receive, request.headers, LIMITS)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Refusal("this is no form", code="invalid_form") from None
    form: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        form[name] = (*form.get(name, ()), value)
    return form


def _to_login(request: Request) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"hx-redirect": LOGIN})
    return RedirectResponse(LOGIN, 303)
