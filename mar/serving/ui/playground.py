"""The playground: one question to several controllers and models at once, each answer streamed beside the others.

An answer goes the way of every other: through the same desk, paid by the same key, written down like any request. What
is sent to the browser is the answer's pieces, and the plan as a picture whenever something has happened in it.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mar.evaluation.report.conversation import converse
from mar.evaluation.report.graph import draw
from mar.serving.admission import Shown
from mar.serving.answer import Answer, said_by
from mar.serving.answers import Answers, Desk
from mar.serving.apis.base import Writer, event
from mar.serving.asked import Asked
from mar.serving.bodies import Body
from mar.serving.errors import Refusal, openai_error
from mar.serving.http import Presence, Reply, headers_of
from mar.serving.ui.frame import Asking, Door, View
from mar.serving.ui.paper import write
from mar.types import (
    AnyEvent,
    CallAnswered,
    CallFailed,
    Decided,
    Delta,
    Episode,
    EpisodeStarted,
    PassedThrough,
    StepBound,
    StepFailed,
    Stopped,
)

MOST_AT_ONCE = 8  # answers beside each other
DRAWN = (EpisodeStarted, StepBound, CallAnswered, CallFailed, PassedThrough, StepFailed, Stopped, Decided)


def playground_view(desk: Desk) -> View:
    """The playground of a worker."""
    answers = Answers(desk, Play())

    async def whole(asking: Asking) -> Response:
        names = _names(desk, asking)
        return asking.page("playground.html.j2", names=names, out=desk.house.out, most=MOST_AT_ONCE)

    async def ask(asking: Asking) -> Response:
        return Played(answers, _body(asking), asking.who.digest)

    return View(
        title="Playground",
        path="/playground",
        doors=(
            Door(path="/playground", handler=whole),
            Door(path="/playground/ask", handler=ask, method="POST"),
        ),
    )


def _names(desk: Desk, asking: Asking) -> list[tuple[str, str]]:
    """What can be asked for with a key, each with a few words."""
    house, key = desk.house, asking.who.key
    models = None if key is None else key.terms.models
    controllers = None if key is None else key.terms.controllers
    planned = [(name, f"controller {house.controllers[name].name}") for name in house.controllers]
    direct = [(name, card.description) for name, card in house.pool.cards.items()]
    return [
        *(one for one in planned if controllers is None or one[0] in controllers),
        *(one for one in direct if models is None or one[0] in models),
    ]


def _body(asking: Asking) -> bytes:
    """A request's body, as clients send it.

    Raises:
        Refusal: A number is none.
    """
    system, question = asking.one("system"), asking.one("question")
    messages = [{"role": "system", "content": system}] if system else []
    wishes: dict[str, Any] = {"progress": "comments", "explain": True}
    wishes |= {name: _number(asking, name) for name in ("max_usd", "cost_rate") if asking.one(name)}
    body = {
        "model": asking.one("model"),
        "stream": True,
        "messages": [*messages, {"role": "user", "content": question}],
        "mar": wishes,
    }
    return json.dumps(body).encode()


def _number(asking: Asking, name: str) -> float:
    try:
        return float(asking.one(name))
    except ValueError:
        raise Refusal(f"{name}: expected a number", param=name) from None


class Played(Response):
    """An answer under way, as a response.

    Args:
        answers: Gives it.
        body: The request, as clients send it.
        key: Whose it is.
    """

    def __init__(self, answers: Answers, body: bytes, key: Shown) -> None:
        super().__init__()
        self._answers, self._body, self._key = answers, body, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        reply = Reply(send)
        try:
            await self._answers.answer(self._body, self._key, headers_of(scope), Presence.of(scope), reply)
        except Refusal as refusal:
            await self._answers.refuse(refusal, reply)


class Play:
    """The protocol between the playground's script and the gateway: OpenAI's requests, events of its own."""

    def chat(self, body: Body) -> Body:
        """The body as it is."""
        return body

    def whole(self, answer: Answer) -> dict[str, Any]:
        """What is said at the end."""
        usage = answer.usage
        return {
            "about": answer.about,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "finish": answer.finish,
        }

    def writer(self, asked: Asked, id: str, created: int) -> Writer:
        """Writes the events of one answer."""
        return PlayWriter(id)

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """OpenAI's error object."""
        return openai_error(refusal)


class PlayWriter:
    """Writes an answer: `delta` with its pieces, `plan` with the picture so far, `end` or `broken`."""

    def __init__(self, id: str) -> None:
        self._id = id
        self._said = False
        self._events: list[AnyEvent] = []

    def delta(self, delta: Delta) -> bytes:
        """A piece of the answer."""
        said = said_by(delta)
        self._said = self._said or bool(said.text)
        return event({"text": said.text, "reasoning": said.reasoning}, "delta")

    def reasoning(self, text: str) -> bytes:
        """Nothing: what happens is drawn."""
        return b""

    def happened(self, found: AnyEvent) -> bytes:
        """The picture with what has just happened."""
        self._events.append(found)
        if not isinstance(found, DRAWN):
            return b""
        return event({"html": _picture(self._id, self._events, ended=False)}, "plan")

    def end(self, answer: Answer) -> bytes:
        """The text, where none of it was shown, the whole picture, and what it came to."""
        text = b"" if self._said else event({"text": answer.text, "reasoning": ""}, "delta")
        picture = event({"html": _picture(self._id, self._events, ended=True)}, "plan")
        return text + picture + event(Play().whole(answer), "end")

    def broken(self, refusal: Refusal) -> bytes:
        """Why there is no whole answer."""
        picture = event({"html": _picture(self._id, self._events, ended=True)}, "plan")
        return picture + event({"message": refusal.message, "episode": self._id}, "broken")


def _picture(id: str, events: list[AnyEvent], *, ended: bool) -> str:
    """What has happened so far, drawn."""
    started = next((found for found in events if isinstance(found, EpisodeStarted)), None)
    if started is None:
        return ""
    episode = Episode(
        query_id=started.query_id,
        plan=started.plan,
        policy=started.policy,
        events=tuple(events),
        latency_s=events[-1].t,
    )
    graph = draw(converse(episode, ended=ended))
    values = {"id": id, "graph": graph, "plan": started.plan, "policy": started.policy}
    return write("playground.plan.html.j2", values)
