"""OpenAI's response object, whole and as the stream of events that builds it up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mar.pool.decoded import mapping
from mar.serving.answer import Answer, said_by
from mar.serving.apis.base import event
from mar.serving.bodies import Body
from mar.serving.errors import Refusal, openai_error
from mar.types import Delta, Usage


def response_of(id: str, created: int, model: str, answer: Answer | None, items: Sequence[Body]) -> Body:
    """A response: under way without an answer, else ended."""
    cut = answer is not None and answer.finish == "length"
    return {
        "id": f"resp_{id}",
        "object": "response",
        "created_at": created,
        "status": "in_progress" if answer is None else "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": list(items),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "temperature": None,
        "top_p": None,
        "usage": None if answer is None else _usage(answer.usage),
        "mar": None if answer is None else answer.about,
    }


def items_of(answer: Answer) -> list[Body]:
    """What a response puts out: reasoning, a message, calls of tools."""
    items: list[Body] = []
    if answer.reasoning:
        items.append(_reasoning(f"rs_{answer.id}", answer.reasoning))
    if answer.text:
        items.append(_message(f"msg_{answer.id}", answer.text, "completed"))
    for number, call in enumerate(answer.calls):
        items.append(_call(f"fc_{answer.id}_{number}", call.id, call.name, call.arguments, "completed"))
    return items


def _usage(usage: Usage) -> Body | None:
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _reasoning(id: str, text: str) -> Body:
    return {"id": id, "type": "reasoning", "summary": [{"type": "summary_text", "text": text}] if text else []}


def _message(id: str, text: str | None, status: str) -> Body:
    content = [] if text is None else [_text(text)]
    return {"id": id, "type": "message", "role": "assistant", "status": status, "content": content}


def _text(text: str) -> Body:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(id: str, call_id: str, name: str, arguments: str, status: str) -> Body:
    return {
        "id": id,
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


class ResponseWriter:
    """Writes one response: each item is begun, written piece by piece, and ended before the next one."""

    def __init__(self, model: str, id: str, created: int) -> None:
        self._model, self._id, self._created = model, id, created
        self._number = 0  # of the next event
        self._begun = self._said = False
        self._done: list[Body] = []  # items that have ended
        self._kind = ""  # of the item under way: "reasoning", "message", or "call" and which one
        self._item: Body = {}  # the item under way
        self._written: list[str] = []  # of it so far

    def delta(self, delta: Delta) -> bytes:
        """Pieces of items."""
        self._said = True
        said = said_by(delta)
        sent = self.reasoning(said.reasoning) + self._text(said.text)
        for call in said.calls:
            sent += self._calling(mapping(call))
        return sent

    def reasoning(self, text: str) -> bytes:
        """A piece of a summary of reasoning."""
        if not text:
            return b""
        sent = self._open("reasoning", _reasoning(f"rs_{self._id}_{len(self._done)}", ""))
        if not self._written:
            part = {"type": "summary_text", "text": ""}
            sent += self._event("response.reasoning_summary_part.added", summary_index=0, part=part)
        self._written.append(text)
        return sent + self._event("response.reasoning_summary_text.delta", summary_index=0, delta=text)

    def end(self, answer: Answer) -> bytes:
        """What was not shown, the end and the whole response."""
        sent = b""
        if not self._said:
            sent += self.reasoning(answer.reasoning) + self._text(answer.text)
            for number, call in enumerate(answer.calls):
                function = {"name": call.name, "arguments": call.arguments}
                sent += self._calling({"index": number, "id": call.id, "function": function})
        sent += self._begin() + self._close()
        response = response_of(self._id, self._created, self._model, answer, self._done)
        return sent + self._event(f"response.{response['status']}", inside=False, response=response)

    def broken(self, refusal: Refusal) -> bytes:
        """An error in the place of the rest."""
        error = openai_error(refusal)["error"]
        fields = {"code": error["code"], "message": error["message"], "param": error["param"]}
        return self._event("error", inside=False, **fields)

    # Items -----------------------------------------------------------------------------------------------------

    def _event(self, kind: str, /, *, inside: bool = True, **fields: Any) -> bytes:
        place = {"item_id": self._item["id"], "output_index": len(self._done)} if inside else {}
        numbered = {"type": kind, "sequence_number": self._number, **place, **fields}
        self._number += 1
        return event(numbered, kind)

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        response = response_of(self._id, self._created, self._model, None, ())
        created = self._event("response.created", inside=False, response=response)
        return created + self._event("response.in_progress", inside=False, response=response)

    def _open(self, kind: str, item: Body) -> bytes:
        if self._kind == kind:
            return b""
        sent = self._begin() + self._close()
        self._kind, self._item, self._written = kind, item, []
        place = len(self._done)
        return sent + self._event("response.output_item.added", inside=False, output_index=place, item=item)

    def _close(self) -> bytes:
        """End the item under way."""
        if not self._kind:
            return b""
        kind, text = self._kind.partition(" ")[0], "".join(self._written)
        sent = b""
        if kind == "reasoning":
            part = {"type": "summary_text", "text": text}
            sent += self._event("response.reasoning_summary_text.done", summary_index=0, text=text)
            sent += self._event("response.reasoning_summary_part.done", summary_index=0, part=part)
            item = self._item | {"summary": [part]}
        elif kind == "message":
            sent += self._event("response.output_text.done", content_index=0, text=text, logprobs=[])
            sent += self._event("response.content_part.done", content_index=0, part=_text(text))
            item = self._item | {"status": "completed", "content": [_text(text)]}
        else:
            sent += self._event("response.function_call_arguments.done", name=self._item["name"], arguments=text)
            item = self._item | {"status": "completed", "arguments": text}
        sent += self._event("response.output_item.done", inside=False, output_index=len(self._done), item=item)
        self._done.append(item)
        self._kind = ""
        return sent

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        fresh = self._kind != "message"
        sent = self._open("message", _message(f"msg_{self._id}_{len(self._done)}", None, "in_progress"))
        if fresh:
            sent += self._event("response.content_part.added", content_index=0, part=_text(""))
        self._written.append(text)
        return sent + self._event("response.output_text.delta", content_index=0, delta=text, logprobs=[])

    def _calling(self, call: Any) -> bytes:
        function = mapping(call.get("function"))
        kind = f"call {call.get('index')}"
        if self._kind != kind:
            number = len(self._done) + bool(self._kind)  # the item under way ends before
            id = f"fc_{self._id}_{number}"
            item = _call(id, str(call.get("id", "")), str(function.get("name", "")), "", "in_progress")
            sent = self._open(kind, item)
        else:
            sent = b""
        arguments = function.get("arguments")
        if not arguments:
            return sent
        self._written.append(arguments)
        return sent + self._event("response.function_call_arguments.delta", delta=arguments)
