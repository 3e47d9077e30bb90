"""Spans of OpenTelemetry, made of the events of episodes.

A request is `invoke_agent` with the name that was asked for; within it are `plan`, and an `invoke_agent` for every move
of an agent, which holds its `chat` and `execute_tool`. Calls and tools are told when they have ended, with the time
that they took, so servers are told the request's span as their parent. Imported only where tracing is on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from mar.serving.asked import Asked
from mar.serving.house import Way
from mar.serving.observe import genai
from mar.serving.observe.tracing import context_of
from mar.serving.record import Entry
from mar.types import (
    AnyEvent,
    CallAnswered,
    CallFailed,
    StepBound,
    StepFailed,
    StepFinished,
    ToolCalled,
    ToolRan,
    Usage,
)

W3C = TraceContextTextMapPropagator()
Attributes = dict[str, AttributeValue]


def exporting() -> TracerProvider:
    """Sends spans where the environment says (OTEL_EXPORTER_OTLP_ENDPOINT and others), in batches, in a thread."""
    resource = Resource({SERVICE_NAME: "mar"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Spans:
    """Makes spans of requests; see `mar.serving.observe.tracing.Tracing`.

    Args:
        provider: Where they go.
        content: Whether they hold what was said.
        simulated: Whether nobody real is asked.
    """

    def __init__(self, provider: TracerProvider, *, content: bool = False, simulated: bool = False) -> None:
        self._provider, self._tracer = provider, provider.get_tracer("mar")
        self._content, self._provider_name = content, "mar.simulated" if simulated else "openai"

    def begin(self, asked: Asked, way: Way, headers: Mapping[str, str], decision_s: float) -> RequestSpans:
        """See `Tracing`."""
        return RequestSpans(self._tracer, asked, way, headers, decision_s, self._provider_name, content=self._content)

    def close(self) -> None:
        """See `Tracing`."""
        self._provider.shutdown()


class RequestSpans:
    """The spans of one request; see `mar.serving.observe.tracing.Trace`."""

    def __init__(
        self,
        tracer: Tracer,
        asked: Asked,
        way: Way,
        headers: Mapping[str, str],
        decision_s: float,
        provider: str,
        *,
        content: bool,
    ) -> None:
        self._tracer, self._asked, self._provider, self._content = tracer, asked, provider, content
        self._steps: dict[tuple[int, int], Span] = {}  # under way, by agent and round
        now = time.time_ns()
        began = now - _ns(decision_s)
        about: Attributes = {genai.OPERATION: "invoke_agent", genai.AGENT: asked.model, genai.PLAN: way.label}
        if asked.query.conversation_id:
            about[genai.CONVERSATION] = asked.query.conversation_id
        self._span = tracer.start_span(
            f"invoke_agent {asked.model}",
            context=W3C.extract(context_of(headers)),
            attributes=about,
            start_time=began,
        )
        self.headers: dict[str, str] = {}
        W3C.inject(self.headers, set_span_in_context(self._span))
        if way.controller:
            planned: Attributes = {genai.OPERATION: "plan", genai.CONTROLLER: way.controller}
            self._tell(self._span, f"plan {way.controller}", planned, seconds=decision_s)

    def hear(self, event: AnyEvent) -> None:
        """See `Trace`."""
        match event:
            case StepBound():
                self._begin_step(event)
            case StepFinished():
                self._end_step(event.index, event.round)
            case StepFailed():
                self._end_step(event.index, event.round, failed=event.failure.kind)
            case CallAnswered():
                self._tell(self._at(event), f"chat {event.model}", self._call(event), seconds=event.latency_s)
            case CallFailed():
                about = self._asking(event.model) | _used(event.usage) | {genai.ATTEMPTS: event.failure.attempts}
                failed = event.failure.kind
                self._tell(self._at(event), f"chat {event.model}", about, seconds=event.latency_s, failed=failed)
            case ToolRan():
                failed = None if event.failure is None else event.failure.kind
                self._tell(self._at(event), f"execute_tool {event.tool}", _tool(event.tool), failed=failed)
            case ToolCalled():
                about = _tool(event.tool)
                if self._content:
                    about |= {genai.TOOL_ARGUMENTS: event.arguments, genai.TOOL_RESULT: event.result}
                failed = None if event.failure is None else event.failure.kind
                name = f"execute_tool {event.tool}"
                self._tell(self._at(event), name, about, seconds=event.seconds, failed=failed)
            case _:
                pass

    def end(self, entry: Entry) -> None:
        """See `Trace`."""
        for index, round in list(self._steps):
            self._end_step(index, round)
        about = _used(entry.usage) | {genai.EPISODE: entry.id, genai.ATTEMPTS: entry.attempts}
        about |= {genai.MODELS: list(entry.models), genai.STATUS: entry.status}
        if self._content:
            text = None if entry.episode is None else entry.episode.text
            about |= {genai.INPUT: _messages([("user", self._asked.query.text)])}
            about |= {} if text is None else {genai.OUTPUT: _messages([("assistant", text)])}
        self._span.set_attributes(about)
        if entry.status >= 400:
            _fail(self._span, str(entry.status))
        self._span.end()

    # Moves -----------------------------------------------------------------------------------------------------

    def _begin_step(self, event: StepBound) -> None:
        self._end_step(event.index, event.round)
        about: Attributes = {genai.OPERATION: "invoke_agent", genai.AGENT: event.role, genai.ROUND: event.round}
        self._steps[event.index, event.round] = self._tracer.start_span(
            f"invoke_agent {event.role}",
            context=set_span_in_context(self._span),
            attributes=about | {genai.REQUEST_MODEL: event.model},
        )

    def _end_step(self, index: int, round: int, *, failed: str | None = None) -> None:
        span = self._steps.pop((index, round), None)
        if span is not None:
            if failed is not None:
                _fail(span, failed)
            span.end()

    def _at(self, event: CallAnswered | CallFailed | ToolRan | ToolCalled) -> Span:
        return self._steps.get((event.index, event.round), self._span)

    # What has ended --------------------------------------------------------------------------------------------

    def _tell(
        self, within: Span, name: str, about: Attributes, *, seconds: float = 0.0, failed: str | None = None
    ) -> None:
        now = time.time_ns()
        context = set_span_in_context(within)
        span = self._tracer.start_span(name, context=context, attributes=about, start_time=now - _ns(seconds))
        if failed is not None:
            _fail(span, failed)
        span.end(now)

    def _asking(self, model: str) -> Attributes:
        return {genai.OPERATION: "chat", genai.PROVIDER: self._provider, genai.REQUEST_MODEL: model}

    def _call(self, event: CallAnswered) -> Attributes:
        about = self._asking(event.model) | _used(event.usage)
        about |= {genai.ATTEMPTS: event.attempts, genai.CACHED: event.cached}
        if event.finish_reason:
            about[genai.FINISH_REASONS] = [event.finish_reason]
        if event.ttft_s is not None:
            about[genai.FIRST_CHUNK_S] = event.ttft_s
        if self._content:
            about[genai.INPUT] = _messages([(m.speaker, m.text) for m in event.prompt])
            about[genai.OUTPUT] = _messages([("assistant", event.text)])
        return about


def _tool(name: str) -> Attributes:
    return {genai.OPERATION: "execute_tool", genai.TOOL: name}


def _used(usage: Usage) -> Attributes:
    """What is known of tokens and money; what is not is left out."""
    found = {
        genai.INPUT_TOKENS: usage.prompt_tokens,
        genai.OUTPUT_TOKENS: usage.completion_tokens,
        genai.COST_USD: usage.cost_usd,
    }
    return {name: value for name, value in found.items() if value is not None}


def _messages(said: Sequence[tuple[str, str]]) -> str:
    """Messages as the conventions write them."""
    found = [{"role": who, "parts": [{"type": "text", "content": text}]} for who, text in said]
    return json.dumps(found, ensure_ascii=False)


def _fail(span: Span, kind: str) -> None:
    span.set_attribute(genai.ERROR, kind)
    span.set_status(Status(StatusCode.ERROR))


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
