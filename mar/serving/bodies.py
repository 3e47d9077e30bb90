"""Bodies of requests: JSON that is an object, fields that are what they have to be, and refusals that name them."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import orjson
from pydantic import BaseModel, ValidationError

from mar.serving.errors import Refusal

Body = dict[str, Any]
T = TypeVar("T", bound=BaseModel)
MOST_TOLD = 120  # characters of a name that a client made up


def decode(data: bytes) -> Body:
    """A body.

    Raises:
        Refusal: It is no JSON, or no object.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        said = f"line {error.lineno}, column {error.colno}: {error.msg.partition(': line')[0]}"
        raise Refusal(f"the body is no JSON: {said}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise Refusal("the body is no JSON object; expected { ... }", code="invalid_json")
    return cast("Body", value)


def checked(kind: type[T], value: object, where: str = "") -> T:
    """A value as a record.

    Args:
        kind: Of the record.
        value: What a client sent.
        where: The field that holds it; "": the body itself.

    Raises:
        Refusal: It is none; names the field and says what was expected.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = [str(part) for part in first["loc"] if not _of_a_union(part)]
        param = ".".join([*([where] if where else []), *at])
        missing = first["type"] == "missing"
        said = "this field is missing" if missing else first["msg"][0].lower() + first["msg"][1:]
        code = "missing_field" if missing else "invalid_value"
        raise Refusal(f"{told(param) or 'the body'}: {said}", code=code, param=told(param) or None) from None


def _of_a_union(part: int | str) -> bool:
    """Whether a part of a place is no field but which member of a union was tried."""
    return isinstance(part, str) and ("[" in part or part in {"str", "int", "float", "bool", "none"})


def told(name: str) -> str:
    """A name that a client made up, fit to be told back."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
    return shown if len(shown) <= MOST_TOLD else shown[:MOST_TOLD] + "…"
