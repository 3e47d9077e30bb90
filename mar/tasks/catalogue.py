"""What `mar data pull` can fetch: every public data set that a loader of mar reads, and where it lies below a folder.

An entry is data only. Benchmarks land below benchmarks/, what real LLMs answered below outcomes/; `mar.tasks.pull`
turns an entry's parts into exactly these files. Addresses say HEAD where a repository's default branch is meant. An
address that is not certain is not guessed: its entry says by hand what to fetch, from which page, and where to put it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MB = 1_000_000
HUB_ADDRESS = "https://huggingface.co"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """One file on a public host."""

    url: str
    sha256: str | None = None  # of the file as published, where it is certain
    cap_bytes: int = 500 * MB  # a longer answer is refused

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRows:
    """Rows of a data set on the hub, read through `datasets`."""

    dataset: str
    split: str
    to: str  # a file, gzipped where its name says so; a folder for "mmlu_csv"
    configs: tuple[str | None, ...] = (None,)  # one after the other into the same file
    fields: tuple[str, ...] = ()  # what to keep of a row; empty: everything
    shape: Literal["rows", "mmlu_csv"] = "rows"
    gated: bool = False  # its terms have to be accepted on its page first


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFiles:
    """Files fetched one by one, kept as they are or reshaped together into one file."""

    remotes: tuple[Remote, ...]
    to: str  # the file that they become
    shape: Literal["as_is", "scores", "routerbench_mbpp"] = "as_is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archives:
    """Archives (.zip, .tar.gz) that are unpacked, safely."""

    remotes: tuple[Remote, ...]
    to: str  # a folder
    keep: str = "*"  # members to keep, as a pattern over their whole name
    strip: int = 0  # leading folders left out of their names
    shape: Literal["as_is", "mmlu_pro_outputs"] = "as_is"
    cap_bytes: int = 2_000 * MB  # of one archive's contents


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """Something that a person has to download: no address is certain, or a page has to be clicked through."""

    page: str  # the project's page, which links it
    what: str  # which file or folder it is
    place: str  # where to put it
    unpack_to: str = ""  # a folder: the next pull unpacks the archive there
    cap_bytes: int = 20_000 * MB  # of the archive's contents


Part = HubRows | RemoteFiles | Archives | ByHand


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One name of `mar data pull`."""

    name: str
    what: str  # one line for people
    rows: str
    size: str  # of what is written, about
    licence: str
    source: str
    files: tuple[str, ...]  # patterns; the data set is there when each of them names a file
    parts: tuple[Part, ...]

    @property
    def by_hand(self) -> ByHand | None:
        """What a person has to download, if there is such a part."""
        return next((part for part in self.parts if isinstance(part, ByHand)), None)


def _raw(repository: str, path: str, sha256: str | None = None) -> Remote:
    return Remote(url=f"https://raw.githubusercontent.com/{repository}/HEAD/{path}", sha256=sha256)


def _one(remote: Remote, to: str) -> RemoteFiles:
    return RemoteFiles(remotes=(remote,), to=to)


def _raw_file(repository: str, path: str, to: str, sha256: str | None = None) -> RemoteFiles:
    """One file of a repository, kept as it is."""
    return _one(_raw(repository, path, sha256), to)


# Benchmarks ---------------------------------------------------------------------------------------------------

_GSM8K = "openai/grade-school-math"
_MATH_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_MMLU_PRO_FIELDS = ("question_id", "question", "options", "answer", "answer_index", "category", "src")
_JUDGMENT_FIELDS = ("judge", "model_a", "model_b", "question_id", "turn", "winner")
_JUDGMENTS = "lmsys/mt_bench_human_judgments"

_BENCHMARKS = (
    DataSet(
        name="mbpp",
        what="MBPP: short Python tasks with tests",
        rows="974",
        size="0.6 MB",
        licence="CC-BY-4.0",
        source="github google-research/google-research (hub google-research-datasets/mbpp)",
        files=("benchmarks/mbpp/mbpp.jsonl",),
        parts=(_raw_file("google-research/google-research", "mbpp/mbpp.jsonl", "benchmarks/mbpp/mbpp.jsonl"),),
    ),
    DataSet(
        name="gsm8k",
        what="GSM8K: grade-school word problems",
        rows="7,473 train, 1,319 test",
        size="5 MB",
        licence="MIT",
        source=f"github {_GSM8K} (hub openai/gsm8k)",
        files=("benchmarks/gsm8k/train.jsonl", "benchmarks/gsm8k/test.jsonl"),
        parts=(
            _raw_file(
                _GSM8K,
                "grade_school_math/data/train.jsonl",
                "benchmarks/gsm8k/train.jsonl",
                "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
            ),
            _raw_file(
                _GSM8K,
                "grade_school_math/data/test.jsonl",
                "benchmarks/gsm8k/test.jsonl",
                "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
            ),
        ),
    ),
    DataSet(
        name="humaneval",
        what="HumanEval, as published",
        rows="164",
        size="0.05 MB",
        licence="MIT",
        source="github openai/human-eval (hub openai/openai_humaneval)",
        files=("benchmarks/humaneval/HumanEval.jsonl.gz",),
        parts=(
            _raw_file(
                "openai/human-eval",
                "data/HumanEval.jsonl.gz",
                "benchmarks/humaneval/HumanEval.jsonl.gz",
                "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
            ),
        ),
    ),
    DataSet(
        name="humaneval_multipl_e",
        what="HumanEval, the reworded form of MultiPL-E that agent papers use",
        rows="about 160",
        size="0.2 MB",
        licence="MIT",
        source="github noahshinn/reflexion, after arjunguha/MultiPL-E",
        files=("benchmarks/humaneval/humaneval-py.jsonl",),
        parts=(
            _raw_file(
                "noahshinn/reflexion",
                "programming_runs/benchmarks/humaneval-py.jsonl",
                "benchmarks/humaneval/humaneval-py.jsonl",
            ),
        ),
    ),
    DataSet(
        name="math",
        what="MATH: competition problems; the test part is MATH-500",
        rows="7,500 train, 500 test",
        size="7 MB",
        licence="MIT",
        source="hub EleutherAI/hendrycks_math, HuggingFaceH4/MATH-500",
        files=("benchmarks/MATH/train.jsonl", "benchmarks/MATH/test.jsonl"),
        parts=(
            HubRows(
                dataset="EleutherAI/hendrycks_math",
                configs=_MATH_SUBJECTS,
                split="train",
                to="benchmarks/MATH/train.jsonl",
            ),
            HubRows(dataset="HuggingFaceH4/MATH-500", split="test", to="benchmarks/MATH/test.jsonl"),
        ),
    ),
    DataSet(
        name="mmlu",
        what="MMLU: 57 subjects, four options",
        rows="285 dev, 1,531 val, 14,042 test",
        size="8 MB",
        licence="MIT",
        source="hub cais/mmlu",
        files=tuple(f"benchmarks/MMLU/data/{part}/*.csv" for part in ("dev", "val", "test")),
        parts=tuple(
            HubRows(
                dataset="cais/mmlu",
                configs=("all",),
                split=split,
                to=f"benchmarks/MMLU/data/{part}",
                shape="mmlu_csv",
            )
            for split, part in (("dev", "dev"), ("validation", "val"), ("test", "test"))
        ),
    ),
    DataSet(
        name="mmlu_pro",
        what="MMLU-Pro: up to ten options",
        rows="12,032",
        size="2.5 MB",
        licence="MIT",
        source="hub TIGER-Lab/MMLU-Pro",
        files=("benchmarks/mmlu_pro/test.jsonl.gz",),
        parts=(
            HubRows(
                dataset="TIGER-Lab/MMLU-Pro",
                split="test",
                to="benchmarks/mmlu_pro/test.jsonl.gz",
                fields=_MMLU_PRO_FIELDS,
            ),
        ),
    ),
    DataSet(
        name="mt_bench",
        what="MT-Bench: two-turn questions, judgments of people and of GPT-4",
        rows="80 questions, 3,355 + 2,400 judgments",
        size="0.8 MB",
        licence="Apache-2.0 (questions), CC-BY-4.0 (judgments)",
        source=f"github lm-sys/FastChat, hub {_JUDGMENTS}",
        files=tuple(f"benchmarks/mt_bench/{n}.jsonl" for n in ("question", "human_judgments", "gpt4_pair")),
        parts=(
            _raw_file(
                "lm-sys/FastChat",
                "fastchat/llm_judge/data/mt_bench/question.jsonl",
                "benchmarks/mt_bench/question.jsonl",
            ),
            *(
                HubRows(
                    dataset=_JUDGMENTS, split=split, to=f"benchmarks/mt_bench/{name}.jsonl", fields=_JUDGMENT_FIELDS
                )
                for split, name in (("human", "human_judgments"), ("gpt4_pair", "gpt4_pair"))
            ),
        ),
    ),
    DataSet(
        name="supergpqa",
        what="SuperGPQA: graduate-level questions of 285 disciplines",
        rows="26,529",
        size="8 MB",
        licence="ODC-BY",
        source="hub m-a-p/SuperGPQA",
        files=("benchmarks/supergpqa/supergpqa.jsonl.gz",),
        parts=(HubRows(dataset="m-a-p/SuperGPQA", split="train", to="benchmarks/supergpqa/supergpqa.jsonl.gz"),),
    ),
    DataSet(
        name="medmcqa",
        what="MedMCQA: medical entrance exams, four options",
        rows="182,822 train, 4,183 validation, 6,150 test",
        size="60 MB",
        licence="Apache-2.0",
        source="hub openlifescienceai/medmcqa",
        files=tuple(f"benchmarks/medmcqa/{part}.jsonl.gz" for part in ("train", "validation", "test")),
        parts=tuple(
            HubRows(dataset="openlifescienceai/medmcqa", split=part, to=f"benchmarks/medmcqa/{part}.jsonl.gz")
            for part in ("train", "validation", "test")
        ),
    ),
    DataSet(
        name="bbeh",
        what="BIG-Bench Extra Hard: 23 reasoning tasks",
        rows="4,520",
        size="20 MB",
        licence="CC-BY-4.0 (code Apache-2.0)",
        source="github google-deepmind/bbeh",
        files=("benchmarks/bbeh/*/task.json",),
        parts=(
            Archives(
                remotes=(Remote(url="https://github.com/google-deepmind/bbeh/archive/HEAD.zip"),),
                to="benchmarks/bbeh",
                keep="*/bbeh/benchmark_tasks/*/task.json",
                strip=3,
            ),
        ),
    ),
)

# What real LLMs answered --------------------------------------------------------------------------------------

_MMLU_PRO_LLMS = (
    *("Llama-2-13b-hf", "Llama-2-70b-hf", "Llama-2-7b-hf", "Meta-Llama-3-70B", "Meta-Llama-3-8B"),
    *("Meta-Llama-3_1-70B-Instruct", "Meta-Llama-3_1-70B", "Meta-Llama-3_1-8B-Instruct", "Meta-Llama-3_1-8B"),
    *("Mistral-7B-Instruct-v0.1", "Mistral-7B-Instruct-v0.2", "Mistral-7B-v0.1", "Mistral-7B-v0.2-hf"),
    *("Mixtral-8x7B-Instruct-v0.1", "Mixtral-8x7B-v0.1", "Phi-3-mini-4k-instruct", "Qwen1.5-110B"),
    *("Qwen1.5-72B-Chat", "Qwen1.5-7B-Chat", "Yi-34B", "Yi-6B", "Yi-6b-Chat", "c4ai-command-r-v01"),
    *("gemini-1.5-flash-002", "gemini-1.5-pro-002", "gemma-7b", "jamba-1.5-large", "mathstral-7B"),
)
_ROUTER_DC = "shuhao02/RouterDC"
_MODEL7 = {  # our name: the file in RouterDC's repository
    "arc_challenge_test": "split2_model7/arc_challenge_test.json",
    "arc_challenge_train": "split2_model7/arc_challenge_train.json",
    "cmmlu_test": "split2_model7/cmmlu_test.json",
    "cmmlu_train": "split2_model7_cluster/cmmlu_train.json",
    "gsm8k_test": "split2_model7/gsm8k-test.json",
    "gsm8k_train": "split2_model7_cluster/gsm8k-train.json",
    "humaneval_test": "split2_model7/humaneval_test.json",
    "humaneval_train": "split2_model7_cluster/humaneval_train.json",
    "mmlu_test": "split2_model7/mmlu_test.json",
    "mmlu_train": "split2_model7_cluster/mmlu_train.json",
}
_ROUTERBENCH = f"{HUB_ADDRESS}/datasets/withmartian/routerbench/resolve/main"
_ROUTER_EVAL_PAGE = "https://github.com/MilkThink-Lab/RouterEval"

_OUTCOMES = (
    DataSet(
        name="mmlu_pro_outputs",
        what="the answers of 28 LLMs to MMLU-Pro, with their full texts",
        rows="12,032 x 28",
        size="40 MB (a few 100 MB fetched)",
        licence="Apache-2.0",
        source="github TIGER-AI-Lab/MMLU-Pro, eval_results",
        files=(
            "outcomes/mmlu_pro/predictions.csv.gz",
            "outcomes/mmlu_pro/response_chars.csv.gz",
            "outcomes/mmlu_pro/responses/*.jsonl.gz",
        ),
        parts=(
            Archives(
                remotes=tuple(
                    Remote(
                        url="https://github.com/TIGER-AI-Lab/MMLU-Pro/raw/HEAD/eval_results/"
                        f"model_outputs_{llm}_5shots.zip"
                    )
                    for llm in _MMLU_PRO_LLMS
                ),
                to="outcomes/mmlu_pro",
                keep="*.json",
                shape="mmlu_pro_outputs",
            ),
        ),
    ),
    DataSet(
        name="routerbench",
        what="RouterBench: 11 LLMs on eight benchmarks (pickles: fetched, never opened)",
        rows="about 36,500 per file",
        size="200 MB",
        licence="see its page; none is stated",
        source="hub withmartian/routerbench",
        files=("outcomes/routerbench/routerbench_0shot.pkl", "outcomes/routerbench/routerbench_5shot.pkl"),
        parts=(
            _one(
                Remote(
                    url=f"{_ROUTERBENCH}/routerbench_0shot.pkl",
                    sha256="ba4f77f19517610a707c374e99322d7750c30fc4ae7ff5527888595a1e65d36d",
                ),
                "outcomes/routerbench/routerbench_0shot.pkl",
            ),
            _one(Remote(url=f"{_ROUTERBENCH}/routerbench_5shot.pkl"), "outcomes/routerbench/routerbench_5shot.pkl"),
        ),
    ),
    DataSet(
        name="routerbench_mbpp",
        what="RouterBench's MBPP part: full responses, scores and costs of 11 LLMs",
        rows="427 x 11",
        size="1 MB",
        licence="see its page; none is stated",
        source=f"github {_ROUTER_DC}, after withmartian/routerbench",
        files=("outcomes/routerbench_mbpp/mbpp.jsonl.gz",),
        parts=(
            RemoteFiles(
                remotes=tuple(_raw(_ROUTER_DC, f"datasets/routerbench_zs/mbpp_{s}.csv") for s in ("train", "test")),
                to="outcomes/routerbench_mbpp/mbpp.jsonl.gz",
                shape="routerbench_mbpp",
            ),
        ),
    ),
    DataSet(
        name="model7",
        what="scores of seven 7-8B LLMs on GSM8K, HumanEval, ARC-Challenge, MMLU and CMMLU",
        rows="15,343 x 7",
        size="2.7 MB",
        licence="see its page; none is stated",
        source=f"github {_ROUTER_DC}",
        files=tuple(f"outcomes/model7/{name}.jsonl.gz" for name in _MODEL7),
        parts=tuple(
            RemoteFiles(
                remotes=(_raw(_ROUTER_DC, f"datasets/{path}"),),
                to=f"outcomes/model7/{name}.jsonl.gz",
                shape="scores",
            )
            for name, path in _MODEL7.items()
        ),
    ),
    DataSet(
        name="chatbot_arena",
        what="Chatbot Arena: conversations with votes of their users (gated)",
        rows="33,000",
        size="40 MB",
        licence="CC-BY-4.0 (prompts), CC-BY-NC-4.0 (outputs); accept its terms first",
        source="hub lmsys/chatbot_arena_conversations",
        files=("outcomes/chatbot_arena/conversations.jsonl.gz",),
        parts=(
            HubRows(
                dataset="lmsys/chatbot_arena_conversations",
                split="train",
                to="outcomes/chatbot_arena/conversations.jsonl.gz",
                gated=True,
            ),
        ),
    ),
    DataSet(
        name="routereval",
        what="RouterEval's router_dataset: 12 benchmarks, pools of 3 to 1,000 LLMs (pickles: never opened)",
        rows="12 benchmarks",
        size="several GB",
        licence="MIT",
        source="github MilkThink-Lab/RouterEval, by hand",
        files=("outcomes/routereval/router_dataset/*",),
        parts=(
            ByHand(
                page=_ROUTER_EVAL_PAGE,
                what="router_dataset.zip",
                place="outcomes/routereval/router_dataset.zip",
                unpack_to="outcomes/routereval",
            ),
        ),
    ),
    DataSet(
        name="routereval_leaderboard",
        what="RouterEval's leaderboard files: scores, prompts and embeddings of 8,500 LLMs",
        rows="200 million scores",
        size="tens of GB",
        licence="MIT",
        source="github MilkThink-Lab/RouterEval, by hand",
        files=("outcomes/routereval/leaderboard_score/*",),
        parts=(
            ByHand(
                page=_ROUTER_EVAL_PAGE,
                what="the folders leaderboard_score, leaderboard_prompt and leaderboard_embed",
                place="outcomes/routereval",
            ),
        ),
    ),
    DataSet(
        name="gmtrouter",
        what="GMTRouter's multi-turn interactions: chatbot_arena, gsm8k, mmlu, mt_bench",
        rows="four data sets",
        size="several 100 MB",
        licence="MIT",
        source="github ulab-uiuc/GMTRouter, by hand",
        files=("outcomes/gmtrouter/GMTRouter_dataset/data/*",),
        parts=(
            ByHand(
                page="https://github.com/ulab-uiuc/GMTRouter",
                what="GMTRouter_dataset.tar.gz",
                place="outcomes/gmtrouter/GMTRouter_dataset.tar.gz",
                unpack_to="outcomes/gmtrouter",
            ),
        ),
    ),
)

CATALOGUE: Mapping[str, DataSet] = {entry.name: entry for entry in (*_BENCHMARKS, *_OUTCOMES)}
