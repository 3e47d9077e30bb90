"""One file over HTTP: goes on where it stopped, is checked, and is there whole or not at all.

Bytes go to FILE.part. It is continued (Range) only when the server vouches that the file is still the same one
(If-Range with the entity tag that FILE.part.etag remembers) or when its checksum is known beforehand, which is checked
at the end anyway. The complete file is renamed into place.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from tenacity import Retrying, retry_if_exception_type, retry_if_not_exception_type, stop_after_attempt

from mar.errors import DataError
from mar.files import write_atomically
from mar.pool.network import http_client
from mar.tasks.catalogue import HUB_ADDRESS, Remote

TRIES = 4  # how often one call goes on after a connection that broke in the middle
CHUNK = 1 << 16  # bytes


class Unreachable(DataError):
    """A host gave no answer at all."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(f"cannot reach {host} ({why})")
        self.host = host


class Watch(Protocol):
    """Somebody who is told how a download goes on."""

    def start(self, what: str, *, done: int, total: int | None) -> None:
        """A transfer of `total` bytes begins (None: not known), of which `done` are there already."""
        ...

    def advance(self, by: int) -> None:
        """So many bytes more."""
        ...


def open_client() -> httpx.Client:
    """A client that follows redirects, takes proxies from the environment and asks for uncompressed bytes."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "mar-data"}
    timeout = httpx.Timeout(60, connect=10)
    return http_client(
        httpx.Client, address(f"{HUB_ADDRESS}/"), follow_redirects=True, timeout=timeout, headers=headers
    )


def address(url: str) -> str:
    """An address, on the mirror HF_ENDPOINT where it is one of the hub and such a mirror is set."""
    mirror = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    return f"{mirror}{url.removeprefix(HUB_ADDRESS)}" if mirror and url.startswith(f"{HUB_ADDRESS}/") else url


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(remote: Remote, to: Path, *, client: httpx.Client, watch: Watch) -> None:
    """Fetch one file, going on with what an earlier call left; a file that is there is kept.

    Raises:
        Unreachable: The host gave no answer.
        DataError: The host refused, the transfer broke too often (what came stays for the next call), the file is
            longer than its cap, or its checksum is not the known one (then nothing stays).
    """
    if to.exists():
        return
    part = to.with_name(f"{to.name}.part")
    _transfer_patiently(remote, part, client, watch)
    found = sha256_of(part)
    if remote.sha256 is not None and found != remote.sha256:
        _forget(part)
        raise DataError(f"{remote.url}: SHA-256 is {found}, expected {remote.sha256}; nothing was installed")
    os.replace(part, to)
    _forget(part)


UNREACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


def _transfer_patiently(remote: Remote, part: Path, client: httpx.Client, watch: Watch) -> None:
    broken = retry_if_exception_type(httpx.TransportError) & retry_if_not_exception_type(UNREACHED)
    patiently = Retrying(retry=broken, stop=stop_after_attempt(TRIES), reraise=True)
    try:
        patiently(_transfer, remote, part, client, watch)
    except UNREACHED as error:
        raise Unreachable(host_of(remote.url), str(error) or type(error).__name__) from None
    except httpx.TransportError as error:
        why, have = str(error) or type(error).__name__, part.stat().st_size if part.exists() else 0
        raise DataError(
            f"{remote.url} broke off after {have:,} bytes ({why}); run the command again to go on from there"
        ) from None
    except httpx.HTTPError as error:  # too many redirects and the like
        raise DataError(f"{remote.url}: {error}") from None


def host_of(url: str) -> str:
    """The host that an address will be asked at."""
    return urlsplit(address(url)).hostname or url


def _transfer(remote: Remote, part: Path, client: httpx.Client, watch: Watch) -> None:
    headers = _range_of(part, remote)
    with client.stream("GET", address(remote.url), headers=headers) as response:
        if response.status_code == 416:  # range not satisfiable
            _forget(part)
            raise httpx.ReadError("the part that was there does not fit the file")
        _refuse_errors(response, remote)
        done = _continues_at(response, part)
        total = _total(response, done)
        _refuse_length(remote, total or 0)
        part.parent.mkdir(parents=True, exist_ok=True)
        _remember_tag(part, response)
        watch.start(remote.name, done=done, total=total)
        _append(part, done, _capped(response, done, remote, watch))
    size = part.stat().st_size
    if total is not None and size != total:
        raise httpx.ReadError(f"{size:,} of {total:,} bytes came")


def _range_of(part: Path, remote: Remote) -> dict[str, str]:
    have = part.stat().st_size if part.exists() else 0
    tag = _tag_file(part).read_text(encoding="ascii") if _tag_file(part).exists() else ""
    if not have or not (tag or remote.sha256):
        return {}
    return {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})


def _refuse_errors(response: httpx.Response, remote: Remote) -> None:
    status = response.status_code
    if status in (401, 403):
        raise DataError(f"{remote.url}: the host refuses access ({status}); its terms may have to be accepted first")
    if status == 429 or status >= 500:
        raise DataError(f"{remote.url}: the host answers {status}; try again later")
    if status not in (200, 206):
        raise DataError(f"{remote.url}: the host answers {status}; the file may have moved")
    if response.headers.get("Content-Type", "").startswith("text/html"):  # a log-in page of some network, mostly
        raise DataError(f"{remote.url}: a web page came instead of the file")


def _continues_at(response: httpx.Response, part: Path) -> int:
    """How many bytes of the part stay: all of them when the server continues there, else none."""
    if response.status_code != 206:  # partial content
        return 0
    have = part.stat().st_size if part.exists() else 0
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != have:
        _forget(part)
        raise httpx.ReadError("the server continued at another place than asked")
    return have


def _total(response: httpx.Response, done: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return done + int(length) if length.isdecimal() and "Content-Encoding" not in response.headers else None


def _refuse_length(remote: Remote, length: int) -> None:
    if length > remote.cap_bytes:
        raise DataError(f"{remote.url} is longer than {remote.cap_bytes:,} bytes, the most that is taken for it")


def _capped(response: httpx.Response, done: int, remote: Remote, watch: Watch) -> Iterator[bytes]:
    for chunk in response.iter_bytes(CHUNK):
        done += len(chunk)
        _refuse_length(remote, done)
        watch.advance(len(chunk))
        yield chunk


def _append(part: Path, done: int, chunks: Iterator[bytes]) -> None:
    with part.open("ab" if done else "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _remember_tag(part: Path, response: httpx.Response) -> None:
    tag = response.headers.get("ETag", "")
    if tag.startswith('"') and tag.isascii() and "Content-Encoding" not in response.headers:
        write_atomically(_tag_file(part), tag)
    else:
        _tag_file(part).unlink(missing_ok=True)


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)
