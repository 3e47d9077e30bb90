"""What of a text is blotted out before it is kept: addresses, numbers of cards and phones, what an operator names.

Rules are regular expressions, also of strangers' texts, so they are bounded in time (the package `regex` can end a
search that takes too long; `re` cannot): a text that takes longer is not kept at all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from mar.errors import ConfigError

if TYPE_CHECKING:  # 5 MB of a worker, most of which have no rules
    import regex

Known = Literal["email", "card", "phone"]
LONGEST_S = 0.25  # that all texts of one request may take together
KNOWN: Mapping[Known, str] = {
    "email": r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}",
    "card": r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.]?\d)",  # and Luhn's check digit
    # With a country's code, an area's in brackets, or three groups: a number alone may be anything.
    "phone": r"(?<![\w+.])(?:\+\d{1,3}(?:[ .()/-]{0,2}\d){6,14}|\(\d{2,5}\)[ ./-]{0,2}\d{3,4}[ .-]?\d{3,5}"
    r"|\d{3}[-./]\d{3}[-./]\d{4})(?![\w.]?\d)",
}
# Fields of a trace that hold names of ours and no text of anybody: blotted out they could not be read back.
STRUCTURE = frozenset(
    {"event", "call", "model", "message_id", "finish_reason", "read", "role", "policy", "query_id", "strategy", "mode"}
    | {"name", "domain", "decision", "how", "why", "tool", "kind", "source", "dropped", "decider", "id"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that is blotted out."""

    name: str  # stands in its place, in brackets
    pattern: str  # a regular expression, as the package `regex` reads it


class Redaction:
    """Blots out what rules name.

    Args:
        rules: The rules, in the order in which they are applied.

    Raises:
        ConfigError: A rule is no regular expression.
    """

    def __init__(self, rules: Sequence[Known | Rule] = ()) -> None:
        found = [rule if isinstance(rule, Rule) else Rule(name=rule, pattern=KNOWN[rule]) for rule in rules]
        self._rules = [(rule, _compiled(rule)) for rule in found]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def of(self, value: Any, *, within_s: float = LONGEST_S) -> Any:
        """The same JSON value with everything blotted out.

        Raises:
            TimeoutError: The rules take too long.
        """
        return self._value(value, time.monotonic() + within_s) if self._rules else value

    def _value(self, value: Any, end: float) -> Any:
        if isinstance(value, str):
            return self._text(value, end)
        if isinstance(value, dict):
            known = cast("dict[str, Any]", value)
            return {n: v if n in STRUCTURE and isinstance(v, str) else self._value(v, end) for n, v in known.items()}
        if isinstance(value, list | tuple):
            return [self._value(item, end) for item in cast("list[Any]", value)]
        return value

    def _text(self, text: str, end: float) -> str:
        for rule, pattern in self._rules:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            blot = _card if rule.pattern == KNOWN["card"] else f"[{rule.name}]"
            text = pattern.sub(blot, text, timeout=left, concurrent=True)
        return text


def _compiled(rule: Rule) -> regex.Pattern[str]:
    import regex

    try:
        return regex.compile(rule.pattern)
    except regex.error as error:
        raise ConfigError(f"the rule {rule.name!r}: {error}; expected a regular expression") from None


def _card(match: regex.Match[str]) -> str:
    digits = [int(c) for c in match[0] if c.isdigit()]
    doubled = [d if n % 2 == 0 else sum(divmod(2 * d, 10)) for n, d in enumerate(reversed(digits))]
    return "[card]" if sum(doubled) % 10 == 0 else match[0]
