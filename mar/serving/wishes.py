"""The `mar` object of a request's body: what a client wishes of this answer beyond the protocol it speaks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mar.pool.decoded import mapping
from mar.serving.bodies import checked, told
from mar.serving.errors import Refusal

Progress = Literal[
    "comments",  # SSE comments, which clients that do not look for them never see
    "reasoning",  # pieces of reasoning_content, which chat windows show
]


class Wishes(BaseModel):
    """What may be wished."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    cost_rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None  # utility per USD
    max_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None  # that this answer may cost
    deadline_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None  # after it what there is is answered
    allow: list[str] | None = None  # models, and no others
    deny: list[str] | None = None  # models that are left out
    seed: int = 0  # of every draw that is the controller's
    explain: bool = False  # whether the answer comes with the plan and why it was made
    progress: Progress | None = None  # how a stream shows what happens before the answer


MOST_NAMED = 5
NONE = Wishes()


def read_wishes(value: object) -> Wishes:
    """The wishes in a body.

    Raises:
        Refusal: There is no such wish, or it cannot be fulfilled; names it.
    """
    if value is None:
        return NONE
    if not isinstance(value, dict):
        raise Refusal("mar: expected an object of wishes", code="invalid_type", param="mar")
    unknown = sorted(mapping(value).keys() - Wishes.model_fields.keys())  # pyright: ignore[reportUnknownArgumentType]
    if unknown:
        names = ", ".join(f"mar.{told(name)}" for name in unknown[:MOST_NAMED])
        there_are = ", ".join(Wishes.model_fields)
        raise Refusal(f"{names}: there is no such wish; there are: {there_are}", code="unknown_wish", param="mar")
    return checked(Wishes, mapping(value), "mar")  # pyright: ignore[reportUnknownArgumentType]
