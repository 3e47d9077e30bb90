"""Looking something up in Wikipedia, over a transport that answers from the test."""

from __future__ import annotations

import httpx
import pytest

from mar import clock
from mar.errors import LookupUnavailable
from mar.runtime import NoLookup, WikipediaLookup

OTTER = {"title": "Otter", "extract": "Otters swim.", "index": 2}
SEA_OTTER = {"title": "Sea otter", "extract": "Sea otters float.", "index": 1}


def search(monkeypatch, answer, words="sea otter"):
    """The result of a search that the service answers so, and the request it was sent."""
    asked = []

    def serve(request):
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **kw: client(transport=httpx.MockTransport(serve), **kw))
    return clock.run(lambda: WikipediaLookup().search(words), virtual=True), asked[0]


def test_the_introductions_come_best_match_first(monkeypatch):
    pages = {"1": OTTER, "2": SEA_OTTER, "3": {"title": "Empty", "index": 3}}
    found, asked = search(monkeypatch, httpx.Response(200, json={"query": {"pages": pages}}))
    assert found == "Sea otter: Sea otters float.\n\nOtter: Otters swim."
    assert asked.url.params["gsrsearch"] == "sea otter"


def test_long_words_and_long_articles_are_cut(monkeypatch):
    page = {"title": "T", "extract": "x" * 9999, "index": 1}
    found, asked = search(monkeypatch, httpx.Response(200, json={"query": {"pages": {"1": page}}}), "w" * 999)
    assert len(found) == len("T: ") + 1500
    assert len(asked.url.params["gsrsearch"]) == 300


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("no network"),
        httpx.Response(503),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"query": {"pages": {"1": {"extract": "no title"}}}}),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"query": {"pages": {}}}),
    ],
    ids=["network", "status", "no json", "list", "no title", "nothing", "no pages"],
)
def test_whatever_goes_wrong_the_lookup_is_unavailable(monkeypatch, answer):
    with pytest.raises(LookupUnavailable, match="Wikipedia"):
        search(monkeypatch, answer)


def test_where_nothing_may_be_looked_up_every_search_says_so():
    with pytest.raises(LookupUnavailable, match="off in this run"):
        clock.run(lambda: NoLookup().search("x"), virtual=True)


@pytest.mark.anyio
async def test_a_proxy_that_cannot_be_used_is_a_failed_lookup_and_no_end_of_the_run(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "ftp://proxy:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    with pytest.raises(LookupUnavailable):
        await WikipediaLookup().search("x")
