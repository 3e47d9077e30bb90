# pyright: basic
"""The simulator's decision rule in the settings of published experiments: part 4 of fit_simulator.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from _simulated_copy import profiles

from mar.pool.simulated.assumptions import DEFAULT, Assumptions
from mar.pool.simulated.catalogue import ModelProfile
from mar.pool.simulated.draws import draws, to_normal
from mar.pool.simulated.memory import Remembered
from mar.pool.simulated.outcome import Reading, decide
from mar.pool.simulated.skill import Skills
from mar.pool.simulated.world import SimItem
from mar.types import CallContext, Domain, Feedback


def items(count: int, domain: Domain, benchmark: str) -> Iterator[tuple[str, SimItem]]:
    """Items at the quantiles of a standard normal difficulty, with eight wrong answers each."""
    for i in range(count):
        yield (
            f"item{i}",
            SimItem(
                domain=domain,
                benchmark=benchmark,
                difficulty=to_normal((i + 0.5) / count),
                right=("right",),
                wrong=tuple("abcdefgh"),
                form="code" if domain == "Code" else "number",
            ),
        )


class Study:
    """The simulator's decision rule on made-up items, without serving or text."""

    def __init__(
        self,
        known: dict[str, ModelProfile],
        domain: Domain,
        benchmark: str,
        *,
        count: int = 1500,
        rules: Assumptions = DEFAULT,
        seed: int = 0,
    ) -> None:
        self.items = dict(items(count, domain, benchmark))
        self.rules = rules
        self._seed, self._skills = seed, Skills(known, rules, seed)

    @classmethod
    def single(cls, accuracy: float, domain: Domain, benchmark: str, *, rules: Assumptions = DEFAULT) -> Study:
        """A study of one model, named "model"."""
        return cls(profiles(["model"], ["f"], [accuracy], benchmark), domain, benchmark, rules=rules)

    def ask(
        self,
        item: str,
        model: str,
        *,
        number: int,
        call: int = 0,
        read: Sequence[Remembered] = (),
        feedback: Feedback = "",
        strategy: str | None = None,
    ) -> Remembered:
        """One call of agent `number`."""
        context = CallContext(item=item, message_id="", index=number, feedback=feedback, strategy=strategy)
        drawn = draws(self._seed, f"{item}/{number}/{call}", model)
        seen, mind = self._skills.meets(model, item, self.items[item])
        out = decide(seen, mind, context, Reading.of(context, read), drawn, model, self.rules)
        return Remembered(
            item=item,
            model=model,
            role="",
            index=number,
            knew=out.knew,
            correct=out.correct,
            answer=out.answer,
            luck=out.luck,
            extra_tokens=0,
        )

    def text(self, message: Remembered) -> str | None:
        """What a message answers."""
        seen, _ = self._skills.meets(message.model, message.item, self.items[message.item])
        return None if message.answer < 0 else (seen.right if message.correct else seen.wrong)[message.answer]

    def right(self, messages: Sequence[Remembered]) -> bool:
        """Whether the most frequent answer is the gold one; ties go to the first."""
        answers = [a for m in messages if (a := self.text(m)) is not None]
        return bool(answers) and Counter(answers).most_common(1)[0][0] == "right"

    def mean(self, run: Callable[[str], bool]) -> float:
        """Share of items for which `run` is right, in percent."""
        return 100 * sum(map(run, self.items)) / len(self.items)


def debate(study: Study, item: str, *, agents: int, rounds: int) -> list[Remembered]:
    """Multi-agent debate (Du et al. 2023): in later rounds each reads its own and all others' last answers."""
    said = [study.ask(item, "model", number=a) for a in range(agents)]
    for turn in range(1, rounds):
        said = [study.ask(item, "model", number=a, call=turn, read=said) for a in range(agents)]
    return said


def self_debug(study: Study, item: str, *, turns: int) -> bool:
    """Self-debugging with unit-test feedback (Chen et al. 2023): revise while the tests fail."""
    said = study.ask(item, "model", number=0)
    for turn in range(1, turns + 1):
        if study.right([said]):
            break
        said = study.ask(item, "model", number=0, call=turn, read=[said], feedback="failed")
    return study.right([said])


def self_correct(study: Study, item: str, *, turns: int) -> bool:
    """Intrinsic self-correction (Huang et al. 2023): revise without any feedback."""
    said = study.ask(item, "model", number=0)
    for turn in range(1, turns + 1):
        said = study.ask(item, "model", number=0, call=turn, read=[said])
    return study.right([said])


def mixture(layer1: dict[str, float], rules: Assumptions) -> dict[str, float]:
    """Mixture of agents (Wang et al. 2024): each model reads the answers of all of them."""
    known = profiles(list(layer1), list(layer1), list(layer1.values()), "math")
    study = Study(known, "Math", "math", count=800, rules=rules)
    right = dict.fromkeys(layer1, 0)
    for item in study.items:
        said = [study.ask(item, m, number=a) for a, m in enumerate(layer1)]
        for m in layer1:
            right[m] += study.right([study.ask(item, m, number=len(layer1), call=1, read=said)])
    return {m: 100 * right[m] / len(study.items) for m in layer1}


MOA_MATH = {  # layer 1 and layer 2 accuracy on MATH by aggregator, Wang et al. 2024, table 4 (quoted from memory)
    "Qwen1.5-72B": (0.428, 52.6),
    "Qwen1.5-110B": (0.500, 57.0),
    "WizardLM-8x22B": (0.544, 57.4),
    "Mixtral-8x22B": (0.282, 53.4),
    "Llama-3-70B": (0.456, 58.4),
    "dbrx": (0.314, 45.6),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """A published figure and what the simulator gives in its setting, both in percent."""

    setting: str
    published: float
    simulated: float
    fitted: bool = True  # False: shown as a check only


def cited(rules: Assumptions) -> Iterator[Cited]:
    """Every cited experiment."""
    yield from cited_peers(rules)
    yield from cited_revisions(rules)


def cited_peers(rules: Assumptions) -> Iterator[Cited]:
    """Agents that read each other."""
    du = Study.single(0.77, "Math", "gsm8k", rules=rules)
    yield Cited(
        setting="debate, 3 agents, 2 rounds, gpt-3.5 77.0 alone, GSM8K (Du et al. 2023, table 1)",
        published=85.0,
        simulated=du.mean(lambda i: du.right(debate(du, i, agents=3, rounds=2))),
    )
    yield Cited(
        setting="majority of 3, gpt-3.5 77.0 alone, GSM8K (Du et al. 2023, table 1)",
        published=81.0,
        simulated=du.mean(lambda i: du.right(debate(du, i, agents=3, rounds=1))),
        fitted=False,
    )
    layer2 = mixture({m: first for m, (first, _) in MOA_MATH.items()}, rules)
    for m, (_, second) in MOA_MATH.items():
        yield Cited(
            setting=f"mixture of agents, layer 2, {m}, MATH (Wang et al. 2024, table 4)",
            published=second,
            simulated=layer2[m],
        )


def cited_revisions(rules: Assumptions) -> Iterator[Cited]:
    """Revision, repetition and strategy."""
    huang = Study.single(0.759, "Math", "gsm8k", rules=rules)
    for turns, published in ((1, 75.1), (2, 74.7)):
        yield Cited(
            setting=f"self-correction, {turns} turn(s), gpt-3.5 75.9, GSM8K (Huang et al. 2023, table 3)",
            published=published,
            simulated=huang.mean(lambda i, turns=turns: self_correct(huang, i, turns=turns)),
        )
    for name, alone, published in (("gpt-3.5", 0.676, 72.2), ("gpt-4", 0.728, 80.6), ("code-davinci-002", 0.614, 69.4)):
        chen = Study.single(alone, "Code", "mbpp", rules=rules)
        yield Cited(
            setting=f"self-debugging with unit tests, {name} {100 * alone:.1f}, MBPP (Chen et al. 2023, table 2)",
            published=published,
            simulated=chen.mean(lambda i, chen=chen: self_debug(chen, i, turns=3)),
        )
    wang = Study.single(0.601, "Math", "gsm8k", rules=rules)
    yield Cited(
        setting="self-consistency, 40 samples, code-davinci-002 60.1, GSM8K (Wang et al. 2022, table 2)",
        published=78.0,
        simulated=wang.mean(lambda i: wang.right(debate(wang, i, agents=40, rounds=1))),
        fitted=False,
    )
    sprague = Study.single(0.75, "Math", "gsm8k", rules=rules)
    yield Cited(
        setting="answer at once (Flash) instead of reasoning, mathematics at 75.0 (Sprague et al. 2024: -12.3)",
        published=62.7,
        simulated=sprague.mean(lambda i: sprague.right([sprague.ask(i, "model", number=0, strategy="Flash")])),
    )


def show_cited() -> None:
    """Part 4."""
    print("4. Cited figures (%): published, simulated, and simulated with all effects halved and doubled")
    half, double = (list(cited(DEFAULT.scaled(factor))) for factor in (0.5, 2.0))
    for row, low, high in zip(cited(DEFAULT), half, double, strict=True):
        mark = "" if row.fitted else "  (check, not fitted)"
        print(
            f"   {row.setting:98} {row.published:5.1f} {row.simulated:5.1f}"
            f"  [{low.simulated:.1f}, {high.simulated:.1f}]{mark}"
        )


def show_grid() -> None:
    """Squared error of the peer effects over a grid: beta_right and beta_wrong were chosen by it."""
    for right in (2.5, 3.0, 3.5, 4.0, 4.5):
        for wrong in (1.0, 1.5, 2.0, 2.5):
            rules = replace(DEFAULT, peers=replace(DEFAULT.peers, beta_right=right, beta_wrong=wrong))
            error = sum((row.published - row.simulated) ** 2 for row in cited_peers(rules) if row.fitted)
            print(f"   beta_right {right} beta_wrong {wrong}: squared error {error:.0f}")
