"""Plans, queries and runs for the tests of the runtime: on virtual time, with tools that are charged nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mar import clock
from mar.pool import Pool, scripted_pool
from mar.runtime import PromptLibrary, Runtime, Tools
from mar.runtime.prompts import Role
from mar.runtime.sandbox import Fence, ProgramOutput, TestJob, TestReport, TestResult
from mar.types import AgentSpec, CallContext, ChatReply, ChatRequest, Episode, How, ModeSpec, Plan, Query

ONCE, TWICE = "Once", "Twice"  # roles that answer, and answer and revise; neither needs a sandbox
_FIELDS: dict[str, Any] = {"domain": "Math", "description": "-", "aggregate": "plain", "system": "-"}
PROMPTS = (
    PromptLibrary.load()
    .with_role(Role(name=ONCE, output="answer", post="none", revise=False, **_FIELDS))
    .with_role(Role(name=TWICE, output="text", post="lookup", revise=True, **_FIELDS))
)
FREE_TOOLS = Tools(sandbox_charge_s=0.0, lookup_charge_s=0.0)
ASK = Query(text="What is 6 times 7?", id="q/1")


def plan_of(
    mode: str | ModeSpec = "IO",
    roles: int | Sequence[str] = 3,
    *,
    models: str | Sequence[str | None] = "a",
    strategy: str | None = None,
    domain: str = "Math",
    **fields: Any,
) -> Plan:
    """A plan of that many agents (role `Once`), or of these roles; `models` are repeated until they suffice."""
    names = [ONCE] * roles if isinstance(roles, int) else list(roles)
    agents = tuple(
        AgentSpec(role=role, model=models[i % len(models)], strategy=strategy) for i, role in enumerate(names)
    )
    spec = ModeSpec(name=mode) if isinstance(mode, str) else mode
    return Plan(mode=spec, agents=agents, **({"domain": domain} | fields))


def context_of(request: ChatRequest) -> CallContext:
    """Where a request stands in its episode."""
    assert request.context is not None
    return request.context


def script(answers: dict[int, str] | str = "42", **errors: Exception) -> Callable[[ChatRequest], str]:
    """A function for a scripted pool: each agent's answer by index, or an error by `agent<index>` or `decider`."""

    def answer(request: ChatRequest) -> str:
        context = context_of(request)
        error = errors.get("decider" if context.kind == "decider" else f"agent{context.index}")
        if error is not None:
            raise error
        return answers if isinstance(answers, str) else answers.get(context.index, "42")

    return answer


def costing(usd: float | None, *, prompt: int | None = 10, completion: int | None = 5) -> Callable[..., ChatReply]:
    """A function for a scripted pool whose every reply states its cost and tokens."""

    def answer(request: ChatRequest) -> ChatReply:
        return ChatReply(
            text="42", model=request.model, cost_usd=usd, prompt_tokens=prompt, completion_tokens=completion
        )

    return answer


def run(
    how: How,
    pool: Pool | Callable[[ChatRequest], Any] | None = None,
    query: Query = ASK,
    *,
    latency_s: float = 0.0,
    virtual: bool = True,
    runtime: dict[str, Any] | None = None,
    **options: Any,
) -> Episode:
    """Run one episode; `pool` may be the function of a scripted one."""
    if not isinstance(pool, Pool):
        pool = scripted_pool(pool or script(), latency_s=latency_s, price_in=None, price_out=None)
    ready = Runtime(pool, **({"prompts": PROMPTS, "tools": FREE_TOOLS} | (runtime or {})))

    async def main() -> Episode:
        async with ready.pool:
            return await ready.run(query, how, **options)

    return clock.run(main, virtual=virtual)


def events(episode: Episode, kind: type | tuple[type, ...]) -> list[Any]:
    """The events of one type, or of some."""
    return [e for e in episode.events if isinstance(e, kind)]


class JudgeByWord:
    """Stands in for the sandbox: code passes when it holds the word `good`."""

    def __init__(self) -> None:
        self.jobs: list[TestJob] = []

    async def run_tests(self, job: TestJob) -> TestReport:
        self.jobs.append(job)
        outcome = "passed" if "good" in job.code else "failed"
        results = tuple(TestResult(test=t, outcome=outcome, detail="as told") for t in job.tests)
        return TestReport(results=results, wall_s=0.0, fence=Fence(isolation="namespaces"))

    async def run_program(self, code: str) -> ProgramOutput:
        fence = Fence(isolation="namespaces")
        return ProgramOutput(outcome="passed", stdout="42", stderr="", wall_s=0.0, fence=fence)
