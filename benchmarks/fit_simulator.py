"""Fit the simulator's constants to recorded outcomes and show it against cited figures.

    MAR_DATA=... python benchmarks/fit_simulator.py [--data DIR] [--skip-encoder]

Part 1 fits the item-response model's spreads by marginal maximum likelihood (Bock and Aitkin 1981): the likelihood of
each item's outcomes is integrated over its difficulty, the families' shared residuals and the models' own residuals
by Gauss-Hermite quadrature. GSM8K scores are means of ten attempts, so all three variances are identified there; where
every model answered once, the residual's size is taken from GSM8K. Part 2 compares how well models complement each
other, recorded and simulated. Part 3 measures how far an item's difficulty can be told from the item. Part 4 runs the
simulator's own decision rule in the settings of cited experiments. Part 5 measures lengths. Part 6 runs recorded
programs, and counts the wrong ones that pass the first test. Nothing is written; the constants stand in
`mar/pool/simulated/assumptions.py`, part 3's in the tasks' modules.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from _difficulty import show_difficulty
from _outcomes import Outcomes, load_mbpp, load_mmlu_pro, load_model7, read_lines
from _verifiers import show_verifiers

from mar.pool.simulated.assumptions import DEFAULT, Assumptions, Spread
from mar.pool.simulated.catalogue import ModelProfile, Serving
from mar.pool.simulated.draws import draws, to_normal
from mar.pool.simulated.memory import Remembered
from mar.pool.simulated.outcome import Outcome, Reading, decide
from mar.pool.simulated.skill import Skills
from mar.pool.simulated.world import SimItem
from mar.types import CallContext, Domain, Feedback

Tensor = torch.Tensor
DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_SERVING = Serving(slots=1, prefill_tokens_per_s=1, tpot_base_s=1, kv_tokens=1)


# Part 1: spreads


def nodes(count: int) -> tuple[Tensor, Tensor]:
    """Gauss-Hermite nodes and log-weights for a standard normal."""
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    return torch.tensor(points), torch.log(torch.tensor(weights / weights.sum()))


def log_likelihood(theta: Tensor, sigmas: Tensor, share: Tensor, data: Outcomes) -> Tensor:
    """Mean log-likelihood per item (without binomial coefficients), integrated over all latent variables."""
    (d, log_d), (f, log_f), (r, log_r) = nodes(31), nodes(11), nodes(21)
    y = torch.arange(data.attempts + 1, dtype=torch.float64)[:, None, None, None]
    successes, families = torch.tensor(data.successes), data.families
    total = torch.zeros(len(successes), len(d), dtype=torch.float64)
    for family in sorted(set(families)):
        inner = torch.zeros(len(successes), len(d), len(f), dtype=torch.float64)
        for m in (m for m, name in enumerate(families) if name == family):
            residual = torch.sqrt(share) * f[:, None] + torch.sqrt(1 - share) * r
            eta = theta[m] - sigmas[0] * d[:, None, None] + sigmas[1] * residual
            right, wrong = torch.nn.functional.logsigmoid(eta), torch.nn.functional.logsigmoid(-eta)
            inner = inner + torch.logsumexp(y * right + (data.attempts - y) * wrong + log_r, -1)[successes[:, m]]
        total = total + torch.logsumexp(inner + log_f, -1)
    return torch.logsumexp(total + log_d, -1).mean()


def fit_spread(data: Outcomes, *, sigma_r: float | None = None) -> Spread:
    """Maximum-likelihood spreads; with `sigma_r` given, only the others are fitted."""
    theta = torch.zeros(len(data.models), dtype=torch.float64, requires_grad=True)
    free = torch.tensor([0.4, 0.0, -0.8], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([theta, free], max_iter=80, line_search_fn="strong_wolfe")

    def parameters() -> tuple[Tensor, Tensor]:
        fixed = torch.exp(free[1]) if sigma_r is None else torch.tensor(sigma_r, dtype=torch.float64)
        return torch.stack([torch.exp(free[0]), fixed]), torch.sigmoid(free[2])

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = -log_likelihood(theta, *parameters(), data)
        value.backward()  # pyright: ignore[reportUnknownMemberType]
        return value

    optimiser.step(loss)  # pyright: ignore[reportUnknownMemberType, reportArgumentType]
    sigmas, share = parameters()
    return Spread(
        sigma_d=sigmas[0].item(), sigma_r=sigmas[1].item() if sigma_r is None else sigma_r, family_share=share.item()
    )


def show_spreads(data: Path) -> None:
    """Part 1."""
    print("1. Spreads in logits (sigma_d between items, sigma_r of a model on an item, share common to a family)")
    gsm8k = fit_spread(load_model7(data, "gsm8k_test", attempts=10))
    humaneval = load_model7(data, "humaneval_train", "humaneval_test", attempts=10)
    print_spread("gsm8k, 10 attempts", gsm8k, "gsm8k")
    print_spread("humaneval, 10 attempts, all free (not used)", fit_spread(humaneval), "humaneval")
    for name, outcomes in (
        ("humaneval", humaneval),
        ("mbpp", load_mbpp(data)),
        ("mmlu", load_model7(data, "mmlu_test", attempts=1)),
        ("mmlu_pro", load_mmlu_pro(data)),
    ):
        print_spread(f"{name}, sigma_r of gsm8k", fit_spread(outcomes, sigma_r=gsm8k.sigma_r), name)


def print_spread(title: str, fitted: Spread, benchmark: str) -> None:
    """One line: fitted and packaged."""
    packaged = DEFAULT.spreads[benchmark]
    numbers = f"{fitted.sigma_d:.2f} {fitted.sigma_r:.2f} {fitted.family_share:.2f}"
    print(f"   {title:46} {numbers}   packaged {packaged.sigma_d} {packaged.sigma_r} {packaged.family_share}")


# Part 2: complementarity


def profiles(accuracies: dict[str, float], benchmark: str, families: Sequence[str]) -> dict[str, ModelProfile]:
    """Profiles of made-up models with these accuracies."""
    return {
        name: ModelProfile(family=family, verbosity=1.0, scores={benchmark: value}, serving=_SERVING)
        for (name, value), family in zip(accuracies.items(), families, strict=True)
    }


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
                form="text",
            ),
        )


def show_complementarity(data: Path) -> None:
    """Part 2."""
    recorded = load_mbpp(data)
    means = recorded.successes.mean(axis=0)
    known = profiles(dict(zip(recorded.models, means.tolist(), strict=True)), "mbpp", recorded.families)
    study = Study(known, "Code", "mbpp", count=4000)
    simulated = np.array([[study.ask(item, m, number=0).correct for m in known] for item in study.items])
    print("2. MBPP, 11 models: best single, oracle over models, mean correlation between models")
    for title, table in (("recorded", recorded.successes), ("simulated", simulated.astype(np.int64))):
        pairs = np.asarray(np.corrcoef(table.T))[np.triu_indices(table.shape[1], 1)]
        best, oracle = table.mean(axis=0).max(), table.max(axis=1).mean()
        print(f"   {title:10} {best:.3f} {oracle:.3f} {float(np.mean(pairs)):.3f}")


# Part 4: cited figures


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
    ) -> None:
        self.items = dict(items(count, domain, benchmark))
        self.rules = rules
        self._skills = Skills(known, rules, 0)

    @classmethod
    def single(cls, accuracy: float, domain: Domain, benchmark: str, *, rules: Assumptions = DEFAULT) -> Study:
        """A study of one model, named "model"."""
        return cls(profiles({"model": accuracy}, benchmark, ["f"]), domain, benchmark, rules=rules)

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
        drawn = draws(0, f"{item}/{number}/{call}", model)
        skill = self._skills.logit(model, item, self.items[item])
        out: Outcome = decide(self.items[item], skill, context, Reading.of(context, read), drawn, model, self.rules)
        return Remembered(
            item=item,
            model=model,
            role="",
            index=number,
            correct=out.correct,
            answer=out.answer,
            luck=out.luck,
            extra_tokens=0,
        )

    def mean(self, run: Callable[[str], bool]) -> float:
        """Share of items for which `run` is right, in percent."""
        return 100 * sum(map(run, self.items)) / len(self.items)


def majority_right(messages: Sequence[Remembered]) -> bool:
    """Whether the most frequent answer is right; ties go to the first."""
    votes = Counter((m.correct, m.answer if not m.correct else 0) for m in messages)
    return votes.most_common(1)[0][0][0]


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
        if said.correct:
            break
        said = study.ask(item, "model", number=0, call=turn, read=[said], feedback="failed")
    return said.correct


def self_correct(study: Study, item: str, *, turns: int) -> bool:
    """Intrinsic self-correction (Huang et al. 2023): revise without any feedback."""
    said = study.ask(item, "model", number=0)
    for turn in range(1, turns + 1):
        said = study.ask(item, "model", number=0, call=turn, read=[said])
    return said.correct


def mixture(layer1: dict[str, float], rules: Assumptions) -> dict[str, float]:
    """Mixture of agents (Wang et al. 2024): each model reads the answers of all of them."""
    study = Study(profiles(layer1, "math", list(layer1)), "Math", "math", count=800, rules=rules)
    right = dict.fromkeys(layer1, 0)
    for item in study.items:
        said = [study.ask(item, m, number=a) for a, m in enumerate(layer1)]
        for m in layer1:
            right[m] += study.ask(item, m, number=len(layer1), call=1, read=said).correct
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
        simulated=du.mean(lambda i: majority_right(debate(du, i, agents=3, rounds=2))),
    )
    yield Cited(
        setting="majority of 3, gpt-3.5 77.0 alone, GSM8K (Du et al. 2023, table 1)",
        published=81.0,
        simulated=du.mean(lambda i: majority_right(debate(du, i, agents=3, rounds=1))),
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
        simulated=wang.mean(lambda i: majority_right(debate(wang, i, agents=40, rounds=1))),
        fitted=False,
    )
    sprague = Study.single(0.75, "Math", "gsm8k", rules=rules)
    yield Cited(
        setting="answer at once (Flash) instead of reasoning, mathematics at 75.0 (Sprague et al. 2024: -12.3)",
        published=62.7,
        simulated=sprague.mean(lambda i: sprague.ask(i, "model", number=0, strategy="Flash").correct),
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


def show_lengths(data: Path) -> None:
    """Part 5."""
    rows = read_lines(data / "outcomes/routerbench_mbpp/mbpp.jsonl.gz")
    logs = np.log([[max(1.0, len(m["response"]) / 4) for m in row["models"].values()] for row in rows])
    median, spread = np.exp(np.median(np.median(logs, axis=0))), np.median(logs.std(axis=0))
    print("5. Lengths in tokens (characters / 4): median over models of the median, and of the spread of the logarithm")
    print(f"   MBPP responses {median:.0f} {spread:.2f}; packaged {DEFAULT.lengths['code']}")


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MAR_DATA", DEFAULT_DATA)))
    parser.add_argument("--skip-encoder", action="store_true", help="leave out the sentence embeddings of part 3")
    parser.add_argument("--grid", action="store_true", help="also scan the peer effects over a grid (minutes)")
    options = parser.parse_args()
    show_spreads(options.data)
    show_complementarity(options.data)
    show_difficulty(options.data, encode=not options.skip_encoder)
    show_cited()
    show_lengths(options.data)
    show_verifiers(options.data)
    if options.grid:
        show_grid()


if __name__ == "__main__":
    main()
