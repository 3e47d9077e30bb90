"""The endpoints that answer nothing new: models, episodes, feedback, health and figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from mar.errors import MarError
from mar.serving.admission import Visit
from mar.serving.answers import Desk
from mar.serving.bodies import checked, decode, told
from mar.serving.errors import Refusal, openai_error
from mar.serving.forgetting import Deleted, Forgetting
from mar.serving.http import Reply, headers_of, key_of, read_body
from mar.serving.interactions import Interactions
from mar.serving.pace import Pace
from mar.serving.record import Entry, Feedback, Record

Handler = Callable[[Scope, Receive, Visit], Awaitable[object]]


class FeedbackBody(BaseModel):
    """What somebody says of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    episode: Annotated[str, Field(min_length=1)]  # its id, from x-mar-episode
    rating: Annotated[float, Field(ge=0, le=1)] | None = None
    thumb: Literal["up", "down"] | None = None
    comment: Annotated[str, Field(max_length=10_000)] = ""


class Inquiries:
    """What is asked about models, episodes and the gateway itself."""

    def __init__(
        self,
        desk: Desk,
        record: Record,
        figures: Callable[[], bytes],
        interactions: Interactions,
        forgetting: Forgetting,
    ) -> None:
        self._desk, self._record, self._figures = desk, record, figures
        self._interactions, self._forgetting = interactions, forgetting
        self._pace = Pace(desk.settings.limits.ratings_per_minute)
        self.ready = False  # whether the worker has opened what it needs

    def routes(self) -> Sequence[BaseRoute]:
        """The endpoints."""
        return [
            Route("/v1/models", _Json(self._desk, self.models), methods=["GET"]),
            Route("/v1/models/{name:path}", _Json(self._desk, self.model), methods=["GET"]),
            Route("/v1/feedback", _Json(self._desk, self.feedback), methods=["POST"]),
            Route("/v1/users/{user:path}", _Json(self._desk, self.forget), methods=["DELETE"]),
            Route("/v1/episodes/{id}", _Json(self._desk, self.episode), methods=["GET"]),
            Route("/healthz", self.health, methods=["GET"]),
            Route("/readyz", self.readiness, methods=["GET"]),
            Route("/metrics", self.figures, methods=["GET"]),
        ]

    async def models(self, scope: Scope, receive: Receive, visit: Visit) -> object:
        """What can be asked for."""
        return {"object": "list", "data": [self._model(name) for name in self._names(visit)]}

    async def model(self, scope: Scope, receive: Receive, visit: Visit) -> object:
        """One of them."""
        name = scope["path_params"]["name"]
        names = self._names(visit)
        if name not in names:
            message = f"there is no model {told(name)!r} here; there are: {', '.join(names)}"
            raise Refusal(message, status=404, code="model_not_found")
        return self._model(name)

    def _names(self, visit: Visit) -> list[str]:
        house = self._desk.house
        names = (*house.names, *house.pool.embedders)
        may = {True: visit.controllers, False: visit.models}  # by whether it is a controller
        return [n for n in names if (some := may[n in house.controllers]) is None or n in some]

    def _model(self, name: str) -> dict[str, object]:
        house = self._desk.house
        model: dict[str, object] = {"id": name, "object": "model", "created": 0}
        if name in house.controllers:
            return model | {"owned_by": "mar", "controller": house.controllers[name].name}
        card = house.pool.cards.get(name) or house.pool.embedders[name]
        return model | {
            "owned_by": "pool",
            "simulated": house.pool.simulated,
            "context_tokens": card.context_tokens,
            "max_output_tokens": card.max_output_tokens,
            "price_in": card.price_in,
            "price_out": card.price_out,
            "tags": list(card.tags),
            "embeddings": card.embeddings,
        }

    async def episode(self, scope: Scope, receive: Receive, visit: Visit) -> object:
        """What is kept of a request."""
        id = scope["path_params"]["id"]
        entry = await self._found(id, visit)
        return entry.to_json(simulated=self._desk.house.pool.simulated)

    async def feedback(self, scope: Scope, receive: Receive, visit: Visit) -> object:
        """Keep what somebody says of an answer."""
        raw = await read_body(receive, headers_of(scope), self._desk.settings.limits)
        body = checked(FeedbackBody, decode(raw))
        if (body.rating is None) == (body.thumb is None):
            raise Refusal('rating: expected either a rating from 0 to 1 or a thumb, "up" or "down"', param="rating")
        rating = float(body.thumb == "up") if body.rating is None else body.rating
        self._pace.step(visit.guest)
        entry = await self._found(body.episode, visit)
        if visit.guest != entry.guest:
            message = "this episode is of another key; a rating is taken from the key that asked"
            raise Refusal(message, status=403, code="not_its_key", param="episode")
        feedback = Feedback(episode=body.episode, rating=rating, comment=body.comment)
        entry = await self._record.rate(feedback)
        if entry is not None:
            self._interactions.rate(entry, rating)
        return {"object": "mar.feedback", "episode": body.episode, "rating": rating}

    async def forget(self, scope: Scope, receive: Receive, visit: Visit) -> object:
        """Delete all that is kept of a user."""
        if visit.role != "admin" and not self._desk.admission.open:
            message = "this key may not delete users; it needs the role admin"
            raise Refusal(message, status=403, code="role_not_allowed")
        user = scope["path_params"]["user"]
        try:
            requests = await self._record.forget("user", user)
            self._forgetting.at_once(Deleted.now("user", user))
            learned_from = await self._interactions.forget("user", self._record.whose("user", user))
        except MarError as error:
            raise Refusal(f"not everything could be deleted: {error}", status=503, code="unavailable") from None
        return {"object": "mar.deletion", "requests": requests, "interactions": learned_from}

    async def _found(self, id: str, visit: Visit) -> Entry:
        """A request of whoever asks; whoever only uses the gateway sees nobody else's."""
        entry = await self._record.find(id)
        if entry is None or (visit.role == "use" and entry.guest != visit.guest):
            raise _unknown(id)
        return entry

    async def health(self, request: object) -> Response:
        """Whether the worker lives."""
        return Response("ok\n", media_type="text/plain")

    async def readiness(self, request: object) -> Response:
        """Whether it can answer."""
        return Response("ready\n" if self.ready else "starting\n", 200 if self.ready else 503, media_type="text/plain")

    async def figures(self, request: Request) -> Response:
        """What is counted, for whoever may see what all ask."""
        desk = self._desk
        try:
            if not (desk.admission.open or desk.settings.metrics_open):
                async with desk.admission.visit(key_of(headers_of(request.scope)), tokens=0) as visit:
                    if visit.role == "use":
                        message = "this key may not see /metrics; it needs the role observe or admin"
                        raise Refusal(message, status=403, code="role_not_allowed")
        except Refusal as refusal:
            desk.on_refusal(refusal.status)
            return JSONResponse(openai_error(refusal), refusal.status, refusal.headers)
        return Response(self._figures(), media_type="text/plain; version=0.0.4; charset=utf-8")


class _Json:
    """An endpoint that replies with JSON to who is let in."""

    def __init__(self, desk: Desk, handler: Handler) -> None:
        self._desk, self._handler = desk, handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = Reply(send)
        try:
            async with self._desk.admission.visit(key_of(self._desk.headers(scope)), tokens=0) as visit:
                body = await self._handler(scope, receive, visit)
            await reply.whole(200, body)
        except Refusal as refusal:
            self._desk.on_refusal(refusal.status)
            await reply.whole(refusal.status, openai_error(refusal), refusal.headers)


def _unknown(id: str) -> Refusal:
    message = (
        f"there is no episode {told(id)!r}; it was never there, or is no longer kept (episodes.days, episodes.rows)"
    )
    return Refusal(message, status=404, code="episode_not_found", param="episode")
