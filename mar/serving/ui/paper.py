"""HTML from templates, and the files that it needs.

What models and clients wrote is hostile. Everything is escaped where it is written, control characters and marks that
reorder text are replaced, and the policy of `HEADERS` forbids scripts and styles that are not files of ours, and
loading anything from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from mar.evaluation.report.formats import clean, number, percent, short
from mar.serving.ui.words import ago, amount, clipped, clock, count, day, seconds, stamp

HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with none at all, browsers do not say where a form comes from
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
A_YEAR = "public, max-age=31536000, immutable"
PACKAGES = {"": "mar.serving.ui", "report": "mar.evaluation.report"}  # whose templates, by what their names begin with


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """A file that a browser loads."""

    data: bytes
    kind: str
    tag: str  # changes with what is in it


def url(name: str) -> str:
    """Where a static file is; another place whenever it holds something else, so that it is loaded once."""
    return f"/ui/static/{name}?{statics()[name].tag}"


async def static(request: Request) -> Response:
    """A static file, for everybody."""
    found = statics().get(request.path_params["name"])
    if found is None:
        return Response("no such file\n", 404, HEADERS, "text/plain")
    return Response(found.data, media_type=found.kind, headers={**HEADERS, "cache-control": A_YEAR})


def write(template: str, values: Mapping[str, Any]) -> str:
    """A page, or a part of one.

    Args:
        template: Its file below `templates`.
        values: What it names.
    """
    return _environment().get_template(template).render(**values)


@cache
def statics() -> Mapping[str, Static]:
    """The static files by name."""
    found: dict[str, Static] = {}
    conversation = resources.files("mar.evaluation.report") / "templates" / "conversation.css"
    for file in (*(resources.files("mar.serving.ui") / "static").iterdir(), conversation):
        kind = KINDS.get(file.name.rpartition(".")[2])
        if kind is not None:
            data = file.read_bytes()
            found[file.name] = Static(data=data, kind=kind, tag=hashlib.sha256(data).hexdigest()[:12])
    return found


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.finalize = _finalize
    filters: dict[str, Any] = environment.filters
    filters |= {"number": number, "percent": percent, "usd": amount, "seconds": seconds, "count": count}
    filters |= {"short": short, "clip": clipped, "clock": clock, "stamp": stamp, "day": day, "ago": ago}
    filters |= {"data": _data}
    functions: dict[str, Any] = environment.globals
    functions |= {"static": url, "zip": zip}
    return environment


def _finalize(value: object) -> object:
    """The last thing done to every value: whoever wrote it, it can be shown."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _data(value: object) -> str:
    """A value as JSON, for an attribute that our script reads."""
    return json.dumps(value, allow_nan=False)


def _template(name: str) -> str:
    folder, _, file = name.rpartition("/")
    return (resources.files(PACKAGES[folder]) / "templates" / file).read_text(encoding="utf-8")
