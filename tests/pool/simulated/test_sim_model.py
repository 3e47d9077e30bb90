"""The simulated chat model as a whole, on virtual time and on the wall clock."""

import random
from dataclasses import replace

import anyio
import pytest
from sim_worlds import MAX, SUM, code_item, number_item, pool, profile, request, serving, spread_world

from mar import clock
from mar.errors import CallTimeout, ConfigError, ContextOverflow, ServerFault
from mar.pool.simulated import DEFAULT, EMPTY_WORLD, SimItem, World, simulated_pool
from mar.types import SIMULATED_UNKNOWN, ChatReply, ChatRequest

ONE = {"m": profile()}
FIXED = replace(DEFAULT, lengths={"code": replace(DEFAULT.lengths["code"], median=100, sigma=0.0)})


def ask(requests: list[ChatRequest], *, virtual: bool = True, world: World | None = None, **options) -> list[ChatReply]:
    """Replies in the order of the requests, all sent at once."""
    replies: dict[int, ChatReply] = {}

    async def main() -> None:
        here = pool(world or spread_world(40), options.pop("profiles", ONE), **options)

        async def one(k: int, r: ChatRequest) -> None:
            replies[k] = await here.chat(r)

        async with here, anyio.create_task_group() as tasks:
            for k, r in enumerate(requests):
                tasks.start_soon(one, k, r)

    clock.run(main, virtual=virtual)
    return [replies[k] for k in range(len(requests))]


def in_turn(requests: list[ChatRequest], **options) -> list[ChatReply]:
    """Replies to requests that are sent one after another."""

    async def main() -> list[ChatReply]:
        async with pool(options.pop("world", None) or spread_world(40), ONE, **options) as here:
            return [await here.chat(r) for r in requests]

    return clock.run(main, virtual=True)


def test_the_same_sample_gives_the_same_reply_and_another_one_varies():
    first, again = in_turn([request(sample="a"), request(sample="a")])
    assert first.text == again.text
    assert first.completion_tokens == again.completion_tokens
    lengths = {r.completion_tokens for r in in_turn([request(sample=str(k)) for k in range(8)])}
    assert len(lengths) > 4


def test_another_seed_draws_otherwise():
    requests = [request(f"q{k}", sample=str(k)) for k in range(20)]
    assert [r.text for r in ask(requests)] != [r.text for r in ask(requests, seed=1)]


def test_the_order_of_submission_changes_nothing():
    requests = [request(f"q{k % 40}", sample=f"{k:03}", prompt="x" * (k % 7 * 40)) for k in range(60)]
    plain = {r.sample: reply for r, reply in zip(requests, ask(requests), strict=True)}
    shuffled = random.Random(3).sample(requests, len(requests))
    assert {r.sample: reply for r, reply in zip(shuffled, ask(shuffled), strict=True)} == plain


def test_looking_at_the_load_changes_nothing():
    requests = [request(f"q{k}", sample=f"{k:03}") for k in range(20)]

    async def main() -> list[float]:
        latencies: list[float] = []

        async def one(r: ChatRequest) -> None:
            latencies.append((await here.chat(r)).latency_s)

        async def look() -> None:
            for _ in range(50):
                here.telemetry()
                await anyio.sleep(0.37)

        async with pool(spread_world(40), ONE) as here, anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            for r in requests:
                tasks.start_soon(one, r)
        return latencies

    assert sorted(clock.run(main, virtual=True)) == sorted(r.latency_s for r in ask(requests))


def test_wall_clock_and_virtual_time_agree():
    fast = serving(slots=4, prefill_tokens_per_s=1e6, tpot_base_s=0.0002, tpot_slope_s=0.00002)
    requests = [request(f"q{k}", sample=str(k)) for k in range(8)]
    profiles = {"m": profile(speed=fast)}
    wall = ask(requests, virtual=False, profiles=profiles, assumptions=FIXED)
    virtual = ask(requests, profiles=profiles, assumptions=FIXED)
    assert [r.text for r in wall] == [r.text for r in virtual]
    # Arrivals on the wall clock are some microseconds apart; service takes tens of milliseconds.
    assert [r.latency_s for r in wall] == pytest.approx([r.latency_s for r in virtual], abs=0.02)


def test_an_unknown_item_gets_a_text_that_says_so():
    for reply in (*in_turn([request("?")], world=EMPTY_WORLD), *in_turn([replace(request(), context=None)])):
        assert reply.finish_reason == SIMULATED_UNKNOWN
        assert "simulated" in reply.text
        assert "knows nothing about this question" in reply.text


@pytest.mark.parametrize(
    ("form", "answer", "ending"),
    [
        ("number", "42", "The answer is 42"),
        ("boxed", "\\frac{1}{2}", "The answer is \\boxed{\\frac{1}{2}}"),
        ("choice", "C", "The answer is (C)"),
        ("text", "Paris", "Paris"),
    ],
)
def test_answers_are_written_in_the_form_of_the_task(form, answer, ending):
    item = SimItem(domain="Math", benchmark="gsm8k", difficulty=-20, right=(answer,), wrong=("7",), form=form)
    for output, kind in (("answer", "agent"), ("text", "decider")):
        (reply,) = in_turn([request("i", output=output, kind=kind)], world=World.of({"i": item}))
        assert reply.text.endswith(ending)


def test_a_program_is_a_reference_or_a_wrong_solution_in_a_fenced_block():
    texts = [r.text for r in ask([request(f"q{k}", sample=str(k)) for k in range(40)])]
    right, wrong = (sum(f"```python\n{code}\n```" in text for text in texts) for code in (SUM, MAX))
    assert right + wrong == 40
    assert right > wrong > 0


def test_code_for_a_task_that_asks_for_none_computes_the_answer():
    (reply,) = in_turn([request("i", output="code")], world=World.of({"i": number_item(-20)}))
    block = reply.text.split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(block.replace("print", "str"), names)
    assert names["answer"] == 42


@pytest.mark.parametrize("gold", ["42", "C", "A", "I", SUM, "(C)"])
def test_an_analysis_holds_no_answer(gold: str):
    import re

    for domain in ("Math", "Commonsense", "Code"):
        item = SimItem(domain=domain, benchmark="", difficulty=-20, right=(gold,), wrong=("7",), form="text")
        requests = [request("i", sample=str(k), output="text") for k in range(40)]
        for reply in ask(requests, world=World.of({"i": item})):
            assert not re.search(rf"(?<!\w){re.escape(gold)}(?!\w)", reply.text)


def test_an_analysis_still_counts_for_those_who_read_it():
    easy, hard = number_item(-20), number_item(0)

    def share(kind_of_peer: SimItem) -> float:
        right = 0
        world = World.of({f"q{k}": hard for k in range(150)})
        peer_world = World.of({f"p{k}": kind_of_peer for k in range(150)})
        requests = []
        for k in range(150):
            requests.append(request(f"p{k}", sample=f"p{k}", output="text", index=1))
            requests.append(request(f"q{k}", sample=f"q{k}", output="answer", read=(f"p{k}",)))
        for reply in in_turn(requests, world=world.merged(peer_world))[1::2]:
            right += reply.text.endswith(" 42")
        return right / 150

    assert share(easy) > share(number_item(20)) + 0.1


def test_completion_tokens_are_capped_and_what_is_cut_off_is_mostly_lost():
    replies = in_turn([request("q0", sample=str(k), max_tokens=60) for k in range(60)])
    assert all(r.finish_reason == "length" and r.completion_tokens == 60 for r in replies)
    assert sum("```" not in r.text for r in replies) > 40


def test_a_prompt_counts_the_simulated_length_of_what_it_shows():
    def prompt_of(first: ChatReply, prompt: str) -> int:
        return -(-len(prompt) // 4) + first.completion_tokens - -(-len(first.text) // 4)

    first, second = in_turn([request(sample="a"), request(sample="b", read=("a",), prompt="x" * 401, index=1)])
    assert first.prompt_tokens == 0
    assert second.prompt_tokens == prompt_of(first, "x" * 401)


def test_deep_thinking_is_longer_and_flash_shorter():
    def tokens(strategy: str | None) -> int:
        requests = [request("q0", sample=str(k), strategy=strategy, output="text") for k in range(40)]
        return sum(r.completion_tokens or 0 for r in ask(requests))

    assert tokens("Flash") < tokens("Concise") < tokens(None) < tokens("DeepThink")


def test_two_of_one_instant_share_the_batch():
    # 100 tokens at 0.09 + 0.02 s: 11 s each; the third waits for them and runs alone: 10 s more.
    requests = [request(f"q{k}", sample=str(k)) for k in range(3)]
    latencies = [r.latency_s for r in ask(requests, assumptions=FIXED)]
    assert latencies == pytest.approx([11, 11, 21], abs=1e-4)


def test_a_saturated_queue_serves_by_priority_then_arrival():
    order: list[str] = []

    async def main() -> None:
        async with pool(spread_world(40), {"m": profile(speed=serving(slots=1))}, assumptions=FIXED) as here:

            async def one(name: str, after: float, priority: int) -> None:
                await anyio.sleep(after)
                await here.chat(request(sample=name, priority=priority))
                order.append(name)

            async with anyio.create_task_group() as tasks:
                for name, after, priority in (("z", 0, 0), ("late", 2, 0), ("early", 1, 0), ("urgent", 3, -1)):
                    tasks.start_soon(one, name, after, priority)

    clock.run(main, virtual=True)
    assert order == ["z", "urgent", "early", "late"]


def test_replies_of_one_instant_are_handed_out_by_id():
    order: list[str] = []

    async def main() -> None:
        async with pool(spread_world(40), {"m": profile(speed=serving(slots=30))}, assumptions=FIXED) as here:

            async def one(name: str) -> None:
                await here.chat(request(sample=name))
                order.append(name)

            async with anyio.create_task_group() as tasks:
                for name in random.Random(1).sample([f"{k:02}" for k in range(30)], 30):
                    tasks.start_soon(one, name)

    clock.run(main, virtual=True)
    assert order == sorted(order)


def test_telemetry_says_what_runs_and_waits_and_what_it_took():
    async def main() -> None:
        async with pool(spread_world(40), {"m": profile(), "n": profile()}, assumptions=FIXED) as here:
            async with anyio.create_task_group() as tasks:
                for k in range(3):
                    tasks.start_soon(here.chat, request(sample=str(k)))
                await anyio.sleep(5)
                load = here.telemetry()["m"]
                assert (load.running, load.waiting, load.age_s) == (2, 1, 0)
                assert load.kv_cache_usage == pytest.approx(200 / 10**6)
                assert load.e2e_s is None
                assert here.telemetry()["n"].running == 0
            load = here.telemetry()["m"]
            assert (load.running, load.waiting) == (0, 0)
            # Latencies 11, 11 and 21 s; 0, 0 and 11 s of it in the queue, give or take the instants between replies.
            assert load.e2e_s == pytest.approx(43 / 3, abs=1e-3)
            assert load.queue_s == pytest.approx(11 / 3, abs=1e-3)

    clock.run(main, virtual=True)


def test_a_cancelled_caller_frees_its_slot():
    async def main() -> None:
        async with pool(spread_world(40), {"m": profile(speed=serving(slots=1))}, assumptions=FIXED) as here:
            with anyio.move_on_after(4):
                await here.chat(request(sample="a"))
            assert here.telemetry()["m"].running == 0
            reply = await here.chat(request(sample="b"))
            assert reply.latency_s == pytest.approx(10)
            assert anyio.current_time() == pytest.approx(14, abs=1e-3)

    clock.run(main, virtual=True)


def test_a_request_has_a_time_limit():
    async def main() -> None:
        async with pool(spread_world(40), ONE, assumptions=FIXED) as here:
            with pytest.raises(CallTimeout, match="within 3 s"):
                await here.chat(request(timeout_s=3.0))
            assert anyio.current_time() == pytest.approx(3)
            assert here.telemetry()["m"].running == 0

    clock.run(main, virtual=True)


def test_a_streamed_reply_comes_in_pieces_over_time():
    pieces: list[tuple[float, str]] = []

    async def main() -> ChatReply:
        async with pool(spread_world(40), ONE, assumptions=FIXED) as here:
            return await here.chat(request(), lambda piece: pieces.append((anyio.current_time(), piece.text)))

    reply = clock.run(main, virtual=True)
    assert "".join(piece for _, piece in pieces) == reply.text
    assert [time for time, _ in pieces] == pytest.approx([2.5, 5.0, 7.5, 10.0])
    assert reply.ttft_s == pytest.approx(0.1)
    assert in_turn([request()])[0].ttft_s is None


def test_faults_are_drawn_at_the_rate_asked_for_and_none_by_default():
    async def main() -> list[str]:
        found: list[str] = []
        async with pool(spread_world(40), ONE, assumptions=replace(DEFAULT, fault_rate=0.4)) as here:
            for k in range(600):
                try:
                    await here.chat(request(sample=str(k)))
                except (ServerFault, CallTimeout) as error:
                    found.append(error.kind)
        return found

    found = clock.run(main, virtual=True)
    # 600 draws at 0.4: mean 240, standard deviation 12.
    assert 204 <= len(found) <= 276
    assert set(found) == {"server_fault", "timeout"}


@pytest.mark.parametrize("virtual", [True, False])
def test_an_error_inside_the_pool_leaves_it_as_it_is(virtual: bool):
    async def main() -> None:
        with pytest.raises(KeyError):
            async with pool(spread_world(40), ONE):
                raise KeyError("mine")

    clock.run(main, virtual=virtual)


def test_a_prompt_beyond_the_context_is_refused():
    async def main() -> None:
        async with pool(spread_world(40), ONE) as here:
            with pytest.raises(ContextOverflow):
                await here.chat(request(prompt="x" * 400_000))

    clock.run(main, virtual=True)


def test_a_pool_that_was_not_entered_or_lacks_the_model_says_so():
    async def main() -> None:
        here = simulated_pool(World.of({"q0": code_item()}))
        with pytest.raises(ConfigError, match="async with"):
            await here.chat(request(name="gpt-4o-mini"))
        with pytest.raises(ConfigError, match="unknown model"):
            await here.chat(request(name="nobody"))

    clock.run(main, virtual=True)


def test_a_pool_and_its_restriction_can_both_be_entered():
    async def main() -> None:
        here = simulated_pool(World.of({"q0": code_item()}))
        async with here, here.restricted(allow=["gpt-4o-mini"]) as small:
            assert small.simulated
            assert (await small.chat(request(name="gpt-4o-mini"))).prompt_tokens == 0
            await here.chat(request(name="gpt-4o"))

    clock.run(main, virtual=True)


def test_recalling_a_request_remembers_what_answering_it_would():
    def reader(*, cached: bool) -> ChatReply:
        async def main() -> ChatReply:
            async with pool(spread_world(40), ONE) as here:
                first = request("q20", sample="a")
                if cached:
                    here.model.recall(first)  # pyright: ignore[reportAttributeAccessIssue]
                else:
                    await here.chat(first)
                return await here.chat(request("q20", sample="b", read=("a",), index=1))

        return clock.run(main, virtual=True)

    assert reader(cached=True).text == reader(cached=False).text
    assert reader(cached=True).prompt_tokens == reader(cached=False).prompt_tokens


def test_confidence_is_reported_when_asked_for():
    plain, asked = in_turn([request(), request(logprobs=True)])
    assert plain.mean_logprob is None
    assert -0.35 <= asked.mean_logprob <= -0.05


@pytest.mark.parametrize("before_s", [0.1, 12_345.678, 3_000_000.0])
def test_when_work_begins_changes_nothing_to_the_last_bit(before_s):
    # Awkward speeds, a backlog behind two slots, a streamed call and time-outs; later moments have coarser floats.
    odd = {"m": profile(speed=serving(tpot_base_s=0.0937, tpot_slope_s=0.0113, overhead_s=0.0171))}

    async def block(here) -> list[object]:
        took: dict[int, object] = {}

        async def one(k: int) -> None:
            r = request(f"q{k % 40}", sample=str(k), timeout_s=1000.3 if k % 5 else 3.7)
            await anyio.sleep(clock.ticks(0.137 * k))
            began = anyio.current_time()
            try:
                reply = await here.chat(r, (lambda _: None) if k % 3 == 0 else None)
                took[k] = reply.latency_s, reply.ttft_s, anyio.current_time() - began
            except CallTimeout:
                took[k] = anyio.current_time() - began

        async with anyio.create_task_group() as tasks:
            for k in range(60):
                tasks.start_soon(one, k)
        return [took[k] for k in range(60)]

    async def main() -> tuple[list[object], list[object]]:
        async with pool(spread_world(40), odd) as here:
            early = await block(here)
            await anyio.sleep(clock.ticks(before_s))
            return early, await block(here)

    early, late = clock.run(main, virtual=True)
    assert early == late
    assert any(isinstance(t, float) for t in early)
