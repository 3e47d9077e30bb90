"""A service: many queries on one open pool, planned off the event loop, within one limit."""

import threading

import anyio
import pytest

import mar
from mar import clock
from mar.controllers.baselines import single, vote
from mar.controllers.cards import Cards
from mar.errors import ConfigError
from mar.pool.scripted import scripted_pool
from mar.runtime.sandbox import Sandbox, TestJob
from mar.runtime.toolkit import McpServer
from mar.types import Budget, ChatReply, ToolCall, ToolCalled


def serve(pool, main, *args, virtual=False, **options):
    async def opened():
        async with mar.Service(pool, *args, **options) as service:
            return await main(service)

    return clock.run(opened, virtual=virtual)


def test_queries_are_answered_one_after_the_other_and_at_once():
    pool = scripted_pool(lambda request: request.messages[-1].text.count("?") * "!", latency_s=1.0)

    async def main(service):
        first = await service.answer("a?")
        began = anyio.current_time()
        rest = await service.batch([f"{n}??" for n in range(10)])
        return first, rest, anyio.current_time() - began

    first, rest, seconds = serve(pool, main, virtual=True)
    assert first.answer.startswith("!")
    assert [e.answer for e in rest] == [rest[0].answer] * 10
    assert seconds == 1.0


class InThreads:
    """Says which thread plans how many queries at once."""

    name = "in threads"

    def __init__(self):
        self.seen = []
        self.inner = single("a", "Code")

    def plan(self, queries, space):
        self.seen.append((threading.get_ident(), len(queries)))
        if any("never" in q.text for q in queries):
            raise ConfigError("this one cannot be planned")
        return self.inner.plan(queries, space)


def test_plans_are_made_in_a_thread_for_all_who_wait():
    controller = InThreads()
    serve(scripted_pool(lambda request: "x"), lambda service: service.batch([f"q{n}" for n in range(8)]), controller)
    assert threading.get_ident() not in {thread for thread, _ in controller.seen}
    assert sum(count for _, count in controller.seen) == 8
    assert len(controller.seen) < 8  # those that came while the first was planned were planned together


def test_a_query_that_cannot_be_planned_fails_alone():
    found = {}

    async def main(service):
        async def ask(text):
            try:
                found[text] = (await service.answer(text)).answer
            except ConfigError as error:
                found[text] = str(error)

        async with anyio.create_task_group() as tasks:
            for text in ("a", "never", "b", "c"):
                tasks.start_soon(ask, text)

    serve(scripted_pool(lambda request: "x"), main, InThreads())
    assert found == {"a": "x", "never": "this one cannot be planned", "b": "x", "c": "x"}


def test_a_limit_of_the_service_holds_for_all_queries_together():
    pool = scripted_pool(
        lambda request: "x", ("a",), price_in=1.0, price_out=1.0
    )  # 1,024 tokens out: 0.001 USD at most

    async def main(service):
        return await service.batch([f"q{n}" for n in range(20)], limit=1)

    episodes = serve(pool, main, limit_usd=0.003)
    answered = [e for e in episodes if e.answer is not None]
    assert 0 < len(answered) < 20
    assert sum(e.cost_usd for e in episodes) <= 0.003
    assert {e.failures[0].kind for e in episodes if e.answer is None} == {"limit"}


def test_a_budget_of_ones_own_goes_before_the_services():
    pool = scripted_pool(lambda request: "x", latency_s=10.0)

    async def main(service):
        return [(await service.answer("q", budget=b)).answer for b in (None, Budget(seconds=60))]

    assert serve(pool, main, virtual=True, budget=Budget(seconds=1)) == [None, "x"]


def test_every_episode_is_shown_to_who_wants_to_see_it():
    seen = []
    serve(scripted_pool(lambda request: "x"), lambda service: service.batch(["a", "b"]), on_episode=seen.append)
    assert {e.answer for e in seen} == {"x"}
    assert len(seen) == 2


def test_a_service_that_is_not_open_says_so():
    with pytest.raises(ConfigError, match="not open"):
        anyio.run(mar.Service(scripted_pool(lambda request: "x")).answer, "q")


def test_threads_with_a_loop_each_share_a_pool():
    pool = scripted_pool(lambda request: request.messages[-1].text[-3:])
    answers = {}

    def work(name):
        answers[name] = [e.answer for e in serve(pool, lambda service: service.batch(["q"] * 5))]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {len(found) for found in answers.values()} == {5}
    assert len(pool.model.requests) == 15


def test_a_pool_is_entered_by_many_and_closed_by_the_last():
    pool = scripted_pool(lambda request: "x")

    async def main():
        async with pool, pool, mar.Service(pool) as service:
            async with mar.Service(pool) as other:
                assert (await other.answer("a")).answer == "x"
            return (await service.answer("b")).answer

    assert anyio.run(main) == "x"


def test_code_of_a_plan_is_run_although_the_sandbox_starts_with_the_first_job():
    async def main():
        async with Sandbox(workers=1, at_once=False) as sandbox:
            return (await sandbox.run_tests(TestJob(code="def f(): return 1", tests=("assert f() == 1",)))).passed

    assert anyio.run(main)


async def pieces_of(service, query):
    async with service.stream(query) as answer:
        return [piece.text async for piece in answer], answer


def test_an_answer_is_shown_while_it_is_written_and_ends_with_its_episode():
    pool = scripted_pool(lambda request: "an answer")
    pieces, answer = serve(pool, lambda service: pieces_of(service, "q"), single("a", "Math"))
    assert pieces == ["an answer"]
    assert answer.episode.answer == "an answer"


def test_an_answer_whose_last_call_is_not_known_comes_whole_at_the_end():
    pieces, answer = serve(
        scripted_pool(lambda request: "voted"), lambda s: pieces_of(s, "q"), vote(["a", "b"], "Math")
    )
    assert pieces == ["voted"]
    assert len(list(answer.episode.calls())) == 2


def test_who_leaves_a_stream_calls_off_what_is_under_way():
    pool = scripted_pool(lambda request: "late", latency_s=100.0)

    async def main(service):
        with anyio.move_on_after(1):
            await pieces_of(service, "q")
        return anyio.current_time(), service._runtime.ledger.spent.uncertain_calls

    began, uncertain = serve(pool, main, virtual=True)
    assert began == 1
    assert uncertain == 1


def test_the_cards_are_asked_on_the_event_loop():
    class Here(Cards):
        def planned(self, query, space, *, because=""):
            threads.append(threading.get_ident())
            return super().planned(query, space, because=because)

    threads = []
    serve(scripted_pool(lambda request: "x"), lambda service: service.answer("q"), Here())
    assert threads == [threading.get_ident()]


def twice(number: float) -> float:
    """Twice a number."""
    return 2 * number


def test_a_service_opens_its_tools_gives_them_to_the_roles_and_closes_them():
    def answer(request):
        found = [m.text for m in request.messages if m.speaker == "tool"]
        if found or not request.tools:
            return found[0] if found else "none"
        call = ToolCall(id="1", name=request.tools[0].name, arguments='{"number": 21}')
        return ChatReply(text="", model=request.model, calls=(call,))

    kit = mar.Toolkit([twice], roles={"Assistant": ["twice"]})
    episode = serve(scripted_pool(answer), lambda service: service.answer("21?"), virtual=True, tools=kit)
    assert episode.answer == "42.0"
    assert [e.tool for e in episode.events if isinstance(e, ToolCalled)] == ["twice"]


def test_a_service_whose_tools_cannot_be_opened_is_none():
    kit = mar.Toolkit(servers={"gone": McpServer(command="/no/such/command")})
    with pytest.raises(ConfigError, match="server gone: "):
        serve(scripted_pool(lambda _: "x"), lambda service: service.answer("q"), tools=kit)


def test_a_role_that_there_is_not_gets_no_tools():
    with pytest.raises(ConfigError, match="no role is called 'Nobody'"):
        mar.Service(scripted_pool(lambda _: "x"), tools=mar.Toolkit([twice], roles={"Nobody": ["twice"]}))
