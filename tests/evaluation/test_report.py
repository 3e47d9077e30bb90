import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mar.errors import ConfigError, DataError
from mar.evaluation.report.conversation import Thought, converse
from mar.evaluation.report.facts import Confusion, Shares, Spread
from mar.evaluation.report.figures import FEWEST_STATED
from mar.evaluation.report.formats import clean, clip, usd
from mar.evaluation.report.graph import draw
from mar.evaluation.report.page import write_report
from mar.evaluation.report.pareto import Point, pareto_front
from mar.evaluation.report.picks import pick
from mar.evaluation.report.reading import read_run
from mar.runtime import write_episodes
from mar.types import (
    AgentSpec,
    Belief,
    CallAnswered,
    CallFailed,
    Considered,
    Decided,
    Episode,
    EpisodeStarted,
    Failure,
    ModeSpec,
    Option,
    PassedThrough,
    Plan,
    StepBound,
    ToolRan,
    Usage,
    Why,
)

HOSTILE = (
    "</pre></details><script>alert('x')</script><img src=\"https://evil.example/x\" onerror='y'>\x00\u202e$\\frac{"
)
VOID = {"meta", "img", "source", "br", "link"}


class Checker(HTMLParser):
    """Collects what a page loads or runs, and whether every element is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.addresses, self.handlers, self.text = [], set(), [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in {"src", "srcset", "href", "action", "data", "xlink:href"}:
                self.addresses.append(value)
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def check(page):
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def plan(domain="Code"):
    agents = (AgentSpec(role="Programmer", model="a"), AgentSpec(role="Inspector", model="b"))
    return Plan(mode=ModeSpec(name="Chain"), domain=domain, agents=agents)


def answered(index, *, t, call="agent", text="hello", read=(), cost=0.001, round=0, model="a"):
    return CallAnswered(
        t=t, index=index, round=round, call=call, model=model, message_id=f"m{index}{call}{round}", prompt=(),
        text=text, reasoning="", latency_s=1.0,
        usage=Usage(calls=1, prompt_tokens=10, completion_tokens=5, cost_usd=cost),
        ttft_s=None, mean_logprob=None, attempts=1, cached=False, read=read,
    )  # fmt: skip


def episode(query_id="mbpp/1", *, text="hello", cost=0.001, domain="Code", failure=None):
    events = (
        EpisodeStarted(t=0.0, plan=plan(domain), query_id=query_id, query=text, call_bound=3, stage_bound=3),
        StepBound(
            t=0.0, index=0, round=0, role="Programmer", model="a", strategy=None, priority=0, log_prob=None, wave=0
        ),
        answered(0, t=1.0, text=text, cost=cost),
        ToolRan(t=1.0, index=0, round=0, tool="run_tests", summary=text, ok=False),
        PassedThrough(t=1.5, index=1, round=0, source="m0agent0", text=text, message_id="p"),
        answered(2, t=3.0, call="decider", text=text, read=("m0agent0", "p"), cost=cost),
        Decided(t=3.0, text=text, answer=text, how="final"),
    )  # fmt: skip
    return Episode(query_id=query_id, plan=plan(domain), events=events, latency_s=3.0, failure=failure)


def row(name, group, accuracy, cost):
    interval = {"mean": accuracy, "low": accuracy, "high": accuracy}
    return {
        "name": name, "group": group, "n": 2, "n_failed": 1, "accuracy": interval, "utility": interval,
        "cost_usd_per_100": cost, "calls_per_query": 2.0, "latency_p50_s": 1.0, "latency_p95_s": 2.0,
    }  # fmt: skip


def make_run(folder, *, episodes, rows=(), label=" (simulated pool)", arguments=None):
    folder.mkdir()
    (folder / "args.json").write_text(json.dumps({"pool": "auto", **(arguments or {})}))
    rows = rows or [row("MasRouter", "learned", 0.5, 0.2), row("a", "single LLM", 0.4, None)]
    results = {
        "title": f"mbpp, 2 test items{label}",
        "notes": {"pool": "live, 2 models"},
        "cost_rate": 1.0,
        "rows": rows,
    }
    (folder / "results.json").write_text(json.dumps(results))
    item = {"value": 0.0, "solved": False, "cost_usd": None, "calls": 2, "latency_s": 3.0, "failure": None}
    items = [{"query_id": e.query_id, **item} for e in episodes]
    (folder / "items.json").write_text(json.dumps({"MasRouter": items}))
    steps = [
        {"step": s, "loss": 1.0, "utility": 0.1 * s, "accuracy": 0.5, "cost_usd": 0.01, "agents": 2} for s in (1, 2)
    ]
    check = {"step": 2, "validation_utility": 0.3, "validation_accuracy": 0.5, "validation_cost_usd": 0.01}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(m) + "\n" for m in [*steps, check]))
    write_episodes(folder / "episodes-test.jsonl", episodes)
    return folder


def report(tmp_path, *folders):
    out = tmp_path / "report.html"
    files = write_report(folders, out)
    return out.read_text(encoding="utf-8"), files


# The Pareto front -------------------------------------------------------------------------------------------


def test_the_front_holds_what_nothing_beats_at_its_cost():
    # (2, .7) loses to (1, .7): as accurate, cheaper. (4, .6) loses to both (1, .7) and (3, .9). (3, .8) to (3, .9).
    found = [(3, 0.9), (1, 0.7), (2, 0.7), (4, 0.6), (3, 0.8), (0, 0.1)]
    assert pareto_front([Point(cost=c, accuracy=a) for c, a in found]) == [5, 1, 0]


def test_equal_points_are_on_the_front_together_and_unknown_costs_never():
    found = [(1, 0.5), (1, 0.5), (None, 1.0), (0.5, None)]
    assert pareto_front([Point(cost=c, accuracy=a) for c, a in found]) == [0, 1]
    assert pareto_front([]) == []


# Figures ----------------------------------------------------------------------------------------------------


def test_shares_add_up_largest_first():
    parts = Shares.of("Modes", "episodes", ["IO", "CoT", "IO", "IO"]).parts
    assert [(p.name, p.count, p.share) for p in parts] == [("IO", 3, 0.75), ("CoT", 1, 0.25)]
    assert Shares.of("Modes", "episodes", []).parts == ()


def test_the_confusion_counts_true_domains_by_recognised_ones():
    confusion = Confusion.of([("Code", "Code"), ("Code", "Math"), ("Math", "Math")])
    assert confusion.counts == ((1, 0, 0), (0, 0, 0), (1, 0, 1))  # Math, Commonsense, Code
    assert (confusion.right, confusion.n) == (2, 3)


def test_a_spread_of_nothing_is_undefined():
    assert Spread.of([]).mean is None
    assert Spread.of([1, 2, 6]).mean == 3


def test_unknown_cost_is_said():
    assert usd(None) == "unknown"
    assert usd(0.5) == "0.5000"


def test_a_clipped_text_keeps_to_its_size_on_the_page_and_says_what_is_left_out():
    # "<" takes 4 bytes as "&lt;", so 10 bytes hold two of them.
    assert clip("<<<<<", 10) == "<<\n… 3 more characters are in the run's folder"
    assert clip("<<", 10) == "<<"


def test_control_characters_and_reordering_marks_are_replaced():
    assert clean("a\x00b\ud800c\u202ed\r\ne\tf") == "a\ufffdb\ufffdc\ufffdd\ne\tf"


# Conversations ----------------------------------------------------------------------------------------------


def test_a_conversation_numbers_its_utterances_and_knows_who_read_what():
    conversation = converse(episode())
    assert conversation.lanes == ("1 Programmer", "2 Inspector", "decider")
    assert [(u.number, u.kind, u.read) for u in conversation.utterances] == [
        (1, "agent", ()),
        (2, "passed on", (1,)),
        (3, "decider", (1, 2)),
    ]


def test_boxes_stand_right_of_what_they_read_and_an_arrow_leads_there():
    graph = draw(converse(episode()))
    xs = [box.x for box in graph.boxes]
    assert xs == sorted(set(xs))
    assert len(graph.arrows) == 3
    assert [band.name for band in graph.bands] == ["round 1", "decision"]


def test_a_failed_call_is_a_box_too_and_an_empty_episode_is_drawn():
    failed = CallFailed(
        t=2.0, index=0, round=0, call="agent", model="a", failure=Failure(kind="timeout", reason="slow"), latency_s=2.0
    )
    both = (Episode(query_id="q", plan=plan(), events=events, latency_s=2.0) for events in ((failed,), ()))
    with_failure, empty = (draw(converse(e)) for e in both)
    assert [box.utterance.failed for box in with_failure.boxes] == [True]
    assert empty.boxes == ()
    assert len(empty.lanes) == 2


WHY = Why(
    because="the test fails",
    beliefs=(Belief(answer="41<", probability=0.25),),
    options=(Option(action="ask b", right=0.8, usd=0.001, seconds=2.5, utility=0.75), Option(action="settle")),
)


def stepwise():
    """Agent 1, then agent 2, who has read nothing, decided step by step."""

    def bound(index, t):
        about = {"strategy": None, "priority": 0, "log_prob": None, "wave": 0}
        return StepBound(t=t, index=index, round=0, role="Programmer", model="ab"[index], **about)

    events = (
        EpisodeStarted(
            t=0.0, plan=None, policy="looker", query_id="mbpp/1", query="?", call_bound=None, stage_bound=None
        ),
        *(bound(0, 0.0), answered(0, t=1.0), Considered(t=1.0, index=1, round=0, why=WHY)),
        *(bound(1, 1.0), answered(1, t=2.0), Considered(t=2.0, index=None, round=None, why=WHY)),
        Decided(t=2.0, text="hello", answer="hello", how="chosen"),
    )
    return Episode(query_id="mbpp/1", plan=None, policy="looker", events=events, latency_s=2.0)


def test_a_sequential_episode_is_drawn_in_the_order_of_its_steps():
    conversation = converse(stepwise())
    assert conversation.lanes == ("1 Programmer", "2 Programmer")
    first, second = draw(conversation).boxes
    assert first.x < second.x
    thoughts = [e for e in conversation.entries if isinstance(e, Thought)]
    assert [(t.t, t.who, t.why) for t in thoughts] == [(1.0, "2 Programmer", WHY), (2.0, "", WHY)]


def test_what_a_policy_believed_and_could_have_done_is_on_the_page(tmp_path):
    page, _ = report(tmp_path, make_run(tmp_path / "run", episodes=[stepwise()]))
    text = " ".join(" ".join(check(page).text).split())
    assert "before 2 Programmer : the test fails" in text
    assert "41< 25.0%" in text
    assert "ask b 80.0 0.001000 2.5 0.7500" in text
    assert "settle – – – –" in text
    assert "looker, 2 agents; 2 calls" in text


def test_what_was_stated_at_the_end_is_drawn_beside_what_came_of_it(tmp_path):
    episodes = [replace(stepwise(), query_id=f"mbpp/{i}") for i in range(FEWEST_STATED)]
    run = make_run(tmp_path / "run", episodes=episodes, rows=[row("looker", "learned", 0.5, 0.2)])
    items = json.loads((run / "items.json").read_text())["MasRouter"]
    (run / "items.json").write_text(
        json.dumps({"looker": [{**item, "solved": i == 0} for i, item in enumerate(items)]})
    )

    page, files = report(tmp_path, run)

    stated = WHY.options[0].right
    assert read_run(run, 1).stated == ((stated, True), *[(stated, False)] * (FEWEST_STATED - 1))
    assert "reliability-1.png" in [f.name for f in files]
    assert "What was believed, and what was so" in page


def test_nothing_is_drawn_where_nothing_was_stated(tmp_path):
    page, files = report(tmp_path, make_run(tmp_path / "run", episodes=[episode()] * FEWEST_STATED))
    assert "reliability-1.png" not in [f.name for f in files]
    assert "What was believed, and what was so" not in page


# The page ---------------------------------------------------------------------------------------------------


def test_hostile_text_is_shown_and_never_run(tmp_path):
    rows = [row(f"MasRouter{HOSTILE[:60]}", "learned", 0.5, 0.2), row("$\\frac{", HOSTILE[:40], 0.4, 0.3)]
    bad = episode(text=HOSTILE, failure=Failure(kind="no_answer", reason=HOSTILE))
    folder = make_run(tmp_path / "run", episodes=[bad], rows=rows, label=HOSTILE)
    (folder / "items.json").unlink()
    page, _ = report(tmp_path, folder)
    checker = check(page)
    assert "script" not in checker.tags
    assert checker.handlers == []
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    shown = page[page.index('<section id="episodes">') :]
    assert (
        shown.count("<pre>&lt;/pre&gt;&lt;/details&gt;&lt;script&gt;alert(&#39;x&#39;)") == 5
    )  # query, answer, 3 messages


def test_the_page_loads_nothing_from_elsewhere_and_forbids_it(tmp_path):
    page, files = report(tmp_path, make_run(tmp_path / "run", episodes=[episode(text=HOSTILE)]))
    checker = check(page)
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in checker.addresses)
    assert {a[1:] for a in checker.addresses if a.startswith("#")} <= set(checker.ids)
    assert len(checker.ids) == len(set(checker.ids))
    assert "default-src 'none'; script-src 'none'" in page
    assert not re.search(r"url\((?!#)|@import", page)
    assert sorted(f.name for f in files[1:]) == sorted(p.name for p in (tmp_path / "report").iterdir())
    assert "trade_off-1.png" in {f.name for f in files}


def test_simulated_stands_wherever_the_pool_was(tmp_path):
    simulated = make_run(tmp_path / "one", episodes=[episode()])
    live = make_run(tmp_path / "two", episodes=[episode()], label="")
    assert "simulated" not in report(tmp_path, live)[0].partition("</style>")[2]
    page, _ = report(tmp_path, simulated)
    sections = page.split("<section ")[1:]
    assert len(sections) == 9
    assert all("simulated" in section for section in sections)


def test_unknown_costs_n_and_failed_counts_are_on_the_page(tmp_path):
    failed = episode("mbpp/2", cost=None, failure=Failure(kind="no_answer", reason="nobody"))
    page, _ = report(tmp_path, make_run(tmp_path / "run", episodes=[episode(), failed]))
    text = " ".join(check(page).text)
    assert "unknown" in text
    assert "1 of n = 2 test episodes, 1 failed; 1 of unknown cost are not ranked." in text
    assert "failed: no_answer" in text
    assert "Recognised: 2 of 2 (100.0%)" in text


def test_a_run_that_was_interrupted_is_listed_with_what_is_missing(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "args.json").write_text('{"pool": "simulated"}')
    page, files = report(tmp_path, folder)
    check(page)
    assert len(files) == 1
    for name in ("results.json", "items.json", "metrics.jsonl", "episodes-test.jsonl"):
        assert name in page
    assert str(tmp_path) not in page


def test_damaged_files_are_gaps_and_what_came_before_the_damage_counts(tmp_path):
    folder = make_run(tmp_path / "run", episodes=[episode()])
    (folder / "results.json").write_text("{")
    with (folder / "episodes-test.jsonl").open("a") as file:
        file.write('{"query_id": ')
    run = read_run(folder, 1)
    assert {gap.file for gap in run.gaps} == {"results.json", "episodes-test.jsonl"}
    assert len(run.facts) == 1
    page, _ = report(tmp_path, folder)
    assert "episodes-test.jsonl, line 2" in page
    assert str(tmp_path) not in page


def test_a_given_domain_is_not_counted_as_recognised(tmp_path):
    folder = make_run(tmp_path / "run", episodes=[episode()], arguments={"paper_faithful": True})
    page, _ = report(tmp_path, folder)
    assert "No episodes whose domain was recognised." in page
    assert "1 run (--paper_faithful)" in page


def test_failures_come_before_wrong_answers_and_the_most_expensive_first(tmp_path):
    failed = episode("mbpp/3", cost=0.0001, failure=Failure(kind="no_answer", reason="nobody"))
    episodes = [episode("mbpp/1", cost=0.001), episode("mbpp/2", cost=0.01), failed]
    picks = pick([read_run(make_run(tmp_path / "run", episodes=episodes), 1)], shown=2)
    assert [p.facts.query_id for p in picks.expensive] == ["mbpp/2", "mbpp/1"]
    assert [p.facts.query_id for p in picks.failed] == ["mbpp/3", "mbpp/2"]
    assert len(picks.shown) == 3


def test_long_texts_keep_the_page_small(tmp_path):
    episodes = [episode(f"mbpp/{i}", text="<" * 100_000) for i in range(25)]
    page, _ = report(tmp_path, make_run(tmp_path / "run", episodes=episodes))
    assert len(page.encode()) < 2_000_000


def test_a_folder_that_is_no_run_and_a_page_that_is_no_file_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no run: it has no args\.json"):
        write_report([tmp_path], tmp_path / "report.html")
    with pytest.raises(ConfigError, match=r"ends in \.html"):
        write_report([], tmp_path)
