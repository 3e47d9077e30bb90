"""Which proxy stands between us and a server, and what of the environment cannot be used."""

from __future__ import annotations

import httpx
import pytest

from mar.errors import ConfigError
from mar.pool.network import http_client, proxy_of, route_to

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]:8/v1", "http://127.9.9.9", "http://a.localhost"],
)
def test_this_machine_is_always_reached_directly(url, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://proxy:3128")
    assert proxy_of(url) is None


@pytest.mark.parametrize(
    ("entry", "url", "direct"),
    [
        ("*", "http://x.org", True),
        ("x.org", "http://x.org", True),
        ("x.org", "http://api.x.org", True),
        (".x.org", "http://api.x.org", True),
        ("x.org:8000", "http://x.org:8000", True),
        ("x.org", "http://notx.org", False),
        ("10.0.0.0/8", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("fd00::/8", "http://[fd00::1]:8000/v1", True),
        ("[fd00::1]", "http://[fd00::1]/v1", True),
        ("[fd00::1]:80", "http://[fd00::1]/v1", True),
        ("a, b ,10.1.2.3", "http://10.1.2.3", True),
        ("", "http://x.org", False),
    ],
)
def test_no_proxy_names_hosts_addresses_and_networks(entry, url, direct, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "proxy:3128")
    monkeypatch.setenv("NO_PROXY", entry)
    assert proxy_of(url) == (None if direct else "http://proxy:3128")


def test_a_scheme_s_own_proxy_goes_before_the_one_for_all(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks://s:1080/")
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    assert proxy_of("https://x.org") == "http://p:1"
    assert proxy_of("http://x.org") == "socks5://s:1080/"


@pytest.mark.parametrize("proxy", ["socks5://user:word@p:1080", "socks5h://p:1080", "socks://p:1080"])
def test_a_socks_proxy_is_used(proxy, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", proxy)
    assert route_to("https://x.org/v1").socks
    assert http_client(httpx.AsyncClient, "https://x.org/v1")  # which fails where the library for it is missing


@pytest.mark.parametrize("proxy", ["ftp://user:canary@p:1", "http://user:canary@p:99999999"])
def test_a_proxy_that_cannot_be_used_is_one_line_without_its_password(proxy, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigError, match=r"proxy that the environment names for x\.org") as caught:
        http_client(httpx.AsyncClient, "https://x.org/v1")
    assert "canary" not in str(caught.value)
    http_client(httpx.AsyncClient, "http://127.0.0.1/v1")  # of no concern to others


def test_certificates_that_are_not_there_are_named_by_their_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE: no certificates"):
        http_client(httpx.AsyncClient, "https://x.org/v1")
    http_client(httpx.AsyncClient, "http://127.0.0.1/v1")
