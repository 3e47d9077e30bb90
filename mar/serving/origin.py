"""Where a request comes from, as far as browsers say: what keeps other sites from asking a gateway that needs no key.

Any site can make a visitor's browser send a form to this machine, and a gateway without keys would pay for it. Browsers
say where a request comes from, and programs that are no browsers say nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from mar.serving.errors import Refusal


def from_here(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a request comes from a page of the origin that it is sent to."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return urlsplit(headers.get("origin", "")).netloc == headers.get("host", "?")


def check_host(headers: Mapping[str, str]) -> None:
    """Answer only what is addressed to this machine by its own names, so that no site's name can be made to mean it.

    Raises:
        Refusal: It is addressed to another name.
    """
    if not _is_local(headers.get("host", "")):
        message = "this gateway needs no key, so it answers only as localhost or 127.0.0.1"
        raise Refusal(message, status=421, code="wrong_host")


def check_program(headers: Mapping[str, str]) -> None:
    """Let programs through, and pages of this gateway's own, but no page of another site.

    Raises:
        Refusal: It comes from elsewhere.
    """
    if ("origin" in headers or "sec-fetch-site" in headers) and not from_here(headers):
        message = "this gateway needs no key, so no page of another origin may ask it; make a key: mar keys create"
        raise Refusal(message, status=403, code="wrong_origin")
    check_host(headers)


@lru_cache(maxsize=64)  # clients say the same again and again
def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
