"""Anthropic's messages: /v1/messages, translated into chat completions and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from mar.pool.decoded import items, mapping
from mar.serving.answer import Answer
from mar.serving.apis.base import Writer
from mar.serving.apis.messages_stream import STOPS, MessageWriter
from mar.serving.asked import Asked
from mar.serving.bodies import Body, checked, told
from mar.serving.errors import Refusal, anthropic_error
from mar.types import Usage

SAME = ("model", "stream", "mar", "temperature", "top_p", "top_k", "max_tokens")  # fields of one name and meaning
HINTS = ("cache_control", "service_tier", "speed", "inference_geo", "diagnostics")  # for who serves; not for an answer
EFFORTS = ((4096, "low"), (16_384, "medium"))  # of reasoning, by the tokens that it may take; beyond: high


class MessageItem(BaseModel):
    """One message."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class MessagesBody(BaseModel):
    """A request. Further fields are sent on as they are."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, hide_input_in_errors=True)

    model: Annotated[str, Field(min_length=1)]
    max_tokens: Annotated[int, Field(gt=0)]
    messages: Annotated[list[MessageItem], Field(min_length=1)]
    system: str | list[dict[str, Any]] | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class Messages:
    """Anthropic's protocol."""

    def chat(self, body: Body) -> Body:
        """The request as a chat completion's.

        Raises:
            Refusal: A field is wrong, or holds what chat completions do not know.
        """
        asked = checked(MessagesBody, body)
        chat: Body = {name: body[name] for name in SAME if body.get(name) is not None}
        chat |= {name: value for name, value in (asked.model_extra or {}).items() if name not in (*SAME, *HINTS)}
        chat["messages"] = [*_system(asked.system)]
        for number, item in enumerate(asked.messages):
            chat["messages"] += _spoken(item, f"messages.{number}.content")
        chat["stream_options"] = {"include_usage": True}
        if asked.stop_sequences:
            chat["stop"] = asked.stop_sequences
        if asked.tools:
            chat["tools"] = [_tool(tool, f"tools.{number}") for number, tool in enumerate(asked.tools)]
        if asked.tool_choice is not None:
            chat |= _choice(asked.tool_choice)
        if (user := (asked.metadata or {}).get("user_id")) is not None:
            chat["user"] = user
        if mapping(asked.thinking).get("type") == "enabled":
            chat["reasoning_effort"] = _effort(mapping(asked.thinking).get("budget_tokens"))
        return chat | _output(mapping(asked.output_config))

    def whole(self, answer: Answer) -> dict[str, Any]:
        """A message."""
        return {
            "id": f"msg_{answer.id}",
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": _blocks(answer),
            "stop_reason": STOPS.get(answer.finish, "end_turn"),
            "stop_sequence": None,
            "usage": usage_of(answer.usage),
            "mar": answer.about,
        }

    def writer(self, asked: Asked, id: str, created: int) -> Writer:
        """Writes events."""
        return MessageWriter(asked.model, f"msg_{id}")

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """Anthropic's error object."""
        return anthropic_error(refusal)


def usage_of(usage: Usage) -> dict[str, int | None]:
    """Tokens of all calls."""
    return {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}


# What is asked -----------------------------------------------------------------------------------------------------


def _system(system: str | list[dict[str, Any]] | None) -> list[Body]:
    if not system:
        return []
    text = system if isinstance(system, str) else "\n\n".join(str(part.get("text", "")) for part in system)
    return [{"role": "system", "content": text}]


def _spoken(item: MessageItem, where: str) -> list[Body]:
    """A message as one or several: what tools gave are messages of their own."""
    if isinstance(item.content, str):
        return [{"role": item.role, "content": item.content}]
    parts, calls, results = list[Body](), list[Body](), list[Body]()
    for number, block in enumerate(item.content):
        match block.get("type"):
            case "text":
                parts.append({"type": "text", "text": block.get("text", "")})
            case "image":
                parts.append(_image(mapping(block.get("source")), f"{where}.{number}.source"))
            case "tool_use":
                arguments = orjson.dumps(block.get("input", {})).decode()
                function = {"name": block.get("name"), "arguments": arguments}
                calls.append({"id": block.get("id"), "type": "function", "function": function})
            case "tool_result":
                results.append(_result(block))
            case "thinking" | "redacted_thinking":
                pass  # a model's own, which no other one can read
            case other:
                raise Refusal(
                    f"{where}.{number}.type: {told(str(other))} has no form in chat completions; expected text, "
                    "image, tool_use, tool_result or thinking",
                    code="unsupported_content",
                    param=f"{where}.{number}.type",
                )
    if calls:
        text = "\n\n".join(part["text"] for part in parts if part["type"] == "text")
        return [{"role": "assistant", "content": text or None, "tool_calls": calls}]
    if parts and all(part["type"] == "text" for part in parts):
        return [*results, {"role": item.role, "content": "\n\n".join(part["text"] for part in parts)}]
    return [*results, {"role": item.role, "content": parts}] if parts else results


def _image(source: Mapping[str, Any], where: str) -> Body:
    match source.get("type"):
        case "base64":
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
        case "url":
            url = str(source.get("url"))
        case _:
            raise Refusal(f"{where}.type: expected base64 or url", code="unsupported_content", param=f"{where}.type")
    return {"type": "image_url", "image_url": {"url": url}}


def _result(block: Mapping[str, Any]) -> Body:
    content = block.get("content")
    text = content if isinstance(content, str) else "\n".join(str(mapping(p).get("text", "")) for p in items(content))
    said = f"Error: {text}" if block.get("is_error") else text
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": said}


def _tool(tool: Mapping[str, Any], where: str) -> Body:
    if "input_schema" not in tool:
        kind = told(str(tool.get("type", "")))
        message = f"{where}: a tool that the server runs itself ({kind}) is not supported; expected an input_schema"
        raise Refusal(message, code="unsupported_tool", param=where)
    function = {"name": tool.get("name"), "parameters": tool["input_schema"]}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _choice(choice: Mapping[str, Any]) -> Body:
    kind = choice.get("type")
    if kind == "tool":
        found: Body = {"tool_choice": {"type": "function", "function": {"name": choice.get("name")}}}
    else:
        found = {"tool_choice": {"any": "required", "none": "none"}.get(str(kind), "auto")}
    return found | ({"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {})


def _output(config: Mapping[str, Any]) -> Body:
    found: Body = {} if config.get("effort") is None else {"reasoning_effort": config["effort"]}
    wanted = mapping(config.get("format"))
    if "schema" in wanted:
        schema = {"name": "answer", "schema": wanted["schema"], "strict": True}
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    return found


def _effort(budget: object) -> str:
    tokens = budget if isinstance(budget, int) else 0
    return next((effort for most, effort in EFFORTS if tokens <= most), "high")


# What is answered --------------------------------------------------------------------------------------------------


def _blocks(answer: Answer) -> Sequence[Body]:
    blocks: list[Body] = []
    if answer.reasoning:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": ""})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    calls = [{"type": "tool_use", "id": c.id, "name": c.name, "input": _input(c.arguments)} for c in answer.calls]
    return [*blocks, *calls]


def _input(arguments: str) -> object:
    try:
        return orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:  # as the model wrote them: no JSON
        return {"arguments": arguments}
