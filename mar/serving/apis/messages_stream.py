"""Anthropic's stream of events: blocks of thinking, text and tool use, each begun, written and ended."""

from __future__ import annotations

from typing import Any

from mar.pool.decoded import mapping
from mar.serving.answer import Answer, said_by
from mar.serving.apis.base import event
from mar.serving.bodies import Body
from mar.serving.errors import Refusal, anthropic_error
from mar.types import Delta

STOPS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


class MessageWriter:
    """Writes one message."""

    def __init__(self, model: str, id: str) -> None:
        self._model, self._id = model, id
        self._begun = self._said = False
        self._index = -1  # of the block under way
        self._kind = ""  # of the block under way: "thinking", "text", or "tool" and which one

    def delta(self, delta: Delta) -> bytes:
        """Pieces of blocks."""
        self._said = True
        said = said_by(delta)
        sent = self._thinking(said.reasoning) + self._text(said.text)
        for call in said.calls:
            sent += self._call(mapping(call))
        return sent

    def reasoning(self, text: str) -> bytes:
        """A piece of thinking."""
        return self._thinking(text)

    def end(self, answer: Answer) -> bytes:
        """What was not shown, the end and the usage."""
        sent = b""
        if not self._said:
            sent += self._thinking(answer.reasoning) + self._text(answer.text)
            for number, call in enumerate(answer.calls):
                function = {"name": call.name, "arguments": call.arguments}
                sent += self._call({"index": number, "id": call.id, "function": function})
        sent += self._begin() + self._close()
        stop = {"stop_reason": STOPS.get(answer.finish, "end_turn"), "stop_sequence": None}
        usage = {"input_tokens": answer.usage.prompt_tokens, "output_tokens": answer.usage.completion_tokens}
        sent += _event("message_delta", delta=stop, usage=usage, mar=answer.about)
        return sent + _event("message_stop")

    def broken(self, refusal: Refusal) -> bytes:
        """An error in the place of the rest."""
        return event(anthropic_error(refusal), "error")

    # Blocks ----------------------------------------------------------------------------------------------------

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        message: Body = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},  # known at the end, where both are told
        }
        return _event("message_start", message=message)

    def _open(self, kind: str, block: Body) -> bytes:
        """Make the block under way one of this kind."""
        if self._kind == kind:
            return b""
        sent = self._begin() + self._close()
        self._kind, self._index = kind, self._index + 1
        return sent + _event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        self._kind = ""
        return _event("content_block_stop", index=self._index)

    def _piece(self, **delta: Any) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _thinking(self, text: str) -> bytes:
        if not text:
            return b""
        opened = self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        return opened + self._piece(type="thinking_delta", thinking=text)

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        return self._open("text", {"type": "text", "text": ""}) + self._piece(type="text_delta", text=text)

    def _call(self, call: Any) -> bytes:
        function = mapping(call.get("function"))
        block: Body = {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": {}}
        sent = self._open(f"tool {call.get('index')}", block)
        arguments = function.get("arguments")
        return sent + (self._piece(type="input_json_delta", partial_json=arguments) if arguments else b"")


def _event(name: str, **fields: Any) -> bytes:
    return event({"type": name, **fields}, name)
