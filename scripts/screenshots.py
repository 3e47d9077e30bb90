# pyright: basic
"""Write pictures of the page into docs/page: `uv run --no-sync python scripts/screenshots.py`.

They show a real gateway with a simulated pool: 4,000 made-up requests of the last month lie in its store, and some
dozens more are asked while pictures are taken. Needs playwright, and a Chromium at /usr/bin/chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from _made_up_traffic import QUESTIONS, Model, fill  # noqa: E402

from mar.pool.simulated import simulated_cards  # noqa: E402
from mar.serving.keys.key import Terms  # noqa: E402
from mar.serving.state import key_store  # noqa: E402

OUT = ROOT / "docs" / "page"
PORT, RUNS_PORT = 8141, 8142
MAR = str(Path(sys.executable).parent / "mar")
CHROMIUM = "/usr/bin/chromium"
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 400, "height": 800}
QUESTION = "A bat and a ball cost 1.10 together; the bat costs 1.00 more than the ball. What does the ball cost?"
SERVE = """
pool = "simulated"
[[controllers]]
name = "sequential"
router = "sequential"
[[controllers]]
name = "team"
router = "mbpp"
[rollout]
shadow = 1.0
shadow_run = 1.0
"""


@asynccontextmanager
async def running(*argv: str, port: int, folder: Path) -> AsyncGenerator[str]:
    """A command of mar that serves; gives its address."""
    with (folder / f"{port}.log").open("wb") as said:
        process = subprocess.Popen([MAR, *argv], stdout=said, stderr=said, cwd=folder)  # noqa: ASYNC220
        url = f"http://127.0.0.1:{port}"
        try:
            async with httpx.AsyncClient() as http:
                for _ in range(600):
                    try:
                        if (await http.get(f"{url}/ui/login")).status_code < 500:
                            break
                    except httpx.HTTPError:
                        pass
                    if process.poll() is not None:
                        raise SystemExit((folder / f"{port}.log").read_text()[-2000:])
                    await asyncio.sleep(0.2)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


async def keys_of(store: str) -> dict[str, tuple[str, str]]:
    """Keys of a gateway: id and secret by name."""
    terms = {
        "operator": Terms(role="admin", log="text"),
        "support desk": Terms(usd_day=2.0, usd_month=40.0, requests_per_minute=600),
        "search": Terms(usd_day=1.0, at_once=20),
        "night batch": Terms(usd_total=30.0, models=("gpt-4o-mini",)),
    }
    async with key_store(store) as found:
        made = {name: await found.create(name, one) for name, one in terms.items()}
    return {name: (key.id, secret) for name, (key, secret) in made.items()}


async def ask(url: str, secret: str, models: Sequence[str], n: int) -> None:
    """Some requests that are really asked, so that there are episodes to look at."""
    async with httpx.AsyncClient(base_url=url, timeout=120, headers={"authorization": f"Bearer {secret}"}) as http:
        limit = asyncio.Semaphore(6)

        async def one(number: int) -> None:
            body = {
                "model": models[number % len(models)],
                "messages": [{"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}],
            }
            async with limit:
                answer = await http.post("/v1/chat/completions", json=body)
            if answer.status_code == 200 and number % 3:
                rating = {"episode": answer.headers["x-mar-episode"], "thumb": "up" if number % 4 else "down"}
                await http.post("/v1/feedback", json=rating)

        await asyncio.gather(*(one(number) for number in range(n)))


async def log_in(page: Any, url: str, secret: str) -> None:
    """Begin a session."""
    await page.goto(f"{url}/ui/login")
    await page.fill("input[name=key]", secret)
    await page.click("button.first")
    await page.wait_for_url("**/ui/*")


async def shoot(page: Any, name: str, *, full: bool = False) -> None:
    """Write a picture, once nothing is loaded any more."""
    await page.wait_for_timeout(700)
    path = OUT / f"{name}.png"
    await page.screenshot(path=path, full_page=full)
    Image.open(path).quantize(128).save(path, optimize=True)  # a third of the size, and nobody sees it
    print(f"{name}.png, {path.stat().st_size // 1024} kB")


async def gateway_pictures(browser: Any, folder: Path) -> None:
    """Pictures of a gateway's views."""
    store = str(folder / "gateway.sqlite")
    keys = await keys_of(store)
    cards = list(simulated_cards("simulated"))
    models = [
        Model(name=c.name, price_in=c.price_in or 0.0, price_out=c.price_out or 0.0, seconds=s, right=r)
        for c, s, r in zip(cards, (0.7, 0.9, 1.6, 1.2, 2.0), (0.72, 0.78, 0.86, 0.8, 0.88), strict=False)
    ]
    ids = [keys[name][0] for name in ("support desk", "search", "night batch")]
    await fill(store, 4000, models, ids, days=30, rated=0.15)
    await fill(store, 600, models, ids, days=1 / 24, rated=0.0, seed=1)
    (folder / "serve.toml").write_text(SERVE)
    serve = ("serve", "--config", f"{folder}/serve.toml", "--store", store, "--port", str(PORT))
    async with running(*serve, port=PORT, folder=folder) as url:
        secret = keys["operator"][1]
        rollout = await asyncio.create_subprocess_exec(
            MAR, "rollout", "start", "cards", "--cost-rate", "3", "--for", "mar", "--store", store, cwd=folder
        )
        await rollout.wait()
        await asyncio.sleep(3)  # workers have taken it up
        await ask(url, secret, ("mar", "mar/sequential", "mar/team", cards[0].name), 36)
        for width, size in (("", WIDE), ("-400", NARROW)):
            context = await browser.new_context(viewport=size, color_scheme="light", device_scale_factor=1)
            page = await context.new_page()
            await log_in(page, url, secret)
            for view in ("live", "quality", "rollouts", "pool", "keys"):
                await page.goto(f"{url}/ui/{view}")
                if view == "quality":
                    await page.wait_for_selector("#estimates table")
                await shoot(page, f"{view}{width}", full=view in ("quality", "rollouts") and not width)
            await playground(page, url, f"playground{width}")
            await page.locator("a[href^='/ui/episodes/']").nth(1).click()  # why: of sequential's answer
            await page.wait_for_url("**/ui/episodes/*")
            await page.click("text=Plan anew")
            await page.wait_for_selector("#whatif *")
            await shoot(page, f"episode{width}", full=not width)
            await context.close()
        dark = await browser.new_context(viewport=WIDE, color_scheme="dark")
        page = await dark.new_page()
        await log_in(page, url, secret)
        await page.goto(f"{url}/ui/pool")
        await shoot(page, "pool-dark")


async def playground(page: Any, url: str, name: str) -> None:
    """One question to three at once."""
    await page.goto(f"{url}/ui/playground")
    await page.fill("textarea[name=question]", QUESTION)
    for model in ("mar", "mar/sequential", "mar/team"):
        await page.check(f"input[name=model][value='{model}']")
    await page.click("button.first")
    await page.wait_for_selector("#status:text-is('done')", timeout=120_000)
    await shoot(page, name)


async def run_pictures(browser: Any, folder: Path, runs: Path) -> None:
    """Pictures of a folder of runs."""
    async with running("ui", str(runs), "--port", str(RUNS_PORT), port=RUNS_PORT, folder=folder) as url:
        page = await browser.new_page(viewport={"width": 1280, "height": 380})
        await page.goto(f"{url}/ui/runs")
        await shoot(page, "runs")
        boxes = page.locator("input[name=run]")
        count = await boxes.count()
        for number in range(max(0, count - 2), count):
            await boxes.nth(number).check()
        await page.click("button:has-text('side by side')")
        await page.wait_for_selector("h1:text('beside')")
        await page.set_viewport_size(WIDE)
        await shoot(page, "runs-two", full=True)


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="a folder of runs; none: those pictures are left as they are")
    parser.add_argument("--only-runs", action="store_true", help="leave those of a gateway as they are")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)

    async def work() -> None:
        from playwright.async_api import async_playwright

        with tempfile.TemporaryDirectory(prefix="mar-page-") as name:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                if not options.only_runs:
                    await gateway_pictures(browser, Path(name))
                if options.runs is not None:
                    await run_pictures(browser, Path(name), options.runs.resolve())
                await browser.close()

    os.environ.pop("MAR_CACHE", None)
    asyncio.run(work())


if __name__ == "__main__":
    main()
