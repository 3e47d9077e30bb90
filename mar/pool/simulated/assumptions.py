"""Every constant of the simulator that is not a property of one model, with its source.

Two kinds stand here. *Fitted* constants come from recorded outcomes of real LLMs; `benchmarks/fit_simulator.py` fits
them again and prints them. *Assumed* effects (peers, roles, tools, strategies, feedback) were set from cited figures
before anything was trained; since we chose them, `Assumptions.scaled` halves or doubles them and headline results are
shown at all three. A change of any constant needs a new VERSION and regenerates every table made with the simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mar.types import Domain

VERSION = "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How outcomes vary on one benchmark, in logits."""

    sigma_d: float  # between items, common to all models
    sigma_r: float  # of one model on one item, about its skill and the item's difficulty
    family_share: float  # share of the residual's variance that models of one family have in common
    mislabelled: float = 0.0  # share of items whose gold answer is not the one that those who know give


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistakes:
    """What is answered by those who do not know: nothing, the popular mistake, or a guess."""

    trap: float = -0.24  # log-odds of making an item's popular mistake, at average difficulty
    trap_by_difficulty: float = -0.24  # times the item's difficulty
    trap_spread: float = 0.94  # standard deviation between items, logits
    open_decay: float = 1.0  # without options, the k-th most plausible other mistake has weight 1 / k^open_decay


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicEffects:
    """What a query's text tells on one benchmark (see `topics`)."""

    difficulty: float  # correlation of an item's difficulty with its first coordinate, beyond what its size tells
    loadings: tuple[float, ...]  # standard deviation over models of what each further coordinate is worth, logits


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerEffects:
    """What reading other messages does, in logits.

    beta_right and beta_wrong lie in the flat valley of least squared error against multi-agent debate on GSM8K (Du et
    al. 2023, table 1: 77.0 alone, 85.0 with three agents and two rounds) and the second layer of a mixture of agents
    on MATH (Wang et al. 2024, table 4, six aggregators: 28-54 alone, 46-58 reading all six); of equally good pairs
    the smaller one was taken.
    """

    beta_right: float = 3.0  # times log(1 + weight of right messages read)
    beta_wrong: float = 1.5  # times log(1 + weight of wrong messages read)
    discernment: float = 0.5  # share of the harm of wrong messages that a perfectly skilled reader escapes; assumed
    copy_wrong: float = 0.7  # probability that a wrong outcome takes over a wrong answer that was read; assumed


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionEffects:
    """What reading one's own earlier message, or a tool's report on the latest message, does."""

    keep_luck: float = 0.9  # probability that a revision shares the luck of what it revises; assumed
    loss_blind: float = 0.15  # logits lost by revising without feedback: 75.9 to 75.1 on GSM8K (Huang et al. 2023)
    gain_failed: float = 0.5  # logits gained from failed tests: 4.6 to 8.0 points on MBPP (Chen et al. 2023, table 2)
    keep_passed: float = 0.98  # least probability of right once a right message is reported as passed; assumed


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyEffect:
    """What a prompt strategy (or a mode that changes the prompt) does."""

    logit: Mapping[Domain, float] = field(default_factory=dict[Domain, float])  # on the task domains; others 0
    length: float = 1.0  # factor on completion tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class FalsePass:
    """How often a wrong program passes all the tests that agents are shown."""

    one: float  # share of wrong programs, where one test is shown
    more: float  # the same, where several are
    alike: float  # share of an item's wrong programs that pass, on items where any can

    def share(self, shown: int) -> float:
        """Share of wrong programs that pass this many tests."""
        return 0.0 if shown == 0 else self.one if shown == 1 else self.more


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthModel:
    """Completion tokens of one kind of output: lognormal."""

    median: float  # tokens
    sigma: float  # standard deviation of the logarithm


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """All constants of a simulation."""

    spreads: Mapping[str, Spread]  # by benchmark
    topics: Mapping[str, TopicEffects] = field(default_factory=dict[str, TopicEffects])  # by benchmark
    peers: PeerEffects = field(default_factory=PeerEffects)
    revision: RevisionEffects = field(default_factory=RevisionEffects)
    roles: Mapping[Domain, Mapping[str, float]] = field(default_factory=dict[Domain, Mapping[str, float]])  # logits
    tools: Mapping[Domain, Mapping[str, float]] = field(default_factory=dict[Domain, Mapping[str, float]])  # logits
    voices: Mapping[str, float] = field(default_factory=dict[str, float])  # weight of a role's message; others 1
    strategies: Mapping[str, StrategyEffect] = field(default_factory=dict[str, StrategyEffect])
    modes: Mapping[str, StrategyEffect] = field(default_factory=dict[str, StrategyEffect])
    lengths: Mapping[str, LengthModel] = field(default_factory=dict[str, LengthModel])  # by output kind
    cut_unreadable: float = 0.9  # probability that an answer cut off by max_tokens cannot be read
    mistakes: Mistakes = field(default_factory=Mistakes)
    gpu_contention: float = 0.35  # share by which each further server on one GPU slows down all that share it
    fault_rate: float = 0.0  # share of calls that fail: half as server faults, half as time-outs
    effects: float = 1.0  # what the assumed effects have been scaled by
    version: str = VERSION

    def spread(self, benchmark: str, domain: Domain) -> Spread:
        """The spread of a benchmark; without one its domain's first, but that no item is mislabelled."""
        return self.spreads.get(benchmark) or replace(self.spreads[FIRST_BENCHMARK[domain]], mislabelled=0.0)

    def scaled(self, factor: float) -> Assumptions:
        """The same simulator with peer, role, tool, strategy, mode and feedback effects (in logits) times `factor`.

        Token lengths, probabilities of copying and keeping, and everything fitted to recorded data stay.
        """
        peers = replace(
            self.peers, beta_right=self.peers.beta_right * factor, beta_wrong=self.peers.beta_wrong * factor
        )
        revision = replace(
            self.revision,
            loss_blind=self.revision.loss_blind * factor,
            gain_failed=self.revision.gain_failed * factor,
        )
        return replace(
            self,
            peers=peers,
            revision=revision,
            roles={domain: _times(effects, factor) for domain, effects in self.roles.items()},
            tools={domain: _times(effects, factor) for domain, effects in self.tools.items()},
            voices={role: 1 + (weight - 1) * factor for role, weight in self.voices.items()},
            strategies={name: _scaled_strategy(effect, factor) for name, effect in self.strategies.items()},
            modes={name: _scaled_strategy(effect, factor) for name, effect in self.modes.items()},
            effects=self.effects * factor,
        )


def _times(effects: Mapping[str, float], factor: float) -> dict[str, float]:
    return {name: value * factor for name, value in effects.items()}


def _scaled_strategy(effect: StrategyEffect, factor: float) -> StrategyEffect:
    return replace(effect, logit={domain: value * factor for domain, value in effect.logit.items()})


FIRST_BENCHMARK: Mapping[Domain, str] = {"Math": "gsm8k", "Commonsense": "mmlu", "Code": "mbpp"}

DEFAULT = Assumptions(
    # Marginal maximum likelihood on recorded outcomes (benchmarks/fit_simulator.py, parts 1 and 2). GSM8K: 1,319 items
    # x 7 models x 10 attempts identify everything. Elsewhere a model answered each item once, or nearly
    # deterministically, so sigma_r is GSM8K's. MATH has no recorded outcomes and takes GSM8K's. HumanEval's own free
    # fit (4.7, 4.4, 0.3) is dominated by base models whose completions had the wrong form; its sigma_d is fitted, the
    # rest is GSM8K's. MMLU's outcomes are of fine-tunes of two models, so it takes MMLU-Pro's but for the share of
    # wrong gold answers (Gema et al. 2024). A mislabelled MBPP task is one whose tests want something else than its
    # text says; HumanEval's were written for it.
    spreads={
        "gsm8k": Spread(sigma_d=2.92, sigma_r=2.19, family_share=0.05, mislabelled=0.03),
        "math": Spread(sigma_d=2.92, sigma_r=2.19, family_share=0.05, mislabelled=0.03),
        "humaneval": Spread(sigma_d=4.34, sigma_r=2.19, family_share=0.05),
        "mbpp": Spread(sigma_d=3.33, sigma_r=2.19, family_share=0.34, mislabelled=0.07),
        "mmlu": Spread(sigma_d=4.03, sigma_r=2.19, family_share=0.44, mislabelled=0.065),
        "mmlu_pro": Spread(sigma_d=4.03, sigma_r=2.19, family_share=0.44, mislabelled=0.09),
    },
    # What texts tell of difficulty and of who is better (part 3; where they were seen to tell nothing, no loadings).
    # MMLU and MATH take MMLU-Pro's, standardised over their own texts.
    topics={
        "gsm8k": TopicEffects(difficulty=0.32, loadings=(0.20, 0.18, 0.09, 0.13, 0.07, 0.06)),
        "math": TopicEffects(difficulty=0.29, loadings=(0.27, 0.26, 0.26, 0.16, 0.11, 0.07)),
        "humaneval": TopicEffects(difficulty=0.41, loadings=()),
        "mbpp": TopicEffects(difficulty=0.24, loadings=(0.85, 0.60, 0.16, 0.23, 0.18, 0.19)),
        "mmlu": TopicEffects(difficulty=0.35, loadings=(0.50, 0.37, 0.30, 0.20, 0.12, 0.08)),
        "mmlu_pro": TopicEffects(difficulty=0.42, loadings=(0.77, 0.39, 0.33, 0.25, 0.13, 0.08)),
    },
    # Assumed, and small: personas hardly move accuracy on average (Zheng et al. 2023), though a fitting one can (Kong
    # et al. 2023). 0.4 logits are about three points where accuracy is 75%.
    roles={
        "Code": {
            "ProgrammingExpert": 0.4,
            "BugFixer": 0.35,
            "AlgorithmDesigner": 0.25,
            "ReflectProgrammer": 0.25,
            "PlanSolver": 0.15,
            "TestAnalyst": 0.1,
            "ProjectManager": -0.2,
        },
        "Math": {
            "MathSolver": 0.4,
            "Mathematician": 0.35,
            "MathAnalyst": 0.25,
            "ProgrammingExpert": 0.25,
            "Inspector": 0.15,
            "MathTeacher": 0.15,
            "AlgorithmEngineer": 0.1,
            "Scientist": 0.05,
            "Engineer": 0.0,
            "CertifiedAccountant": 0.0,
            "SoftwareDeveloper": -0.05,
            "Economist": -0.1,
        },
        "Commonsense": {
            "KnowledgeExpert": 0.25,
            "WikiSearcher": 0.25,
            "Scientist": 0.15,
            "Critic": 0.1,
            "Reflector": 0.1,
            "Historian": 0.0,
            "Economist": -0.05,
        },
    },
    # What the result of a tool is worth to whoever called it, at the accuracies where that was seen. A calculator:
    # 46.9 to 49.6 on GSM8K (Wei et al. 2022, table 1, GPT-3). Python in mathematics: 65.6 to 72.0 on GSM8K (Gao et al.
    # 2022, quoted from memory). A reference: 68.3 to 71.8 on MMLU (Shi et al. 2023, Codex with REPLUG). Running one's
    # own program without tests to pass is assumed to be worth less than failed tests are.
    tools={
        "Math": {"calculator": 0.25, "python": 0.7},
        "Commonsense": {"lookup": 0.45},
        "Code": {"python": 0.3},
    },
    # Assumed: what analysts and critics say weighs more with those who read it than what a manager says.
    voices={
        "TestAnalyst": 1.4,
        "AlgorithmDesigner": 1.2,
        "Inspector": 1.4,
        "MathAnalyst": 1.2,
        "Critic": 1.4,
        "ProjectManager": 0.7,
    },
    strategies={
        # No reasoning costs 12.3 points in mathematics and next to nothing in knowledge (Sprague et al. 2024); fitted
        # to that from 75%. Code assumed in between.
        "Flash": StrategyEffect(logit={"Math": -1.35, "Commonsense": -0.1, "Code": -0.4}, length=0.35),
        # 48.7% shorter, negligible loss but in mathematics (Renze and Guven 2024).
        "Concise": StrategyEffect(logit={"Math": -0.3, "Commonsense": 0.0, "Code": -0.1}, length=0.51),
        # More reasoning steps help (Jin et al. 2024, in kind); the sizes are assumed.
        "DeepThink": StrategyEffect(logit={"Math": 0.4, "Commonsense": 0.1, "Code": 0.3}, length=2.0),
    },
    # Published accuracies were measured with step-by-step prompts already (Wei et al. 2022, Kojima et al. 2022), so
    # the CoT mode adds little; assumed.
    modes={"CoT": StrategyEffect(logit={"Math": 0.15, "Commonsense": 0.05, "Code": 0.1}, length=1.3)},
    # Code: recorded MBPP responses of 11 models have a median of 222 tokens (characters / 4) and a spread of 0.39
    # about each model's own. The others are assumed about it; recorded MMLU-Pro answers spread by 0.5 to 0.7.
    lengths={
        "code": LengthModel(median=220, sigma=0.39),
        "answer": LengthModel(median=200, sigma=0.55),
        "text": LengthModel(median=220, sigma=0.4),
        "final": LengthModel(median=180, sigma=0.45),
        "tool": LengthModel(median=60, sigma=0.5),
    },
)

MBPP_RHO = 0.29
"""Correlation of MBPP difficulty (1 - mean solve rate of 11 models) with the reference solution's size in syntax tree
nodes, corrected for the solve rate's reliability of 0.89 (benchmarks/fit_simulator.py, part 3)."""

# 1,059 wrong programs by 11 models on 161 MBPP tasks, executed (benchmarks/fit_simulator.py, part 6): .095 pass the
# first of three tests (standard error .022 over tasks), .032 pass two. False passes were seen on .205 of the tasks, so
# .095 / .205 = .46 of a task's wrong programs pass where any does. HumanEval has no recorded programs and takes these.
FALSE_PASS = FalsePass(one=0.095, more=0.032, alike=0.46)
"""False passes of shown tests: a property of the wrong programs that a world holds (`mar.tasks.wrong_code`)."""
