"""Names of attributes, as OpenTelemetry's conventions for generative AI have them, and those that are only mar's.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/ (read in November 2026, status "development": names may
change, and change here alone).
"""

from __future__ import annotations

OPERATION = "gen_ai.operation.name"  # invoke_agent, plan, chat, execute_tool
PROVIDER = "gen_ai.provider.name"
AGENT = "gen_ai.agent.name"
CONVERSATION = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK_S = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
TOOL = "gen_ai.tool.name"
ERROR = "error.type"

# What was said: only where content is switched on.
INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"

EPISODE = "mar.episode"
PLAN = "mar.plan"
CONTROLLER = "mar.controller"
MODELS = "mar.models"
ROUND = "mar.round"
COST_USD = "mar.cost_usd"
ATTEMPTS = "mar.attempts"
CACHED = "mar.cached"
STATUS = "http.response.status_code"
