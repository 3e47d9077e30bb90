# pyright: basic
"""How soon the page is there, how late its live view is, and what an open one costs the gateway.

    uv run --extra gateway python benchmarks/page.py                    (--part paint live cost: some of it)

100,000 made-up requests of the last 30 days lie in the store. The gateway's one worker has the first core; upstream,
load and, where playwright and a Chromium are there, the browser have the second. First paint is what the browser says
(first-contentful-paint, from the navigation on), beside the time to the last byte of the page without a browser. The
delay is from sending a request to its line in the open live view. The cost is processor time of the worker's process a
request, in turns with and without a live view open.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from _gateway_load import Client, at_rate, body
from _gateway_upstream import Upstream
from _made_up_traffic import Model, fill
from _shared import machine
from gateway import POOL, Server, mar, server

from mar.serving.ui.live import PAUSE_MS

PARTS = ("paint", "live", "cost")
PORT = 8134
VIEWS = ("live", "quality", "quality?days=365", "pool", "pool?span=1440", "playground", "keys")
MODELS = (
    Model(name="small", price_in=0.1, price_out=0.1, seconds=0.6, right=0.71),
    Model(name="large", price_in=2.5, price_out=10.0, seconds=1.9, right=0.86),
)
CHROMIUM = Path("/usr/bin/chromium")
SECONDS = 15.0  # of each turn of the cost


async def get(path: str) -> tuple[int, float, int]:
    """Status, seconds to the last byte, and bytes of a page."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{PORT}\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read(-1)
    writer.close()
    return int(answer[9:12]), time.perf_counter() - began, len(answer)


@asynccontextmanager
async def browser() -> AsyncGenerator[Any]:
    """A page of a browser at 1280 pixels; None where there is no browser."""
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        print("no playwright: what a browser would say is left out")
        yield None
        return
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield await chromium.new_page(viewport={"width": 1280, "height": 900})
        await chromium.close()


async def paint(page: Any, times: int = 10) -> None:
    """First paint of every view."""
    print(
        "\n| view | bytes | last byte, ms: median | most | first paint, ms: median | most |\n|---|---|---|---|---|---|"
    )
    for view in VIEWS:
        path = f"/ui/{view}"
        await get(path)
        found = [await get(path) for _ in range(times)]
        if found[0][0] != 200:
            print(f"| {view} | {found[0][0]} | | | | |")
            continue
        bytes_ms = [1e3 * seconds for _, seconds, _ in found]
        cells = [view, f"{found[0][2]:,}", f"{statistics.median(bytes_ms):.0f}", f"{max(bytes_ms):.0f}"]
        if page is not None:
            painted = [await _painted(page, path) for _ in range(times)]
            cells += [f"{statistics.median(painted):.0f}", f"{max(painted):.0f}"]
        print(f"| {' | '.join(cells)} |{'' if page else ' | |'}")


async def _painted(page: Any, path: str) -> float:
    """Milliseconds to the first contentful paint."""
    await page.goto(f"http://127.0.0.1:{PORT}{path}", wait_until="load")
    script = """() => new Promise((done) => new PerformanceObserver((list) => {
        for (const one of list.getEntries()) if (one.name === "first-contentful-paint") done(one.startTime);
    }).observe({ type: "paint", buffered: true }))"""
    return await page.evaluate(script)


async def live(page: Any, rate: float, tries: int = 30) -> None:
    """How late the live view is while requests come at a rate."""
    if page is None:
        return
    await page.goto(f"http://127.0.0.1:{PORT}/ui/live?text=marked", wait_until="load")
    load = asyncio.ensure_future(
        at_rate(PORT, lambda n: body("mar", f"What is {n} + 1?"), rate=rate, requests=int(rate * 1.6 * tries))
    )
    await asyncio.sleep(2)
    late, client, draw = [], Client(PORT), random.Random(0)
    for number in range(tries):
        began = time.perf_counter()
        await client.post(body("mar", f"marked {number:04d}"))
        await page.wait_for_selector(f"text=marked {number:04d}", timeout=20_000)
        late.append(time.perf_counter() - began)
        await asyncio.sleep(0.5 + draw.random())  # at any moment between two polls
    outcomes = await load
    wrong = sum(o.status != 200 for o in outcomes)
    middle, most = 1e3 * statistics.median(late), 1e3 * max(late)
    print(f"\nLive view at {rate:.0f} requests/s: median {middle:.0f} ms, most {most:.0f} ms; not answered: {wrong}")


async def cost(page: Any, proxy: Server, rate: float, turns: int = 5) -> None:
    """What an open live view costs: processor time a request, in turns without and with it."""
    found: dict[bool, list[float]] = {False: [], True: []}

    async def poll() -> None:  # without a browser: what its live view asks, as often
        while True:
            await get("/ui/live/rows")
            await asyncio.sleep(PAUSE_MS / 1000)

    for turn in range(2 * turns):
        opened = bool(turn % 2)
        polling = None
        if page is not None:
            await page.goto(f"http://127.0.0.1:{PORT}/ui/live" if opened else "about:blank")
        elif opened:
            polling = asyncio.ensure_future(poll())
        await asyncio.sleep(1)
        before = proxy.cpu_s()
        outcomes = await at_rate(
            PORT, lambda n: body("mar", f"What is {n} + 2?"), rate=rate, requests=int(rate * SECONDS)
        )
        found[opened].append(1e3 * (proxy.cpu_s() - before) / len(outcomes))
        if polling is not None:
            polling.cancel()
    without, with_it = (statistics.median(found[opened]) for opened in (False, True))
    each = {("with" if opened else "without"): [round(ms, 3) for ms in found[opened]] for opened in (False, True)}
    print(f"\nCPU of a request at {rate:.0f} requests/s: {without:.3f} ms, {with_it:.3f} ms with a live view open")
    print(f"slower by {100 * (with_it / without - 1):.1f}% (each turn, ms: {json.dumps(each)})")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--episodes", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=200.0)
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})

    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="mar-page-") as name:
            folder = Path(name)
            store = str(folder / "gateway.sqlite")
            began = time.perf_counter()
            await fill(store, options.episodes, MODELS, ["key-a", "key-b", "key-c"], days=30, rated=0.05)
            print(f"{options.episodes:,} made-up requests were written in {time.perf_counter() - began:.0f} s")
            async with Upstream() as upstream:
                (folder / "pool.toml").write_text(POOL.format(port=upstream.port))
                (folder / "serve.toml").write_text(f'pool = "{folder}/pool.toml"\n')
                async with server(mar(folder, PORT, "--store", store), PORT, folder) as proxy, browser() as page:
                    if "paint" in options.part:
                        await paint(page)
                    if "live" in options.part:
                        await live(page, options.rate)
                    if "cost" in options.part:
                        await cost(page, proxy, options.rate / 2)

    print(f"{machine()}; {time.strftime('%Y-%m-%d')}")
    asyncio.run(run())


if __name__ == "__main__":
    main()
