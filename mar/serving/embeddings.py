"""OpenAI's embeddings: /v1/embeddings, passed on to a server whose card says that it makes vectors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from mar.errors import CallError, LimitReached
from mar.pool.transport import carrying
from mar.runtime.calls import as_failure
from mar.serving.admission import Visit
from mar.serving.answer import cost
from mar.serving.answers import BYTES_PER_TOKEN, Desk
from mar.serving.bodies import checked, decode, told
from mar.serving.errors import Refusal, of_failure, openai_error
from mar.serving.exchange import new_id
from mar.serving.http import Reply, key_of, read_body
from mar.serving.observe.tracing import context_of
from mar.serving.record import Called, Entry
from mar.types import Failure, Usage

LABEL = "embeddings"


class EmbeddingsBody(BaseModel):
    """The fields that are looked at; all are sent on."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, hide_input_in_errors=True)

    model: Annotated[str, Field(min_length=1)]
    input: str | list[Any]


class Embeddings:
    """The endpoint, a plain ASGI application."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        desk, reply = self._desk, Reply(send)
        try:
            headers = desk.headers(scope)
            raw = await read_body(receive, headers, desk.settings.limits)
            async with desk.admission.visit(key_of(headers), tokens=len(raw) // BYTES_PER_TOKEN) as visit:
                with carrying(context_of(headers)):
                    body, sent = await self._passed_on(decode(raw), visit)
            await reply.whole(200, body, sent)
        except Refusal as refusal:
            desk.on_refusal(refusal.status)
            await reply.whole(refusal.status, openai_error(refusal), refusal.headers)

    async def _passed_on(self, body: dict[str, Any], visit: Visit) -> tuple[object, dict[str, str]]:
        """The server's reply, and the headers of ours."""
        service, at, began = self._desk.house.service, time.time(), time.perf_counter()
        name = checked(EmbeddingsBody, body).model
        _check(name, tuple(service.pool.embedders), visit)
        try:
            wanted = {field: value for field, value in body.items() if field not in ("model", "mar")}
            reply, usage = await service.embed(name, wanted, purse=visit.purse)
        except CallError as error:
            raise of_failure(as_failure(error)) from None
        except LimitReached as error:
            raise of_failure(Failure(kind="limit", reason=str(error))) from None
        visit.usage = usage
        entry = _entry(name, visit, usage, at=at, seconds=time.perf_counter() - began)
        for told_of in self._desk.on_entry:
            told_of(entry)
        headers = {"x-mar-episode": entry.id, "x-mar-models": name, "x-mar-cost-usd": cost(usage.cost_usd)}
        return {**reply, "model": name}, headers


def _check(name: str, embedders: Sequence[str], visit: Visit) -> None:
    if name not in embedders:
        there_are = ", ".join(embedders) or "none"
        message = f"model: {told(name)!r} makes no vectors of texts; of this pool do: {there_are}"
        raise Refusal(message, status=404, code="model_not_found", param="model")
    if visit.models is not None and name not in visit.models:
        raise Refusal(f"model: this key may not have {name}", status=403, code="model_not_allowed", param="model")


def _entry(name: str, visit: Visit, usage: Usage, *, at: float, seconds: float) -> Entry:
    return Entry(
        id=new_id(),
        at=at,
        guest=visit.guest,
        asked=name,
        query=None,
        controller="",
        plan=None,
        label=LABEL,
        why={},
        status=200,
        usage=usage,
        models=(name,),
        attempts=1,
        called=(Called(model=name, usage=usage, seconds=seconds),),
        decision_s=0.0,
        seconds=seconds,
        first_s=None,
    )
