"""What is logged of requests that may be learned from.

What was done with a request is an *arm*: what a controller could have done instead has other names. Without the
probability with which an arm was drawn nothing can be said about policies that draw others, so it is logged with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

OutcomeKind = Literal[
    "rating",  # of a user, through /v1/feedback
    "retry",  # the same question was asked again: "regenerate"
    "edit",  # the user went on with another text than the answer
    "grader",  # a program of the operator
    "tests",  # tests that the question showed, or that belong to it
    "judge",  # a language model
    "agreement",  # of several models' answers, without anybody's judgement
]
Keep = Literal[
    "nothing",  # what it cost and how it ended, as every request; neither text, nor embedding, nor user
    "features",  # the embedding of the question, the user by a hash, and what was decided; no text
    "text",  # what was asked and said, too
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Something that could be done with a request, and what was expected of it. None: not estimated."""

    name: str  # a model's name: that model alone; else the plan in a few words
    probability: float  # that the policy that served the request drew it, exploration included
    right: float | None = None  # probability that its answer is right
    usd: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known of an answer's worth, from one source."""

    kind: OutcomeKind
    value: float  # 0 to 1
    by: str = ""  # who said so: a judge's model, a grader's name, the hash of a user
    at: float = 0.0  # seconds since 1970
    note: str = ""  # what was said with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """What a model says about a rated question, without the text: the one that was served, or one asked in shadow."""

    model: str
    said: str  # a keyed hash, equal for answers to this question that say the same; "": there is no answer
    single: bool = False  # whether it is of a form in which answers that are right all say the same
    usd: float | None = None  # None: a price is unknown
    seconds: float = 0.0
    reason: str = ""  # why there is no answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """Somebody, or some conversation, whose requests were deleted on request."""

    what: Literal["user", "conversation"]
    hash: str
    at: float  # seconds since 1970; what came later is not meant

    def covers(self, logged: Logged) -> bool:
        """Whether it deletes a request."""
        return logged.at <= self.at and self.hash == (logged.user if self.what == "user" else logged.conversation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One request of the log, as learning sees it."""

    id: str  # of the episode
    at: float  # seconds since 1970
    key: str  # id of the key that asked; "": there are no keys
    user: str | None  # a hash; None: not stated
    conversation: str | None
    text: str | None  # None: not kept
    embedding: tuple[float, ...] | None  # of the question; None: not kept, or not computed
    controller: str
    version: str  # of the policy that served it: the hash of its weights and settings
    arms: tuple[Arm, ...]  # all that could have been drawn; the first one was
    explored: bool  # whether the arm was drawn for what it teaches
    answer: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None  # None: a price is unknown
    seconds: float
    status: int  # of HTTP
    outcomes: tuple[Outcome, ...] = ()
    others: tuple[Other, ...] = ()  # what models say about it, the served one among them, once it is rated

    @property
    def arm(self) -> Arm:
        """What was done."""
        return self.arms[0]

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Of every arm, by its name; they sum to 1."""
        return {arm.name: arm.probability for arm in self.arms}
