"""A small MCP server: over its standard streams, or over HTTP on loopback with its port on the first line of output.

python mcp_server.py [--http]
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("small")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Always fails."""
    raise ValueError("as always")


@server.tool()
def die() -> str:
    """Ends the server."""
    os._exit(3)


@server.tool()
async def hang() -> str:
    """Never comes back."""
    await asyncio.Event().wait()
    return ""


@server.tool(name="env.of")
def env_of(name: str) -> str:
    """What the server sees of its environment."""
    return os.environ.get(name, "(unset)")


def over_http() -> None:
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(server.streamable_http_app(), log_level="warning")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    if "--noise" in sys.argv:
        sys.exit("cannot start: no\nsuch thing")
    over_http() if "--http" in sys.argv else server.run()
