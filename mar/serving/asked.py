"""What a client asks, whatever protocol it speaks: a query, the body that is sent on, and what an answer must hold to.

The body is that of OpenAI's chat completions; the other protocols are translated into it. What of it plans can work
with (texts of a system message and of turns, how freely and how much to write) becomes the query; whatever else it
holds makes the request one for a single agent, which is sent the body as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mar.pool.decoded import items, mapping
from mar.serving.bodies import Body, checked, told
from mar.serving.errors import Refusal
from mar.serving.wishes import NONE, Wishes, read_wishes
from mar.types import Query, Turn

Feature = Literal["tools", "vision", "json"]  # tags of the cards of models that have it
OURS = frozenset({"model", "stream", "stream_options", "mar"})  # fields of a body that are not sent on
# What plans of several agents can do with a field: leave it to the calls that are sent on, or nothing at all.
SPOKEN = frozenset(
    {"messages", "user", "temperature", "top_p", "max_tokens", "max_completion_tokens", "metadata", "store"}
    | {"safety_identifier", "prompt_cache_key", "service_tier"}
)
NOTHING: Mapping[str, tuple[object, ...]] = {  # values of other fields that ask for nothing
    "n": (1,),
    "tools": ([],),
    "tool_choice": ("auto", "none"),
    "logprobs": (False,),
}
CONVERSATION = "x-mar-conversation"


class ChatMessage(BaseModel):
    """One message. What plans do not speak of is not looked at."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, hide_input_in_errors=True)

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    """How a stream is wanted."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, hide_input_in_errors=True)

    include_usage: bool = False


class ChatBody(BaseModel):
    """The fields of a body that are looked at."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, hide_input_in_errors=True)

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    max_completion_tokens: Annotated[int, Field(gt=0)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that is understood."""

    model: str
    query: Query
    stream: bool = False
    usage: bool = False  # whether a stream ends with the usage
    wishes: Wishes = NONE
    needs: tuple[Feature, ...] = ()  # what a model must have
    followed: bool = False  # whether the client says whose it is, or of which conversation, and goes on with it
    alone: str = ""  # why a single agent has to answer: what plans do not speak of; "": they may


def read_asked(body: Body, raw: bytes, headers: Mapping[str, str]) -> Asked:
    """A request from its body in the form of OpenAI's chat completions.

    Args:
        body: The body.
        raw: The same as it came, for the request's identity.
        headers: By name in lower case.

    Raises:
        Refusal: Something in it cannot be; names the field.
    """
    chat = checked(ChatBody, body)
    wishes = read_wishes(body.get("mar"))
    needs, alone = _needs(chat), _alone(chat)
    user, conversation = chat.user or None, headers.get(CONVERSATION)
    instructions, history, text = _conversation(chat.messages)
    opening = history[0].query if history else text
    query = Query(
        text=text,
        id=f"gateway/{_hash(raw)}",
        instructions=instructions,
        history=history,
        user_id=user,
        conversation_id=conversation or _hash("\x1f".join((user or "", instructions, opening)).encode()),
        verbatim={name: value for name, value in body.items() if name not in OURS},
    )
    return Asked(
        model=chat.model,
        query=query,
        stream=bool(chat.stream),
        usage=chat.stream_options is not None and chat.stream_options.include_usage,
        wishes=wishes,
        needs=needs,
        followed=bool(user or conversation) and chat.messages[-1].role == "user",
        alone=alone,
    )


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def _needs(chat: ChatBody) -> tuple[Feature, ...]:
    kind = mapping(chat.response_format).get("type")
    parts = [mapping(p).get("type") for m in chat.messages if isinstance(m.content, list) for p in m.content]
    found: dict[Feature, bool] = {
        "tools": bool(chat.tools) or any(m.role in ("tool", "function") or _calls(m) for m in chat.messages),
        "vision": any(kind in ("image_url", "input_image", "image") for kind in parts),
        "json": kind in ("json_object", "json_schema"),
    }
    return tuple(feature for feature, needed in found.items() if needed)


def _calls(message: ChatMessage) -> bool:
    extra = message.model_extra or {}
    return bool(extra.get("tool_calls") or extra.get("function_call"))


def _alone(chat: ChatBody) -> str:
    """What of a request plans of several agents would lose; "" where there is nothing."""
    extra: Mapping[str, Any] = chat.model_extra or {}
    for name, value in {"n": chat.n, "tools": chat.tools, **extra}.items():
        known = name in SPOKEN or name in OURS
        if not known and value is not None and value not in NOTHING.get(name, ()):
            return told(name)
    if chat.response_format is not None and chat.response_format.get("type") != "text":
        return "response_format"
    for number, message in enumerate(chat.messages):
        if message.role in ("tool", "function") or _calls(message) or message.model_extra:
            return f"messages.{number}"
        if isinstance(message.content, list) and any(p.get("type") != "text" for p in message.content):
            return f"messages.{number}.content"
        if message.role in ("system", "developer") and any(m.role == "user" for m in chat.messages[:number]):
            return f"messages.{number}"  # instructions that hold from here on
    return "" if chat.messages[-1].role == "user" else "a last message that is not the user's"


def _conversation(messages: Sequence[ChatMessage]) -> tuple[str, tuple[Turn, ...], str]:
    """Instructions, earlier turns and the last question, as far as they are text."""
    instructions: list[str] = []
    turns: list[Turn] = []
    asking: list[str] = []
    for message in messages:
        text = text_of(message.content)
        if message.role in ("system", "developer"):
            instructions.append(text)
        elif message.role == "user":
            asking.append(text)
        elif text and asking:
            turns.append(Turn(query="\n\n".join(asking), answer=text))
            asking = []
        elif text and turns:
            turns[-1] = Turn(query=turns[-1].query, answer=f"{turns[-1].answer}\n\n{text}")
    if not asking and turns:  # the last word is not the user's: it is asked about again
        asking = [turns.pop().query]
    return "\n\n".join(filter(None, instructions)), tuple(turns), "\n\n".join(asking)


def text_of(content: object) -> str:
    """The texts of a message's content."""
    if isinstance(content, str):
        return content
    texts = (mapping(part).get("text") for part in items(content))
    return "\n".join(text for text in texts if isinstance(text, str))


def require_text(asked: Asked) -> None:
    """Check that something is asked.

    Raises:
        Refusal: There is no text, and nothing else either.
    """
    if not asked.alone and not asked.query.text.strip():
        raise Refusal("messages: the last one is empty; expected a question or a task", param="messages")
