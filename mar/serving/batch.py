"""Files of requests in the form of OpenAI's batches, answered like a gateway's; a run that ended early goes on.

A line asks, `{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {...}}`, and a line answers,
`{"custom_id": "1", "response": {"status_code": 200, "body": {...}}, "error": null}`, in the order that answers come in.
What is answered stays answered: asked again are requests without a line, and those that failed by no fault of theirs.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from mar.concurrency import gather
from mar.controllers.base import Controller
from mar.errors import ConfigError, DataError
from mar.files import write_atomically
from mar.pool.pool import Pool
from mar.reading import read_json_lines, validated
from mar.service import Service
from mar.serving.admission import Visit
from mar.serving.apis.base import Api
from mar.serving.apis.chat import Chat
from mar.serving.apis.messages import Messages
from mar.serving.apis.responses import Responses
from mar.serving.asked import read_asked, require_text
from mar.serving.errors import Refusal
from mar.serving.exchange import Exchange, new_id
from mar.serving.house import MAR, House

EXPECTED = 'a request: {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {...}}'
ANSWERED = "an answer as mar batch writes it"
APIS: Mapping[str, Api] = {
    "/v1/chat/completions": Chat(),
    "/v1/responses": Responses(),
    "/v1/messages": Messages(),
}
AGAIN = frozenset({402, 429, 499})  # of statuses below 500 those that may go better another time


class Line(BaseModel):
    """One request of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    custom_id: Annotated[str, Field(min_length=1)]
    method: Literal["POST"] = "POST"
    url: Literal["/v1/chat/completions", "/v1/responses", "/v1/messages"]
    body: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a run came to."""

    kept: int = 0  # answered by an earlier run
    answered: int = 0
    failed: int = 0
    usd: float = 0.0  # of this run, as far as prices are known
    unpriced: int = 0  # requests with a call of unknown price


def read_requests(path: Path) -> list[Line]:
    """The requests of a file.

    Raises:
        DataError: The file or a line cannot be used; names the line.
    """
    lines, seen = list[Line](), dict[str, str]()
    for where, value in read_json_lines(path, expected=EXPECTED):
        line = validated(Line, value, where, expected=EXPECTED)
        if line.custom_id in seen:
            raise DataError(f"{where}: custom_id {line.custom_id!r} is that of {seen[line.custom_id]}, too")
        seen[line.custom_id] = where
        lines.append(line)
    if not lines:
        raise DataError(f"{path}: holds no request; expected lines of {EXPECTED}")
    return lines


def kept_answers(path: Path) -> dict[str, bytes]:
    """The answers of earlier runs that stay, by custom_id.

    Raises:
        DataError: A line is no answer; names it.
    """
    if not path.exists():
        return {}
    kept: dict[str, bytes] = {}
    for where, value in read_json_lines(path, expected=ANSWERED, complete=True):
        try:
            status, id = int(value["response"]["status_code"]), str(value["custom_id"])
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{where}: expected {ANSWERED}") from None
        if status < 500 and status not in AGAIN:
            kept[id] = orjson.dumps(value) + b"\n"
    return kept


async def run_batch(
    lines: list[Line],
    out: Path,
    pool: Pool,
    controllers: Mapping[str, Controller],
    *,
    limit_usd: float | None = None,
    at_once: int = 64,
) -> Tally:
    """Answer requests, `at_once` of them at a time.

    Args:
        lines: The requests.
        out: The file of answers, which earlier runs may have begun.
        pool: The models.
        controllers: By the name that requests ask for.
        limit_usd: What this run may cost; requests that it stops are answered so, and asked again by the next run.
        at_once: How many requests are under way.

    Raises:
        ConfigError: The file of answers cannot be written.
    """
    kept = kept_answers(out)
    tally = Tally(kept=sum(line.custom_id in kept for line in lines))
    try:
        write_atomically(out, b"".join(kept.values()))
        file = out.open("ab", buffering=0)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror}") from None
    with file:
        async with Service(pool, controllers[MAR], limit_usd=limit_usd, keep_prompts=False) as service:
            house = House(service, controllers)
            left = [line for line in lines if line.custom_id not in kept]
            await gather([lambda line=line: _answer(line, house, file, tally) for line in left], limit=at_once)
    return tally


async def _answer(line: Line, house: House, file: io.RawIOBase | io.FileIO, tally: Tally) -> None:
    api, id, status = APIS[line.url], "", 200
    exchange: Exchange | None = None
    try:
        asked = read_asked(api.chat(line.body), orjson.dumps(line.body), {})
        require_text(asked)
        visit, began = Visit(), time.perf_counter()
        way = await house.way(asked, visit)
        exchange = Exchange(house, asked, visit, way, id=new_id(), began=began)
        id = exchange.id
        body = api.whole(await exchange.run())
        tally.answered += 1
    except Refusal as refusal:
        status, body = refusal.status, api.error(refusal)
        tally.failed += 1
    if exchange is not None:
        tally.usd += exchange.usage.cost_usd or 0.0
        tally.unpriced += exchange.usage.cost_usd is None
    response = {"status_code": status, "request_id": id, "body": body}
    file.write(orjson.dumps({"custom_id": line.custom_id, "response": response, "error": None}) + b"\n")
