"""OpenAI's chat completions: /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mar.pool.decoded import items
from mar.pool.openai_form import chunks
from mar.serving.answer import Answer, said_in
from mar.serving.apis.base import Writer, event
from mar.serving.asked import Asked
from mar.serving.bodies import Body
from mar.serving.errors import Refusal, openai_error
from mar.types import Delta, Usage

DONE = b"data: [DONE]\n\n"


class Chat:
    """The protocol that the others are translated into."""

    def chat(self, body: Body) -> Body:
        """The body as it is."""
        return body

    def whole(self, answer: Answer) -> dict[str, Any]:
        """A chat completion."""
        return {
            "id": f"chatcmpl-{answer.id}",
            "object": "chat.completion",
            "created": answer.created,
            "model": answer.model,
            "choices": answer.choices or [_choice(answer)],
            "usage": usage_of(answer.usage),
            "mar": answer.about,
        }

    def writer(self, asked: Asked, id: str, created: int) -> Writer:
        """Writes chunks."""
        return ChatWriter(asked, id, created)

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """OpenAI's error object."""
        return openai_error(refusal)


def _choice(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}


def usage_of(usage: Usage) -> dict[str, int] | None:
    """Tokens of all calls; None where a server did not count them."""
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    total = usage.prompt_tokens + usage.completion_tokens
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": total,
    }


class ChatWriter:
    """Writes a chat completion in chunks: the server's own where there are any, under this answer's name."""

    def __init__(self, asked: Asked, id: str, created: int) -> None:
        self._usage = asked.usage
        self._frame: dict[str, Any] = {
            "id": f"chatcmpl-{id}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": asked.model,
        }
        self._begun = self._said = self._finished = False
        self._held: dict[str, Any] | None = None  # a chunk that may be the last, which says what the answer cost

    def delta(self, delta: Delta) -> bytes:
        """A chunk."""
        self._said = True
        if delta.chunk is not None:
            return self._own(delta.chunk)
        fields: dict[str, Any] = {}
        if delta.text:
            fields["content"] = delta.text
        if delta.reasoning:
            fields["reasoning_content"] = delta.reasoning
        return self._piece(fields)

    def reasoning(self, text: str) -> bytes:
        """A chunk of reasoning_content."""
        return self._piece({"reasoning_content": text})

    def _own(self, chunk: Mapping[str, Any]) -> bytes:
        choices = items(chunk.get("choices"))
        if not choices:  # usage, which is told at the end for all calls together
            return b""
        self._begun = True
        named = {**chunk, **self._frame}
        named.pop("usage", None)
        held, self._held = self._held, None
        sent = b"" if held is None else event(held)
        if any(said_in(choice).finish for choice in choices):
            self._finished, self._held = True, named
            return sent
        return sent + event(named)

    def _piece(self, fields: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        if not self._begun:
            fields, self._begun = {"role": "assistant", **fields}, True
        choice = {"index": 0, "delta": fields, "finish_reason": finish}
        return event({**self._frame, "choices": [choice], **more})

    def end(self, answer: Answer) -> bytes:
        """The text, where none of it was shown, the end and the usage, where it is wanted."""
        sent = b"" if self._said else self._unsaid(answer)
        if self._held is not None:
            sent += event({**self._held, "mar": answer.about})
        elif not self._finished:
            sent += self._piece({}, answer.finish, mar=answer.about)
        if self._usage:
            sent += event({**self._frame, "choices": [], "usage": usage_of(answer.usage)})
        return sent + DONE

    def _unsaid(self, answer: Answer) -> bytes:
        if not answer.choices:
            return self._piece({"content": answer.text})
        return b"".join(self._own(chunk) for chunk in chunks({"choices": list(answer.choices)}))

    def broken(self, refusal: Refusal) -> bytes:
        """An error in the place of the rest."""
        held = b"" if self._held is None else event(self._held)
        return held + event(openai_error(refusal))
