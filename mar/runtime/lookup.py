"""Looking something up: a small protocol, and Wikipedia behind it."""

from __future__ import annotations

from typing import Any, Protocol

from mar.errors import ConfigError, LookupUnavailable
from mar.pool.network import http_client


class Lookup(Protocol):
    """A reference that answers a few search words with a short text."""

    async def search(self, words: str) -> str:
        """What the reference says.

        Raises:
            LookupUnavailable: There is no answer; the agent goes on without.
        """
        ...


class NoLookup:
    """Stands in where nothing may be looked up: every search fails and is recorded as such."""

    async def search(self, words: str) -> str:
        """Always fails."""
        raise LookupUnavailable("look-ups are off in this run")


class WikipediaLookup:
    """The introductions of the best matching articles of Wikipedia."""

    def __init__(self, *, url: str = "https://en.wikipedia.org/w/api.php", timeout_s: float = 10.0) -> None:
        self.url = url
        self.timeout_s = timeout_s

    async def search(self, words: str) -> str:
        """The first paragraphs of up to three articles.

        Raises:
            LookupUnavailable: No network, an error of the service, or nothing found.
        """
        import httpx  # only look-ups need it here

        params = {
            "action": "query",
            "format": "json",
            "generator": "search",
            "gsrsearch": words[:300],
            "gsrlimit": "3",
            "prop": "extracts",
            "exintro": "1",
            "explaintext": "1",
        }
        try:
            headers = {"User-Agent": "mar (research)"}
            client = http_client(httpx.AsyncClient, self.url, timeout=self.timeout_s, headers=headers)
            async with client:
                reply = await client.get(self.url, params=params)
                reply.raise_for_status()
                found = _introductions(reply.json())
        except (httpx.HTTPError, ConfigError, ValueError, AttributeError, KeyError, TypeError) as error:
            raise LookupUnavailable(f"Wikipedia did not answer: {type(error).__name__}") from None
        if not found:
            raise LookupUnavailable(f"Wikipedia has nothing on {words[:80]!r}")
        return "\n\n".join(found)


def _introductions(answer: dict[str, Any]) -> list[str]:
    pages = answer.get("query", {}).get("pages", {}).values()
    best_first = sorted(pages, key=lambda page: page.get("index", 0))  # the service lists them by page id
    return [f"{page['title']}: {page['extract'][:1500]}" for page in best_first if page.get("extract")]
