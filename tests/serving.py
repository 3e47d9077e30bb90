"""Servers of this machine: of HTTP on a thread of its own, and what stands in for vLLM."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

STAND_IN = Path(__file__).parent / "pool" / "stand_in_vllm.py"


class Server(ThreadingHTTPServer):
    """Holds as many new connections as a client opens at once: by default Python accepts the sixth that waits only by
    chance, and on a busy machine its first request is answered with a reset."""

    request_queue_size = 1024


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Generator[str]:
    """Serve meanwhile; gives host and port."""
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def send_json(handler: BaseHTTPRequestHandler, body: object) -> None:
    """Reply with an object of JSON."""
    reply = json.dumps(body).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(reply)))
    handler.end_headers()
    handler.wfile.write(reply)


def stand_in_vllm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment whose Python runs the stand-in for vLLM, whatever it is told to run."""
    place = folder / "env" / "bin"
    place.mkdir(parents=True)
    (place / "vllm").touch()
    (place / "python").write_text(f'#!/bin/sh\nexec {sys.executable} -S -B {STAND_IN} "$@"\n')
    (place / "python").chmod(0o755)
    monkeypatch.setenv("MAR_VLLM_ENV", str(folder / "env"))


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
