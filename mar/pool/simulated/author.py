"""What a simulated model says: the reply to one request, decided and written but not yet served."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mar.errors import ContextOverflow
from mar.pool.cards import ModelCard
from mar.pool.simulated import texts
from mar.pool.simulated.assumptions import Assumptions
from mar.pool.simulated.catalogue import ModelProfile
from mar.pool.simulated.draws import Draws, draws, to_normal
from mar.pool.simulated.lengths import Length, completion_length, prompt_tokens, text_tokens
from mar.pool.simulated.memory import Memory, Remembered
from mar.pool.simulated.outcome import Outcome, Reading, decide
from mar.pool.simulated.skill import Skills
from mar.pool.simulated.world import SimItem, World
from mar.types import SIMULATED_UNKNOWN, TOOL_FAILED, CallContext, ChatRequest, ToolCall

_NO_CONTEXT = CallContext(item="", message_id="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A reply that is decided but not yet served."""

    message_id: str
    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str  # "stop", "length", "tool_calls" or "simulated_unknown"
    chance: float  # a draw in (0, 1): the call fails when it is below the fault rate
    mean_logprob: float | None = None
    calls: tuple[ToolCall, ...] = ()  # of a tool, before there is an answer
    remembered: Remembered | None = None  # None for an unknown item, and for what is no answer yet


class Author:
    """Decides and writes replies, and remembers those that were given.

    A draft is a function of the request and of the remembered messages that it reads.
    """

    def __init__(
        self,
        world: World,
        cards: Mapping[str, ModelCard],
        profiles: Mapping[str, ModelProfile],
        rules: Assumptions,
        seed: int,
    ) -> None:
        self.memory = Memory()
        self._world = world
        self._cards = cards
        self._profiles = profiles
        self._rules = rules
        self._seed = seed
        self._skills = Skills(profiles, rules, seed)

    def draft(self, request: ChatRequest) -> Draft:
        """The reply to a request.

        Raises:
            ContextOverflow: The prompt leaves no room in the model's context.
        """
        context = request.context or _NO_CONTEXT
        drawn = draws(self._seed, request.sample or context.message_id, request.model)
        item = self._world.get(context.item)
        read = self.memory.recall(context.read)
        prompt = prompt_tokens(request, read)
        limit = self._room(request, prompt)
        if item is None:
            return _unknown(context, prompt, limit, drawn)
        item, mind = self._skills.meets(request.model, context.item, item)
        worth = self._rules.tools.get(item.domain, {})
        wanted = fitting_tool(request, worth)
        helped = [wanted] if wanted else tools_that_helped(request)
        if gain := max((worth.get(name, 0.0) for name in helped), default=0.0):
            mind = replace(mind, skill=mind.skill + gain)
        outcome = decide(item, mind, context, Reading.of(context, read), drawn, request.model, self._rules)
        verbosity = self._profiles[request.model].verbosity
        if wanted:
            return self._calling(wanted, context, item, outcome, prompt, limit, drawn)
        length = completion_length(context, limit, verbosity, drawn.length, self._rules)
        return self._written(request, context, item, outcome, length, drawn, prompt)

    def remember(self, draft: Draft) -> None:
        """Keep what later messages that read this one need to know."""
        if draft.remembered is not None:
            self.memory.store(draft.message_id, draft.remembered)

    def _written(
        self,
        request: ChatRequest,
        context: CallContext,
        item: SimItem,
        outcome: Outcome,
        length: Length,
        drawn: Draws,
        prompt: int,
    ) -> Draft:
        lost = length.cut and drawn.cut < self._rules.cut_unreadable
        text = texts.cut_off(item, drawn.phrase) if lost else _text(item, context, outcome, drawn.phrase)
        tokens = length.tokens if length.cut else max(length.tokens, text_tokens(len(text)))
        remembered = Remembered(
            item=context.item,
            model=request.model,
            role=context.role,
            index=context.index,
            knew=outcome.knew and not lost,
            correct=outcome.correct and not lost,
            answer=-1 if lost else outcome.answer,
            luck=outcome.luck,
            extra_tokens=tokens - text_tokens(len(text)),
        )
        return Draft(
            message_id=context.message_id,
            chance=drawn.phrase,
            text=text,
            prompt_tokens=prompt,
            completion_tokens=tokens,
            finish_reason="length" if length.cut else "stop",
            mean_logprob=self._confidence(request.model, outcome, drawn) if request.logprobs else None,
            remembered=remembered,
        )

    def _calling(
        self,
        tool: str,
        context: CallContext,
        item: SimItem,
        outcome: Outcome,
        prompt: int,
        limit: int,
        drawn: Draws,
    ) -> Draft:
        """A call of a tool, with what its writer is about to answer as far as the tool can take that."""
        arguments = json.dumps(texts.tool_arguments(tool, item, _answer(item, outcome)))
        shape = replace(context, kind="agent", output="tool", strategy=None, mode="")
        length = completion_length(shape, limit, 1.0, drawn.length, self._rules)
        return Draft(
            message_id=context.message_id,
            chance=drawn.phrase,
            text="",
            calls=(ToolCall(id=f"call{int(drawn.pick * 1e5):05}", name=tool, arguments=arguments),),
            prompt_tokens=prompt,
            completion_tokens=min(limit, max(length.tokens, text_tokens(len(arguments)))),
            finish_reason="tool_calls",
        )

    def _confidence(self, model: str, outcome: Outcome, drawn: Draws) -> float:
        """Mean log-probability in nats per token: who knows is surer than who does not, with the model's AUC."""
        apart = math.sqrt(2) * to_normal(self._profiles[model].confidence_auc)
        return -0.15 * math.exp(-0.5 * (to_normal(drawn.confidence) + apart * outcome.knew))

    def _room(self, request: ChatRequest, prompt: int) -> int:
        card = self._cards[request.model]
        room = card.context_tokens - prompt
        if room < 1:
            raise ContextOverflow(
                f"a prompt of {prompt} tokens does not fit {card.name}'s context of {card.context_tokens}"
            )
        return min(room, request.max_tokens or card.max_output_tokens, card.max_output_tokens)


def _unknown(context: CallContext, prompt: int, limit: int, drawn: Draws) -> Draft:
    return Draft(
        message_id=context.message_id,
        text=texts.UNKNOWN,
        prompt_tokens=prompt,
        completion_tokens=min(text_tokens(len(texts.UNKNOWN)), limit),
        finish_reason=SIMULATED_UNKNOWN,
        chance=drawn.phrase,
    )


def fitting_tool(request: ChatRequest, worth: Mapping[str, float]) -> str | None:
    """The tool that a simulated model calls before it answers: of those offered, the one that is worth most to it.

    Args:
        request: What is asked. Where a tool has been called already, no other is.
        worth: What each tool is worth in the item's domain.
    """
    if not request.tools or any(m.speaker == "tool" for m in request.messages):
        return None
    return max((t.name for t in request.tools if worth.get(t.name, 0.0) > 0), key=lambda n: worth[n], default=None)


def tools_that_helped(request: ChatRequest) -> list[str]:
    """Tools that were called and found something."""
    names = {call.id: call.name for message in request.messages for call in message.calls}
    results = [m for m in request.messages if m.speaker == "tool" and not m.text.startswith(TOOL_FAILED)]
    return [names[m.call_id] for m in results if m.call_id in names]


def _answer(item: SimItem, outcome: Outcome) -> str | None:
    return None if outcome.answer < 0 else (item.right if outcome.correct else item.wrong)[outcome.answer]


def _text(item: SimItem, context: CallContext, outcome: Outcome, phrase: float) -> str:
    answer = _answer(item, outcome)
    if answer is None:
        return texts.silence(item, phrase)
    if context.kind == "decider":
        return texts.final_answer(item, answer, phrase)
    if context.output == "text":
        return texts.prose(item, phrase)
    if context.output == "code":
        return texts.program_answer(item, answer, phrase)
    return texts.final_answer(item, answer, phrase)
