"""How servers are reached: which proxy stands between, and whose certificates count.

The environment says so, as everywhere (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR), but
it is read here and not by the HTTP clients: theirs raise on what is meant for other addresses, send requests to the
same machine through a proxy, and stumble over IPv6 addresses in NO_PROXY.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import certifi

from mar.errors import ConfigError

ClientT = TypeVar("ClientT")
SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How an address is reached."""

    proxy: str | None  # None: directly
    certificates: ssl.SSLContext | bool  # that count; True where there is no TLS

    @property
    def socks(self) -> bool:
        """Whether the proxy speaks SOCKS."""
        return self.proxy is not None and self.proxy.lower().startswith("socks5")


def route_to(url: str) -> Route:
    """How the environment wants an address to be reached.

    Raises:
        ConfigError: It names a proxy or certificates that cannot be used.
    """
    return Route(proxy=proxy_of(url), certificates=_certificates(url))


def http_client(make: Callable[..., ClientT], url: str, **options: Any) -> ClientT:
    """An HTTP client of httpx's that reaches an address.

    Args:
        make: The client's class.
        url: The address.
        options: Passed on to the class.

    Raises:
        ConfigError: The environment names a proxy or certificates that cannot be used.
    """
    route = route_to(url)
    return make(proxy=route.proxy, verify=route.certificates, trust_env=False, **options)


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for an address; None: it is reached directly, as this machine always is.

    Raises:
        ConfigError: It is no address, or of a kind that is not known. It is not quoted: it may hold a password.
    """
    host, found = _host(url), getproxies()
    proxy = found.get(urlsplit(url).scheme) or found.get("all")
    if not proxy or _is_local(host) or any(_covers(entry, host) for entry in found.get("no", "").split(",")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    proxy = "socks5" + proxy.removeprefix("socks") if proxy.startswith("socks://") else proxy
    if proxy.partition("://")[0].lower() not in SCHEMES:
        expected = ", ".join(SCHEMES)
        raise ConfigError(f"the proxy that the environment names for {host} is of no known kind; expected {expected}")
    if not _is_address(proxy):
        problem = "is no address; expected such as http://host:port or socks5://host:port"
        raise ConfigError(f"the proxy that the environment names for {host} {problem}")
    return proxy


def _is_address(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return bool(parts.hostname) and parts.port != 0  # reading the port checks it
    except ValueError:
        return False


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").lower()


def _is_local(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or host.endswith(".localhost") if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _covers(entry: str, host: str) -> bool:
    """Whether an entry of NO_PROXY is about a host: *, an address, a network, a name with all below it."""
    entry = entry.strip().lower()
    entry = entry[1:].partition("]")[0] if entry.startswith("[") else entry
    address = _address(host)
    if address is not None:
        try:
            return entry == "*" or address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return entry.rpartition(":")[0] == host
    name = entry.rpartition(":")[0] if entry.rpartition(":")[2].isdigit() else entry
    name = name.removeprefix("*").removeprefix(".")
    return entry == "*" or (bool(name) and (host == name or host.endswith(f".{name}")))


def _certificates(url: str) -> ssl.SSLContext | bool:
    """Those that the environment names, else Mozilla's: the machine itself may have none."""
    if not url.lower().startswith("https:"):
        return True
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    try:
        return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder or None)
    except OSError as error:
        names = " and ".join(name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name))
        raise ConfigError(f"{names}: no certificates can be read there ({error.strerror or error})") from None
