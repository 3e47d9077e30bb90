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
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from mar.errors import ConfigError

ClientT = TypeVar("ClientT")
SCHEMES = ("http", "https", "socks5", "socks5h")


def http_client(make: Callable[..., ClientT], url: str, **options: Any) -> ClientT:
    """An HTTP client that reaches an address, and others with the same `proxy_of`.

    Args:
        make: The client's class.
        url: The address.
        options: Passed on to the class.

    Raises:
        ConfigError: The environment names a proxy or certificates that cannot be used.
    """
    proxy = proxy_of(url)
    try:
        _ = urlsplit(proxy or "").port  # reading it checks it
        return make(proxy=proxy, verify=_certificates(url), trust_env=False, **options)
    except ValueError:
        pass
    # Raised out here, and the value not quoted: it may hold a password.
    problem = "is no address; expected such as http://host:port or socks5://host:port"
    raise ConfigError(f"the proxy that the environment names for {_host(url)} {problem}")


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for an address; None: it is reached directly, as this machine always is.

    Raises:
        ConfigError: The proxy is of a kind that is not known.
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
    return proxy


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
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not url.startswith("https:") or not (file or folder):
        return True
    try:
        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    except OSError as error:
        names = " and ".join(name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name))
        raise ConfigError(f"{names}: no certificates can be read there ({error.strerror or error})") from None
