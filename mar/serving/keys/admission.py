"""Admission by virtual keys, whose limits hold over all workers of a gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mar.errors import StoreUnavailable
from mar.serving.admission import Shown, Visit
from mar.serving.errors import Refusal
from mar.serving.keys.key import Key
from mar.serving.keys.ring import KeyRing
from mar.serving.limits.base import Paid, Short, Take, Want
from mar.serving.limits.calendar import MINUTES_LIVE_S, PERIODS, Names
from mar.serving.limits.purse import KeyPurse, Room
from mar.serving.limits.teller import Teller
from mar.serving.money import nearest, usd


class Keyed:
    """Lets in whoever shows a key that is good and has room left; see `mar.serving.admission.Admission`.

    Args:
        keys: The keys there are.
        teller: Takes from the counters that all workers share.
    """

    open = False

    def __init__(self, keys: KeyRing, teller: Teller) -> None:
        self._keys, self._teller = keys, teller
        self._rooms: dict[str, Room] = {}  # by key's id

    def holder(self, key: Shown) -> Key:
        """See `mar.serving.admission.Admission`."""
        return self._keys.find(key)

    @asynccontextmanager
    async def visit(self, key: Shown, *, tokens: int) -> AsyncGenerator[Visit]:
        """See `Admission`."""
        found = self._keys.find(key)
        names = Names(key=found.id, now=self._teller.now())
        take = Take(wants=tuple(_wants(found, names, tokens)))
        worker = await self._taken(found, names, take, tokens) if take.wants else ""
        room = self._rooms.setdefault(found.id, Room())
        visit = Visit(
            guest=found.id,
            models=_set(found.terms.models),
            controllers=_set(found.terms.controllers),
            purse=KeyPurse(found, self._teller, room),
            role=found.terms.role,
            keep=found.terms.log,
            explore=found.terms.explore,
        )
        try:
            yield visit
        finally:
            used = visit.usage
            known = used.prompt_tokens is not None and used.completion_tokens is not None
            total = (used.prompt_tokens or 0) + (used.completion_tokens or 0) if known else tokens
            paid = [
                Paid(name=w.name, kind=w.kind, held=w.amount, spent=total if w.kind == "hold" else 0)
                for w in take.wants
                if w.kind in ("hold", "seat")
            ]
            if paid:
                self._teller.settle(worker, paid)

    async def _taken(self, key: Key, names: Names, take: Take, tokens: int) -> str:
        try:
            worker, short = await self._teller.take(take)
        except StoreUnavailable as down:
            raise Refusal(f"limits cannot be looked up at the moment: {down}", status=503, code="unavailable") from None
        if short is not None:
            raise _refusal(key, names, short, tokens)
        return worker


def _set(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _wants(key: Key, names: Names, tokens: int) -> list[Want]:
    terms, wants = key.terms, list[Want]()
    for period in PERIODS:
        budget = terms.budgets.get(period)
        if budget is not None:  # what is spent already costs no plan
            wants.append(Want(name=names.money(period), kind="look", limit=nearest(budget)))
    if terms.at_once is not None:
        wants.append(Want(name=names.at_once, kind="seat", limit=terms.at_once))
    if terms.tokens_per_minute is not None:
        limit = terms.tokens_per_minute
        wants.append(Want(name=names.tokens, kind="hold", amount=tokens, limit=limit, lives_s=MINUTES_LIVE_S))
    if terms.requests_per_minute is not None:
        limit = terms.requests_per_minute
        wants.append(Want(name=names.requests, kind="spend", limit=limit, lives_s=MINUTES_LIVE_S))
    return wants


def _refusal(key: Key, names: Names, short: Short, tokens: int) -> Refusal:
    terms = key.terms
    for period in PERIODS:
        if short.name == names.money(period):
            again = names.next_s(period)
            message = f"this key's budget ({period}) of {terms.budgets[period]:g} USD is spent ({usd(short.spent):.6f})"
            return Refusal(message, status=402, code="insufficient_quota", retry_after_s=again)
    if short.name == names.at_once:
        message = f"this key may have {terms.at_once} requests under way at once, and has {short.held}"
        return Refusal(message, status=429, code="too_many_at_once", retry_after_s=1.0)
    if short.name == names.tokens:
        have = short.spent + short.held
        message = (
            f"this key may use {terms.tokens_per_minute} tokens a minute; {have} are used, this request has {tokens}"
        )
    else:
        message = f"this key may make {terms.requests_per_minute} requests a minute, and has made them"
    return Refusal(message, status=429, code="rate_limit_exceeded", retry_after_s=names.next_minute_s)
