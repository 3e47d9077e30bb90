"""The page without a gateway: a folder of runs, for this machine alone."""

from __future__ import annotations

from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from mar.evaluation.report.folder import list_runs
from mar.serving.admission import Anybody
from mar.serving.ui.frame import Frame
from mar.serving.ui.lobby import Lobby
from mar.serving.ui.runs import runs_view

HOST = "127.0.0.1"


def runs_app(root: Path, port: int) -> Starlette:
    """The page about the runs below a folder.

    Raises:
        ConfigError: There is no such folder.
    """
    list_runs(root)
    lobby = Lobby(Anybody(), None, nobody="use", local=True, port=port)
    return Starlette(routes=Frame([runs_view(root)], lobby, {"simulated": False}).routes())


def serve_runs(root: Path, port: int) -> None:
    """Serve it to this machine until a signal ends it.

    Raises:
        ConfigError: There is no such folder.
    """
    config = uvicorn.Config(runs_app(root, port), host=HOST, port=port, log_level="warning", ws="none")
    socket = config.bind_socket()
    print(f"http://{HOST}:{socket.getsockname()[1]}/ui/runs", flush=True)
    uvicorn.Server(config).run(sockets=[socket])
