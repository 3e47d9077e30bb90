"""Calls of tools in what an OpenAI-compatible server sends, whole or in pieces, in the forms that servers give them.

The documented form is a list of `tool_calls`, each with an id, a function's name and its arguments as a text of JSON;
in a stream every piece says by its index which call it goes on with. Servers also send arguments as an object, no ids,
no index or index 0 for every call, and the older `function_call`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from mar.pool.decoded import mapping, mend
from mar.pool.faults import Where
from mar.pool.server_words import decode
from mar.types import ToolCall

MOST_CALLS = 64  # of one reply; further ones are not looked at
MOST_LOOKS = 64  # at whether a call is whole, where every piece of it repeats its name
ID_CHARS = 9  # letters and digits: what the strictest of servers (Mistral's) wants of an id


@dataclass(slots=True)
class _Call:
    index: object = None
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])
    looks: int = 0

    def goes_on(self, piece: _Call) -> bool:
        """Whether a piece belongs to this call; a server may give the same index to every call."""
        if piece.index is None:
            return not (piece.id or piece.name)
        if piece.index != self.index or piece.id not in ("", self.id):
            return False
        if not (piece.name and piece.arguments and self.name) or self.looks == MOST_LOOKS:
            return True
        self.looks += 1
        return not _complete("".join(self.arguments))

    def add(self, piece: _Call) -> None:
        self.id = self.id or piece.id
        self.name = self.name or piece.name
        self.arguments += piece.arguments


@dataclass(slots=True)
class CallPieces:
    """Gathers the calls of one reply. It is false as long as there are none."""

    found: list[_Call] = field(default_factory=list[_Call])

    def __bool__(self) -> bool:
        return bool(self.found)

    def take(self, message: Mapping[str, Any], *, whole: bool) -> bool:
        """Take what a whole message, or a piece of one, says of calls; whether it says anything."""
        listed: object = message.get("tool_calls")
        said = [mapping(item) for item in cast("list[object]", listed)] if isinstance(listed, list) else []
        if not any(said) and (older := mapping(message.get("function_call"))):
            said = [{"index": 0, "function": older}]
        pieces = [_read(item) for item in said if item]
        for piece in pieces:
            self._add(piece, whole=whole)
        return bool(pieces)

    def _add(self, piece: _Call, *, whole: bool) -> None:
        known = None if whole else next((c for c in reversed(self.found) if c.goes_on(piece)), None)
        if known is not None:
            known.add(piece)
        elif len(self.found) < MOST_CALLS:
            self.found.append(piece)

    def build(self, where: Where) -> tuple[ToolCall, ...]:
        """The calls, each with an id of its own and free of the key."""
        built: dict[str, ToolCall] = {}
        for number, call in enumerate(self.found):
            arguments = where.free_of_key(mend("".join(call.arguments))) or "{}"
            id = mend(call.id)
            if not id or id in built:
                id = hashlib.sha256(f"{number} {call.name!r} {arguments}".encode()).hexdigest()[:ID_CHARS]
            built[id] = ToolCall(id=id, name=mend(call.name), arguments=arguments)
        return tuple(built.values())


def _read(item: Mapping[str, Any]) -> _Call:
    function = mapping(item.get("function")) or item
    arguments: object = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    return _Call(
        index=item.get("index"),
        id=_text(item.get("id")),
        name=_text(function.get("name")),
        arguments=[arguments] if arguments else [],
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _complete(arguments: str) -> bool:
    return isinstance(decode(arguments), dict)
