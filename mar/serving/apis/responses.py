"""OpenAI's responses: /v1/responses, translated into chat completions and back. Nothing is kept of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mar.pool.decoded import items, mapping
from mar.serving.answer import Answer
from mar.serving.apis.base import Writer
from mar.serving.apis.responses_stream import ResponseWriter, items_of, response_of
from mar.serving.asked import Asked
from mar.serving.bodies import Body, checked, told
from mar.serving.errors import Refusal, openai_error

SAME = ("model", "stream", "mar", "temperature", "top_p", "user", "parallel_tool_calls", "metadata", "top_logprobs")
PARTS = ("input_text", "output_text", "text")
# What would need a conversation that is kept here, or work that goes on after the reply.
ABSENT: Mapping[str, str] = {
    "previous_response_id": "responses are not kept; send the items of the conversation as input",
    "conversation": "conversations are not kept; send their items as input",
    "background": "a response is made while the client waits",
    "prompt": "prompts are not kept; send instructions and input",
}


class ResponsesBody(BaseModel):
    """A request. Further fields are sent on as they are."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, hide_input_in_errors=True)

    model: Annotated[str, Field(min_length=1)]
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(gt=0)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None


class Responses:
    """OpenAI's newer protocol."""

    def chat(self, body: Body) -> Body:
        """The request as a chat completion's.

        Raises:
            Refusal: A field is wrong, or holds what chat completions do not know.
        """
        for name, why in ABSENT.items():
            if body.get(name):
                raise Refusal(f"{name}: {why}", code="unsupported_field", param=name)
        asked = checked(ResponsesBody, body)
        chat: Body = {name: body[name] for name in SAME if body.get(name) is not None}
        dropped = {"store", "include", "truncation", *ABSENT, *SAME}
        chat |= {name: value for name, value in (asked.model_extra or {}).items() if name not in dropped}
        chat["messages"] = _messages(asked)
        if asked.max_output_tokens is not None:
            chat["max_completion_tokens"] = asked.max_output_tokens
        if asked.tools:
            chat["tools"] = [_tool(tool, f"tools.{number}") for number, tool in enumerate(asked.tools)]
        if asked.tool_choice is not None:
            chat["tool_choice"] = _choice(asked.tool_choice)
        if (effort := mapping(asked.reasoning).get("effort")) is not None:
            chat["reasoning_effort"] = effort
        return chat | _format(mapping(asked.text))

    def whole(self, answer: Answer) -> dict[str, Any]:
        """A response."""
        items = items_of(answer)
        return response_of(answer.id, answer.created, answer.model, answer, items)

    def writer(self, asked: Asked, id: str, created: int) -> Writer:
        """Writes events."""
        return ResponseWriter(asked.model, id, created)

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """OpenAI's error object."""
        return openai_error(refusal)


def _messages(asked: ResponsesBody) -> list[Body]:
    messages: list[Body] = [{"role": "system", "content": asked.instructions}] if asked.instructions else []
    if isinstance(asked.input, str):
        return [*messages, {"role": "user", "content": asked.input}]
    for number, item in enumerate(asked.input):
        _add(messages, item, f"input.{number}")
    return messages


def _add(messages: list[Body], item: Mapping[str, Any], where: str) -> None:
    """An item of the conversation as a message, or as a part of the one before."""
    kind = item.get("type", "message")
    if kind == "message":
        messages.append({"role": item.get("role"), "content": _content(item.get("content"), f"{where}.content")})
    elif kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        if messages and messages[-1]["role"] == "assistant":
            messages[-1].setdefault("tool_calls", []).append(call)
        else:
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    elif kind == "function_call_output":
        output = item.get("output")
        text = output if isinstance(output, str) else "\n".join(str(mapping(p).get("text", "")) for p in items(output))
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": text})
    elif kind != "reasoning":  # a model's own, which no other one can read
        message = f"{where}.type: {told(str(kind))} has no form in chat completions; expected message, function_call, "
        param = f"{where}.type"
        raise Refusal(message + "function_call_output or reasoning", code="unsupported_content", param=param)


def _content(content: object, where: str) -> object:
    if isinstance(content, str):
        return content
    parts = [_part(mapping(part), f"{where}.{number}") for number, part in enumerate(items(content))]
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    return parts


def _part(part: Mapping[str, Any], where: str) -> Body:
    kind = part.get("type")
    if kind in PARTS:
        return {"type": "text", "text": part.get("text", "")}
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal", "")}
    if kind == "input_image" and part.get("image_url"):
        image: Body = {"url": part["image_url"]}
        return {"type": "image_url", "image_url": image | ({"detail": part["detail"]} if part.get("detail") else {})}
    message = f"{where}.type: {told(str(kind))} has no form here; expected {', '.join(PARTS)} or input_image by its URL"
    raise Refusal(message, code="unsupported_content", param=f"{where}.type")


def _tool(tool: Mapping[str, Any], where: str) -> Body:
    if tool.get("type") != "function":
        kind = told(str(tool.get("type")))
        message = f"{where}: a tool that the server runs itself ({kind}) is not supported; expected type function"
        raise Refusal(message, code="unsupported_tool", param=where)
    fields = {
        name: tool[name] for name in ("name", "description", "parameters", "strict") if tool.get(name) is not None
    }
    return {"type": "function", "function": fields}


def _choice(choice: str | Mapping[str, Any]) -> object:
    if isinstance(choice, str):
        return choice
    return {"type": "function", "function": {"name": choice.get("name")}}


def _format(text: Mapping[str, Any]) -> Body:
    found: Body = {} if text.get("verbosity") is None else {"verbosity": text["verbosity"]}
    wanted = mapping(text.get("format"))
    if wanted.get("type") == "json_schema":
        schema = {name: value for name, value in wanted.items() if name != "type"}
        return found | {"response_format": {"type": "json_schema", "json_schema": schema}}
    return found | ({"response_format": {"type": wanted["type"]}} if wanted else {})
