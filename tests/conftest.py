"""For all tests."""

import os
import shlex
import signal
import sys

import pytest
from hypothesis import settings

from tests.machine import SETTINGS

# Each core has its own process of tests already, and what these compute is small: on a busy machine threads would wait
# for each other far longer than they compute. Read by PyTorch when it is loaded, and by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# How long an example takes says something about the machine only.
settings.register_profile("mar", deadline=None)
settings.load_profile("mar")


@pytest.fixture(autouse=True, scope="session")
def _the_same_on_every_machine():
    """No setting from outside, and Ctrl-C works: what a script starts in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def registries(monkeypatch, tmp_path):
    """What a test registers is forgotten after it, and so are the modules of its folder."""
    from mar.controllers.embeddings import ENCODERS
    from mar.controllers.registry import CONTROLLERS
    from mar.controllers.routers import ROUTERS
    from mar.runtime import CHECKS, MODES, TOOLS
    from mar.tasks.grading.function import GRADERS

    for registry in (CHECKS, CONTROLLERS, ENCODERS, GRADERS, MODES, ROUTERS, TOOLS):
        monkeypatch.setattr(registry, "_known", dict(registry._known))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def mar_command(tmp_path, monkeypatch, capsys):
    """Calls `mar` in a folder of its own, where nothing is configured; it must end well. Gives output and errors."""
    for name in ("URL", "KEY", "MODEL_BASE_URLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def call(words):
        from mar.cli.main import main

        monkeypatch.setattr(sys, "argv", ["mar", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert not ended.value.code, f"mar {shlex.join(words)}: {said.err}"
        return said.out, said.err

    return call
