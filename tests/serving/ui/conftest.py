"""A gateway that really answers, and a browser that looks at it.

    def test_something(gateway, page):
        gateway.ask("What is 17*23?")
        page.open("/ui/live")

Where there is no Chromium, or it does not start, tests are skipped and say so.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from mar.controllers.cards import Cards
from mar.pool import Pool
from mar.serving.keys.key import Role, Terms
from mar.serving.state import Places, State, key_store
from tests.asking import served

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 60_000  # a busy machine takes its time


@dataclass(kw_only=True)
class Running:
    """A gateway on a thread of its own."""

    url: str
    store: str
    secrets: dict[str, str]  # by the role of the key; none: no key is needed

    def ask(self, text: str, *, key: str = "", **body: Any) -> str:
        """Have something answered; gives the episode's id."""
        body = {"model": "mar", "messages": [{"role": "user", "content": text}], **body}
        headers = {"authorization": f"Bearer {key}"} if key else {}
        reply = httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
        return reply.headers["x-mar-episode"]


class _Thread:
    """Runs a gateway until it is closed."""

    def __init__(self, pool: Pool, store: str, roles: tuple[Role, ...], controllers: Any, settings: Any) -> None:
        self._made = (pool, store, roles, controllers, settings)
        self._ready, self._thread = threading.Event(), threading.Thread(target=self._run)
        self.running: Running | None = None
        self._error: BaseException | None = None
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._error = error
            self._ready.set()

    async def _main(self) -> None:
        pool, store, roles, controllers, settings = self._made
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        secrets: dict[str, str] = {}
        if roles:
            async with key_store(store) as keys:
                for role in roles:
                    _, secrets[role] = await keys.create(f"the {role}", Terms(role=role, log="text"))
        async with served(pool, controllers, state=State(Places(store=store)), **settings) as gateway:
            self.running = Running(url=gateway.url, store=store, secrets=secrets)
            self._ready.set()
            await self._over.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()


@pytest.fixture
def gateways(tmp_path):
    """Starts gateways: `gateways(pool, roles=("admin",), controllers={...}, **settings)`."""
    with ExitStack() as stack:

        def start(pool: Pool, *, roles: tuple[Role, ...] = (), controllers: Any = None, **settings: Any) -> Running:
            thread = _Thread(pool, str(tmp_path / "store.sqlite"), roles, controllers or {"mar": Cards()}, settings)
            stack.callback(thread.close)
            assert thread.running is not None
            return thread.running

        yield start


@pytest.fixture(scope="module")  # while it is there, its event loop counts as running, and others' tests could run none
def browser() -> Iterator[Any]:
    """The distribution's Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = CHROMIUM if shutil.which(CHROMIUM) else shutil.which("chromium")
    if path is None:
        pytest.skip("there is no Chromium here; scripts/install_browser.sh installs the distribution's")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@dataclass(kw_only=True)
class Sight:
    """A page in the browser, and what it complained of."""

    tab: Any  # playwright's Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Any:
        """Go somewhere on the gateway."""
        self.tab.goto(self.url + path)
        return self.tab

    def log_in(self, secret: str) -> None:
        """Show a key."""
        self.open("/ui/login").fill("input[name=key]", secret)
        self.tab.click("main button")
        self.tab.wait_for_url("**/ui/live")

    @property
    def wide(self) -> int:
        """Pixels that the page is wider than the window."""
        return self.tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture
def look(browser):
    """Opens a window on a gateway: `look(gateway, width=400, dark=True)`. At the end nothing may have been complained
    of, and nothing loaded from elsewhere.
    """
    seen: list[Sight] = []
    with ExitStack() as stack:

        def opened(gateway: Running, *, width: int = 1280, dark: bool = False) -> Sight:
            context = browser.new_context(
                viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
            )
            stack.callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            sight = Sight(tab=context.new_page(), url=gateway.url)
            said = sight.complaints.append
            sight.tab.on("console", lambda m: said(m.text) if m.type in ("error", "warning") else None)
            sight.tab.on("pageerror", lambda error: said(str(error)))
            sight.tab.on("dialog", lambda dialog: dialog.accept())
            sight.tab.on(
                "request",
                lambda request: None if request.url.startswith((gateway.url, "data:")) else said(request.url),
            )
            seen.append(sight)
            return sight

        yield opened
        assert [complaint for sight in seen for complaint in sight.complaints] == []
