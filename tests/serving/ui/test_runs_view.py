"""A folder of runs on the page: what strangers wrote is text, what is damaged is one line, and no gateway is needed."""

from __future__ import annotations

import asyncio

import httpx

from mar.serving.ui.alone import runs_app
from tests.evaluation.test_report import episode, make_run, row
from tests.serving_ui import HOSTILE, unsafe


def opened(root, main, host="127.0.0.1:8131"):
    """What comes of looking at the runs of a folder."""

    async def work():
        transport = httpx.ASGITransport(runs_app(root, 8131))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
            return await main(http)

    return asyncio.run(work())


def test_runs_are_listed_opened_and_set_side_by_side(tmp_path):
    make_run(tmp_path / "one", episodes=[episode(), episode("mbpp/2")])
    make_run(tmp_path / "two", episodes=[])

    async def main(http):
        paths = ("/ui/runs", "/ui/runs?text=two", "/ui/runs/one?run=one", "/ui/runs/one?run=one&run=two")
        return [await http.get(path) for path in (*paths, "/ui/runs/episode?run=one&at=1", "/ui/runs/report?run=one")]

    every, chosen, one, both, episode_page, report = opened(tmp_path, main)
    assert {page.status_code for page in (every, chosen, one, both, episode_page, report)} == {200}
    assert [name in every.text for name in ('value="one"', 'value="two"')] == [True, True]
    assert [name in chosen.text for name in ('value="one"', 'value="two"')] == [False, True]
    assert "mbpp/2" in one.text
    assert "one beside two" in both.text
    assert "two, validation" in both.text
    assert "#1" in episode_page.text
    assert "Report on 1 run" in report.text
    assert "sandbox" in report.headers["content-security-policy"]
    assert "frame-src 'self'" in one.headers["content-security-policy"]
    assert "frame-src" not in every.headers["content-security-policy"]


def test_what_is_not_there_or_damaged_is_one_line_and_no_way_out_of_the_folder(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "bad").mkdir()
    (runs / "bad" / "args.json").write_text("{")
    make_run(tmp_path / "outside", episodes=[])

    async def main(http):
        wanted = ("one?run=bad", "one?run=../outside", "one?run=none", "one", "episode?run=none&at=0")
        return await http.get("/ui/runs"), [await http.get(f"/ui/runs/{path}") for path in wanted]

    listed, refused = opened(runs, main)
    assert "bad/args.json" in listed.text
    assert [page.status_code for page in refused] == [422, 404, 404, 404, 404]


def test_only_this_machine_is_answered_by_its_own_name(tmp_path):
    async def main(http):
        return (await http.get("/ui/runs")).status_code

    assert opened(tmp_path, main) == 200
    assert opened(tmp_path, main, host="evil.example") == 421


def test_what_is_written_in_runs_is_text(tmp_path):
    for number, text in enumerate((*HOSTILE, "x" * 2**20)):
        rows = [row(text[:2000], "learned", 0.5, 0.1)]
        make_run(tmp_path / f"run {number}", episodes=[episode(text=text, query_id=text[:100])], rows=rows, label=text)

    async def main(http):
        paths = [f"/ui/runs/{door}run=run%20{n}" for n in range(4) for door in ("one?", "episode?at=0&")]
        return [await http.get(path) for path in ("/ui/runs", *paths)]

    for page in opened(tmp_path, main):
        assert page.status_code == 200
        assert unsafe(page.text) == []
        assert len(page.text) < 2**18  # of a text of a megabyte only its beginning is shown
