"""Records and protocols that travel between the layers. Nothing here knows any other part of mar but its errors."""

from mar.types.binding import Binder, Binding, Budget, RoundContext, StepContext, StopRule
from mar.types.chat import CallContext, CallKind, ChatModel, ChatReply, ChatRequest, DeltaHandler, Feedback, Message
from mar.types.episode import Episode
from mar.types.events import (
    AnyEvent,
    CallAnswered,
    CallFailed,
    Decided,
    EpisodeStarted,
    Event,
    PassedThrough,
    PromptTrimmed,
    StepBound,
    StepEvent,
    StepFailed,
    StepFinished,
    Stopped,
    ToolRan,
)
from mar.types.failure import Failure, FailureKind
from mar.types.plan import DECISIONS, AgentSpec, ConfidenceScale, Decision, ModeSpec, Plan, TieBreak
from mar.types.query import DOMAINS, AnswerFormat, Domain, PlainText, Query, ShownTests, Turn
from mar.types.telemetry import ModelTelemetry
from mar.types.usage import ZERO_USAGE, Usage

__all__ = [
    "DECISIONS",
    "DOMAINS",
    "ZERO_USAGE",
    "AgentSpec",
    "AnswerFormat",
    "AnyEvent",
    "Binder",
    "Binding",
    "Budget",
    "CallAnswered",
    "CallContext",
    "CallFailed",
    "CallKind",
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "ConfidenceScale",
    "Decided",
    "Decision",
    "DeltaHandler",
    "Domain",
    "Episode",
    "EpisodeStarted",
    "Event",
    "Failure",
    "FailureKind",
    "Feedback",
    "Message",
    "ModeSpec",
    "ModelTelemetry",
    "PassedThrough",
    "PlainText",
    "Plan",
    "PromptTrimmed",
    "Query",
    "RoundContext",
    "ShownTests",
    "StepBound",
    "StepContext",
    "StepEvent",
    "StepFailed",
    "StepFinished",
    "StopRule",
    "Stopped",
    "TieBreak",
    "ToolRan",
    "Turn",
    "Usage",
]
