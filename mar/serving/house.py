"""The models and controllers of a gateway: what a client can ask for, and how a request is worked on."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from mar.controllers.base import Controller, Planned
from mar.controllers.cards import ASSISTANT, Cards
from mar.controllers.planner import Planner
from mar.errors import ConfigError, StoreUnavailable
from mar.pool.cards import ModelCard
from mar.runtime import Fallback, PlanPolicy, get_mode
from mar.service import Service, space_of
from mar.serving.admission import Visit
from mar.serving.asked import Asked
from mar.serving.bodies import told
from mar.serving.errors import Refusal
from mar.serving.record import DIRECT
from mar.serving.staff import Serving, Staff
from mar.serving.sticky import Sticky, place_of
from mar.traffic.records import Arm
from mar.types import AgentSpec, ModeSpec, Plan, Policy, Query, Settle, View

MAR = "mar"
MOST_PLANNERS = 256  # by controller, price of money and models allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a request is worked on."""

    planned: Planned
    label: str  # in a few words
    controller: str = ""  # who decided; "": nobody, the model was asked for by name
    version: str = ""  # of who decided: the hash of its weights and settings
    notes: Mapping[str, str] = field(default_factory=dict[str, str])
    allowed: tuple[str, ...] = ()  # models that may answer in the place of others
    arms: tuple[Arm, ...] = ()  # what could have been done, the first one was; none: it was not asked yet
    explored: bool = False  # whether another model was drawn for what that teaches


class House:
    """What can be asked for.

    Args:
        service: The open runtime.
        controllers: By the name that clients ask for: "mar", "mar/NAME".
        versions: Of these, likewise; one that is not named goes by its controller's name.
        sticky: Which models conversations stay with; None: controllers choose anew for each turn.
    """

    def __init__(
        self,
        service: Service,
        controllers: Mapping[str, Controller],
        versions: Mapping[str, str] | None = None,
        sticky: Sticky | None = None,
    ) -> None:
        self.service, self.pool, self._sticky = service, service.pool, sticky
        known = versions or {}
        self.staff = Staff(
            serving={n: Serving(controller=c, version=known.get(n, c.name)) for n, c in controllers.items()}
        )
        self.out: frozenset[str] = frozenset()  # models of the pool that somebody has taken out
        self._direct = {name: _direct(name) for name in self.pool.names}
        self._planners: OrderedDict[tuple[str, str, float | None, frozenset[str]], Planner] = OrderedDict()

    def take_out(self, models: frozenset[str]) -> None:
        """Have these models of the pool asked by nobody, and no others kept out."""
        self.out = models

    @property
    def controllers(self) -> Mapping[str, Controller]:
        """Who answers, by the name that clients ask for."""
        return {name: serving.controller for name, serving in self.staff.serving.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """All names that can be asked for answers: controllers first."""
        return (*self.staff.serving, *self.pool.names)

    async def way(self, asked: Asked, visit: Visit) -> Way:
        """How a request is worked on.

        Raises:
            Refusal: There is no such model, or none that may and can answer this.
        """
        if asked.model in self.staff.serving:
            allowed = self.allowed(asked, visit)
            unit = f"{visit.guest}/{asked.query.user_id or asked.query.conversation_id}"
            stays = place_of(asked, visit) if self._sticky is not None and asked.query.history else None
            return await self.planned(asked, allowed, self.staff.who(asked.model, unit), stays=stays)
        if asked.model not in self._direct:
            raise Refusal(
                f"model: there is no {told(asked.model)!r} here; there are: {', '.join(self.names)}",
                status=404,
                code="model_not_found",
                param="model",
            )
        self.allowed(asked, visit, only=asked.model)
        return self._direct[asked.model]

    def answered(self, asked: Asked, visit: Visit, way: Way, models: Sequence[str]) -> None:
        """Take note of who answered, where a conversation may stay with them."""
        if self._sticky is not None and way.controller and way.planned.plan is not None and models and not way.explored:
            self._sticky.answered(place_of(asked, visit), models[-1])

    # Who may answer --------------------------------------------------------------------------------------------

    def allowed(self, asked: Asked, visit: Visit, *, only: str | None = None) -> tuple[str, ...]:
        """The models that may answer, in the pool's order; never none.

        Raises:
            Refusal: None may, or one is named that there is not.
        """
        if only is None and visit.controllers is not None and asked.model not in visit.controllers:
            raise _forbidden(asked.model, visit.controllers)
        if only is not None and visit.models is not None and only not in visit.models:
            raise _forbidden(only, visit.models)
        if only in self.out:
            raise _taken_out(f"{only} is")
        wishes = asked.wishes
        if wishes.allow is None and not wishes.deny and not asked.needs and visit.models is None and not self.out:
            return self.pool.names
        for name in (*(wishes.allow or ()), *(wishes.deny or ())):
            if name not in self.pool.cards:
                there_are = ", ".join(self.pool.names)
                raise Refusal(
                    f"mar: there is no model {told(name)!r}; there are: {there_are}",
                    code="model_not_found",
                    param="mar.allow" if name in (wishes.allow or ()) else "mar.deny",
                )
        names = self.pool.names if only is None else (only,)
        names = [n for n in names if (visit.models is None or n in visit.models) and n not in (wishes.deny or ())]
        names = [n for n in names if wishes.allow is None or n in wishes.allow]
        if not names:
            raise Refusal("mar: the wishes to allow and deny leave no model", code="no_model_left", param="mar")
        if self.out.issuperset(names):
            raise _taken_out("all models that may answer are")
        names = [n for n in names if n not in self.out]
        able = [n for n in names if set(asked.needs).issubset(self.pool.cards[n].tags)]
        if not able:
            raise _unable(asked, only, self.pool.cards.values())
        return tuple(able)

    # Who decides -----------------------------------------------------------------------------------------------

    async def planned(
        self, asked: Asked, allowed: tuple[str, ...], serving: Serving, *, stays: bytes | None = None
    ) -> Way:
        """How a request is worked on by who is asked to decide.

        Args:
            asked: The request.
            allowed: Models that may answer.
            serving: Who decides.
            stays: Where the shelf says which model its conversation stays with; None: with none.

        Raises:
            ConfigError: Who decides and the pool do not fit together.
        """
        planner = self._planner(asked, allowed, serving)
        query, name = asked.query, planner.controller.name
        try:
            planned = await planner.plan(query)
        except ConfigError as error:  # a controller that is made for models which are not all allowed here
            if len(allowed) == len(self.pool.names):
                raise
            planned = self._by_card(asked, planner, f"{name} does not decide: {error}")
        except StoreUnavailable as down:  # of what a personal controller learns from
            planned = self._by_card(asked, planner, f"{name} does not decide: {down}")
        if planned.plan is not None and not _models(planned.plan).issubset(allowed):
            planned = self._by_card(asked, planner, f"{name} does not decide: it plans for models that are not allowed")
        if asked.alone and not _is_single(planned):
            planned = await self._single(asked, planned, allowed)
        if self._sticky is not None and stays is not None:
            planned = await self._sticky.stayed(stays, planned, allowed)
        return self._with_fallback(planned, allowed, name, serving.version)

    def _planner(self, asked: Asked, allowed: tuple[str, ...], serving: Serving) -> Planner:
        rate = asked.wishes.cost_rate
        key = (asked.model, serving.version, rate, frozenset(allowed))
        if key in self._planners:
            self._planners.move_to_end(key)
            return self._planners[key]
        controller = serving.controller
        if rate is not None:
            controller = _at_rate(controller, asked.model, rate)
        space = space_of(controller, self.pool, self.service.space.prompts)
        space = replace(space, cards=tuple(card for card in space.cards if card.name in allowed))
        planner = self._planners[key] = Planner(controller, space)
        if len(self._planners) > MOST_PLANNERS:
            self._planners.popitem(last=False)
        return planner

    def _by_card(self, asked: Asked, planner: Planner, why: str) -> Planned:
        return Cards().planned(asked.query, planner.space, because=why)

    async def _single(self, asked: Asked, planned: Planned, allowed: tuple[str, ...]) -> Planned:
        """A single agent in place of a plan of several: the first of its models that is allowed."""
        wanted = await _first_models(planned, asked.query)
        chosen = next((name for name in wanted if name in allowed), allowed[0])
        why = f"a single agent, since plans of several cannot work with {asked.alone}"
        return Planned(
            plan=self._direct[chosen].planned.plan,
            alternatives=tuple(name for name in wanted if name != chosen),
            notes={**planned.notes, "single": why},
        )

    def _with_fallback(self, planned: Planned, allowed: tuple[str, ...], controller: str, version: str) -> Way:
        others = tuple(dict.fromkeys(n for n in (*planned.alternatives, *allowed) if n in allowed))
        make = planned.policy or partial(PlanPolicy, planned.intent, why=planned.why)
        label = controller if planned.plan is None else describe(planned.plan)
        kept = replace(planned, policy=partial(_fallen_back, make, others))
        return Way(
            planned=kept, label=label, controller=controller, version=version, notes=planned.notes, allowed=allowed
        )

    def one(self, way: Way, model: str) -> Planned:
        """The same request on one model and, should it fail, on no other."""
        plan = way.planned.plan
        if plan is None or not is_alone(plan):
            return self._direct[model].planned
        return Planned(plan=replace(plan, agents=(replace(plan.agents[0], model=model),)))

    def alone(self, way: Way, model: str, why: str) -> Way:
        """The same request on one model alone."""
        own = self.one(way, model).intent
        others = tuple(name for name in way.planned.alternatives if name != model)
        planned = Planned(plan=own, alternatives=others, notes={**way.notes, "explored": why})
        return self._with_fallback(planned, way.allowed, way.controller, way.version)


def _fallen_back(make: Callable[[], Policy], models: tuple[str, ...]) -> Policy:
    return Fallback(make(), models)


def _direct(name: str) -> Way:
    agents = (AgentSpec(role=ASSISTANT, model=name),)
    plan = Plan(mode=ModeSpec(name="IO"), domain="Commonsense", agents=agents)
    return Way(planned=Planned(plan=plan), label=DIRECT)


def describe(plan: Plan) -> str:
    """A plan in a few words, fit for a header: mode and models."""
    models = ", ".join(agent.model or "chosen late" for agent in plan.agents)
    ending = f" -> {plan.decider}" if plan.decider and len(plan.agents) > 1 else ""
    return f"{plan.mode.name}({models}){ending}"


def _models(plan: Plan) -> set[str]:
    return {m for m in (*(agent.model for agent in plan.agents), plan.decider) if m is not None}


def _is_single(planned: Planned) -> bool:
    return planned.plan is not None and planned.policy is None and is_alone(planned.plan)


def is_alone(plan: Plan) -> bool:
    """Whether it is one model's one answer."""
    return len(plan.agents) == 1 and get_mode(plan.mode).n_rounds(plan.mode) == 1


async def _first_models(planned: Planned, query: Query) -> list[str]:
    """The models that a plan names, or that a policy would ask first."""
    if planned.plan is not None:
        return list(dict.fromkeys(a.model for a in planned.plan.agents if a.model is not None))
    policy = None if planned.policy is None else planned.policy()
    moves = None if policy is None else await policy.next(View(query=query))
    if moves is None or isinstance(moves, Settle):
        return []
    return list(dict.fromkeys(m.agent.model for m in moves if m.agent.model is not None))


def _at_rate(controller: Controller, asked: str, rate: float) -> Controller:
    """A controller at another price of money; what it learned is shared with the one that it is taken from."""
    other = copy.copy(controller)
    try:
        if not hasattr(other, "cost_rate"):
            raise ConfigError("it weighs no money")
        other.cost_rate = rate  # pyright: ignore[reportAttributeAccessIssue]
    except ConfigError as error:
        message = f"mar.cost_rate: it has no meaning for {asked}: {error}"
        raise Refusal(message, param="mar.cost_rate") from None
    return other


def _forbidden(name: str, allowed: Iterable[str]) -> Refusal:
    message = f"model: this key may not have {name}; it may have: {', '.join(sorted(allowed)) or 'nothing'}"
    return Refusal(message, status=403, code="model_not_allowed", param="model")


def _taken_out(who: str) -> Refusal:
    return Refusal(f"model: {who} taken out of the pool at the moment", status=503, code="model_out", param="model")


def _unable(asked: Asked, only: str | None, cards: Iterable[ModelCard]) -> Refusal:
    needs = set(asked.needs)
    able = [card.name for card in cards if needs.issubset(card.tags)]
    what = " and ".join(asked.needs)
    lacks = "no model that may answer has" if only is None else f"{only} has not"
    others = f"these have: {', '.join(able)}" if able else "none here does"
    message = f"this request needs {what}, which {lacks}; {others} (a model has what its card's `tags` state)"
    return Refusal(message, code="unsupported_feature", param="model")
