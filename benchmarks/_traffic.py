# pyright: basic
"""Traffic made of recorded answers: what a policy that explores would have logged, and what policies are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import anyio
import numpy as np
from _recorded_answers import CHARACTERS, LIST_PRICES, _characters
from _routing import embedded_table
from _shared import data_folder

from mar.controllers.cards import qualities
from mar.controllers.routers.pooled import directions_of
from mar.evaluation.letters import read_letters
from mar.evaluation.routereval.recorded import RECORDED
from mar.evaluation.routereval.table import OutcomeTable
from mar.pool.cards import ModelCard
from mar.pool.recordings import load_routerbench
from mar.runtime.sandbox import Sandbox
from mar.traffic.acting import sayings_of
from mar.traffic.estimates.others import ALONE, UNASKED, Others
from mar.traffic.estimates.table import Floats, Ints, Table
from mar.traffic.saying import Saying

DIRECTIONS = 8  # of the questions' embeddings: as many repetitions as are wanted need short vectors

# MMLU as makers and leaderboards state it, rounded to a point, entered by hand and not checked again. It is another
# benchmark than those that the worlds are of.
MMLU: Mapping[str, int] = {
    "gemini-1.5-pro-002": 86,
    "gemini-1.5-flash-002": 79,
    "Meta-Llama-3_1-70B-Instruct": 84,
    "Meta-Llama-3_1-70B": 79,
    "Meta-Llama-3-70B": 80,
    "jamba-1.5-large": 81,
    "Qwen1.5-110B": 80,
    "Qwen1.5-72B-Chat": 77,
    "Meta-Llama-3_1-8B-Instruct": 69,
    "Yi-34B": 76,
    "mathstral-7B": 63,
    "Mixtral-8x7B-Instruct-v0.1": 71,
    "Phi-3-mini-4k-instruct": 69,
    "Mixtral-8x7B-v0.1": 71,
    "c4ai-command-r-v01": 68,
    "Meta-Llama-3_1-8B": 67,
    "Llama-2-70b-hf": 69,
    "Meta-Llama-3-8B": 67,
    "gemma-7b": 64,
    "Mistral-7B-v0.1": 60,
    "Mistral-7B-v0.2-hf": 61,
    "Mistral-7B-Instruct-v0.2": 61,
    "Yi-6b-Chat": 61,
    "Qwen1.5-7B-Chat": 61,
    "Yi-6B": 63,
    "Mistral-7B-Instruct-v0.1": 55,
    "Llama-2-13b-hf": 55,
    "Llama-2-7b-hf": 45,
    "gpt-4-1106-preview": 86,
    "gpt-3.5-turbo-1106": 70,
    "claude-instant-v1": 73,
    "claude-v2": 79,
    "claude-v1": 77,
    "mistralai/mixtral-8x7b-chat": 71,
    "meta/code-llama-instruct-34b-chat": 54,
    "zero-one-ai/Yi-34B-Chat": 74,
    "WizardLM/WizardLM-13B-V1.2": 53,
    "mistralai/mistral-7b-chat": 55,
    "meta/llama-2-70b-chat": 63,
}


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything that could have been asked and answered, with replacement: so true values are known exactly."""

    name: str
    models: tuple[str, ...]
    right: Floats  # (N, K)
    usd: Floats  # (N, K); zeros: no prices
    vectors: np.ndarray  # (N, d)
    served: int  # the best-known model, by published scores
    cost_rate: float  # utility per USD
    said: Ints | None = None  # number of what each answer says, (N, K); None: answers were not recorded
    single: np.ndarray | None = None  # whether answers that are right all say the same, (N,); likewise

    @property
    def expected(self) -> Floats:
        """How often each is right by its card, which states MMLU and no more, (K,)."""
        stated = {name: f"MMLU {MMLU[name]}%" if name in MMLU else "" for name in self.models}
        cards = [ModelCard(name=name, description=text) for name, text in stated.items()]
        found = qualities(cards, None, dict.fromkeys(self.models))
        return np.array([found[name] for name in self.models])

    @property
    def utility(self) -> Floats:
        """Of every answer."""
        return self.right - self.cost_rate * self.usd

    def worth(self, does: Floats) -> float:
        """True mean utility of a policy."""
        return float((does * self.utility).sum(axis=1).mean())

    def always(self, model: int) -> Floats:
        """A policy of one model."""
        return np.tile(np.eye(len(self.models))[model], (len(self.right), 1))


def drawn(
    world: World, policy: Floats, requests: int, rng: np.random.Generator, *, rated: float, wrong: float = 0.0
) -> tuple[Table, Ints]:
    """A log, and the rows of the world that it is of.

    Args:
        world: What answers.
        policy: Probabilities of models for every row of the world.
        requests: How many.
        rng: Of everything.
        rated: Share that is rated.
        wrong: Share of ratings that say the opposite.
    """
    at = rng.integers(0, len(world.right), requests)
    chance = policy[at]
    did = np.minimum((chance.cumsum(axis=1) < rng.random(requests)[:, None]).sum(axis=1), len(world.models) - 1)
    right = world.right[at, did]
    told = np.where(rng.random(requests) < wrong, 1 - right, right)
    worth = np.where(rng.random(requests) < rated, told, np.nan)
    return Table(
        arms=world.models,
        drawn=did,
        probability=chance,
        worth=worth,
        usd=world.usd[at, did],
        seconds=np.zeros(requests),
        vectors=world.vectors[at],
        person=np.arange(requests),
        others=_others(world, at, ~np.isnan(worth)),
    ), at


def _others(world: World, at: Ints, rated: np.ndarray) -> Others | None:
    """What all models say about the questions that are rated."""
    if world.said is None or world.single is None:
        return None
    return Others(
        said=np.where(rated[:, None], world.said[at], UNASKED),
        usd=np.where(rated[:, None], world.usd[at], np.nan),
        single=world.single[at],
    )


def explored(policy: Floats, share: float) -> Floats:
    """The same with a share of requests given to any model."""
    return (1 - share) * policy + share / policy.shape[1]


def world(name: str, directions: int = DIRECTIONS, encoder: str | None = None) -> World:
    """One of WORLDS."""
    return WORLDS[name](directions, encoder)


def _without_prices(directions: int, encoder: str | None, *, name: str, table: str, served: str) -> World:
    """A table whose costs nobody recorded."""
    found = embedded_table(table, RECORDED[table], encoder)
    right = np.asarray(found.scores, dtype=np.float64)
    return World(
        name=name,
        models=found.models,
        right=right,
        usd=np.zeros(right.shape),
        vectors=_short(np.asarray(found.vectors), directions),
        served=found.models.index(served),
        cost_rate=0.0,
        said=_letters(found) if table == "mmlu_pro_query" else None,
        single=np.ones(len(right), dtype=np.bool_),
    )


def _letters(table: OutcomeTable) -> Ints:
    """Numbers of the letters that were read of MMLU-Pro's answers."""
    found = read_letters(data_folder())
    row = {item.id: n for n, item in enumerate(found.items)}
    columns = [found.models.index(name) for name in table.models]
    letters = found.letters[np.array([row[id] for id in table.ids])][:, columns]
    return np.where(letters == "", ALONE, np.unique(letters, return_inverse=True)[1].reshape(letters.shape))


def _programs(table: OutcomeTable) -> tuple[Ints, np.ndarray]:
    """Numbers of what RouterBench's programs do, by prompt, and whether most of a prompt's could be run."""
    found = load_routerbench(data_folder() / "outcomes/routerbench_mbpp/mbpp.jsonl.gz")
    answers = {item.id: item.answers for item in found}
    texts = [[answers[id][model].text for model in table.models] for id in table.ids]

    async def run() -> list[list[Saying]]:
        async with Sandbox() as sandbox:
            return [await sayings_of(row, sandbox) for row in texts]  # two minutes

    said = anyio.run(run)
    single = [2 * sum(one.single for one in row) > len(row) for row in said]
    return np.array([_numbered(row) for row in said]), np.array(single)


def _numbered(said: list[Saying]) -> list[int]:
    places = {what: number for number, what in enumerate(dict.fromkeys(one.what for one in said))}
    return [places[one.what] for one in said]


def _list_prices(directions: int, encoder: str | None) -> World:
    """Five strongest; a reply's tokens by its length, where that was recorded."""
    table = embedded_table("mmlu_pro_query", RECORDED["mmlu_pro_query"], encoder)
    columns = [table.models.index(name) for name in LIST_PRICES]
    right = np.asarray(table.scores, dtype=np.float64)[:, columns]
    asked = np.array([len(text) for text in table.prompts], dtype=np.float64)[:, None] / CHARACTERS
    said = _characters(data_folder(), tuple(LIST_PRICES), [name.rsplit("/", 1)[-1] for name in table.ids])
    prices = np.array([LIST_PRICES[name] for name in LIST_PRICES]) * 1e-6
    usd = asked * prices[:, 0] + np.nan_to_num(said) / CHARACTERS * prices[:, 1]
    best = list(LIST_PRICES).index("gemini-1.5-pro-002")
    return World(
        name="MMLU-Pro, five strongest at list prices",
        models=tuple(LIST_PRICES),
        right=right,
        usd=usd,
        vectors=_short(np.asarray(table.vectors), directions),
        served=best,
        cost_rate=0.1 / float(usd[:, best].mean()),
        said=_letters(table)[:, columns],
        single=np.ones(len(right), dtype=np.bool_),
    )


def _routerbench(directions: int, encoder: str | None) -> World:
    table = embedded_table("routerbench_mbpp", RECORDED["routerbench_mbpp"], encoder)
    usd, best = np.asarray(table.costs, dtype=np.float64), table.models.index("gpt-4-1106-preview")
    said, single = _programs(table)
    return World(
        name="RouterBench's MBPP, 11 LLMs",
        models=table.models,
        right=np.asarray(table.scores, dtype=np.float64),
        usd=usd,
        vectors=_short(np.asarray(table.vectors), directions),
        served=best,
        cost_rate=0.1 / float(usd[:, best].mean()),
        said=said,
        single=single,
    )


WORLDS: Mapping[str, Callable[[int, str | None], World]] = {
    "mmlu_pro": partial(
        _without_prices, name="MMLU-Pro, 28 LLMs", table="mmlu_pro_query", served="Meta-Llama-3_1-70B-Instruct"
    ),
    "list_prices": _list_prices,
    "routerbench": _routerbench,
    "model7": partial(_without_prices, name="model7, 7 LLMs", table="model7", served="meta-llama/Meta-Llama-3-8B"),
}


def _short(vectors: np.ndarray, directions: int) -> np.ndarray:
    if not directions:
        return vectors
    basis, centre = directions_of(vectors, directions)
    return ((vectors - centre) @ basis).astype(np.float32)
