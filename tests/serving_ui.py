"""What tests of the page share: logging in, tokens, and hostile texts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

HERE = {"sec-fetch-site": "same-origin"}  # what a browser says of a form on the page itself
HOSTILE = (
    "</pre></textarea><script>alert(1)</script><img src=x onerror=alert(1)>",
    "[a](javascript:alert(1)) javascript:alert(1) \" onclick='alert(1)'",
    "\x1b[31mred\x1b[0m \x00 \u202e reversed",
)
BROKEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def token_of(page):
    """The token that a change has to show."""
    return re.search(r"x-csrf&#34;: &#34;([0-9a-f]{64})", page.text)[1]


async def log_in(http, secret):
    page = await http.get("/ui/login")
    token = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)[1]
    return await http.post("/ui/login", data={"key": secret, "csrf": token}, headers=HERE)


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name.startswith("on") or name == "style" or (value or "").strip().lower().startswith("javascript:"):
                self.found.append(f"{tag} {name}={value}")
        if tag == "script" and not (dict(attrs).get("src") or "").startswith("/ui/static/"):
            self.found.append("a script")
        if tag == "img" and not (dict(attrs).get("src") or "").startswith(("/ui/static/", "data:")):
            self.found.append("an image")

    handle_startendtag = handle_starttag


def unsafe(page: str) -> list[str]:
    """What a browser would run of a page, or load from elsewhere, or could not show."""
    reader = _Reader()
    reader.feed(page)
    return reader.found + [repr(found) for found in BROKEN.findall(page)]
