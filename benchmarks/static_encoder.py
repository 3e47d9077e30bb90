# pyright: basic
"""The static encoder: how its table is made from MiniLM, what routing loses by it, and the time it takes.

    uv run python benchmarks/static_encoder.py fit        # makes the packaged table (--show: leaves it as it is)
    uv run python benchmarks/static_encoder.py quality    # routers on MMLU-Pro's recorded answers, beside MiniLM
    uv run python benchmarks/static_encoder.py time       # processor time of a text, beside MiniLM

The rows are fitted (1 - cosine, Adam; three in ten word pieces of a text left out by chance) to MiniLM's vectors of
texts, turned to the directions in which they differ most. They start as a ridge regression from MiniLM's own rows, the
rarer the longer.

The texts: MMLU-Pro's prompts, with and without options, on which no router is tested in the five splits of
`benchmarks/routereval_better.py`; a sample of other benchmarks' questions, solutions and programs; words drawn at
random, for pieces that none of these has. A text that begins like a tested prompt is left out, so what is measured with
the encoder is measured on prompts that it has not seen.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from _routing import POOLS, TRAIN, VALIDATION, embedded_table, pool_problem
from _shared import ROOT, data_folder, machine
from routereval_better import difference, verdict_of
from safetensors.numpy import save

from mar.controllers.embeddings import encoder_of
from mar.controllers.minilm import MiniLM, WordPieces
from mar.controllers.routers.base import joined
from mar.controllers.routers.registry import make_router
from mar.controllers.static import FILE, StaticEncoder, quantised
from mar.evaluation.routereval.construct import RoutingSet, permuted
from mar.evaluation.routereval.embed import embed
from mar.evaluation.routereval.recorded import RECORDED
from mar.evaluation.routereval.results import run_router, run_single
from mar.evaluation.routereval.table import OutcomeTable
from mar.extensions import parse_call
from mar.files import write_atomically
from mar.learning.progress import Progress

PACKAGED = ROOT / "mar" / "controllers" / FILE
SEEDS = range(5)  # of the splits
READ, CHARS = 2_000, 200  # texts of other benchmarks, and characters of one: MiniLM has to read them all
DRAWN, LONGEST = 3_000, 16  # texts of words drawn at random, and words of one
HELD_OUT = 20  # every so many texts
WIDTH, PASSES, TOGETHER, RATE, LEFT_OUT = 128, 14, 512, 5e-3, 0.3
RIDGE, COMMON = 1e-5, 1e-3
ROUTERS = ("knn(k=200)", "mf")
TIMED, BATCH = 512, 64  # texts whose time is taken, and texts of a batch
Table = np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("fit", "quality", "time"))
    parser.add_argument("--show", action="store_true", help="fit: leave the packaged table as it is")
    parser.add_argument("--router", nargs="+", default=ROUTERS, help="quality: which routers (default: %(default)s)")
    chosen = parser.parse_args()
    print(machine())
    if chosen.part == "fit":
        package(show=chosen.show)
    elif chosen.part == "quality":
        quality(chosen.router)
    else:
        times()


# How the table is made


def package(*, show: bool) -> None:
    texts = texts_of(data_folder())
    table = fitted(texts, taught(texts))
    if not show:
        write_atomically(PACKAGED, save(dict(quantised(table))))
        print(f"{PACKAGED.stat().st_size / 1e6:.1f} MB")


def texts_of(data: Path) -> list[str]:
    """What the table is fitted on."""
    pro, query = (RECORDED[name](data) for name in ("mmlu_pro", "mmlu_pro_query"))
    known = tested(pro, data)
    free = [i for i in range(len(pro)) if begins(pro.prompts[i]) not in known]
    more = list(dict.fromkeys(text[:CHARS] for text in others(data) if begins(text) not in known))
    some = np.random.default_rng(0).choice(len(more), READ, replace=False)
    kept = [text for i in free for text in (pro.prompts[i], query.prompts[i])]
    return list(dict.fromkeys([*kept, *(more[i] for i in some), *drawn(WordPieces().words)]))


def begins(text: str) -> str:
    """By what two forms of one prompt are known to be the same."""
    return "".join(c for c in text.lower() if c.isalnum())[:40]


def tested(pro: OutcomeTable, data: Path) -> set[str]:
    """How the prompts begin that routers are tested on."""
    splits = [permuted(len(pro), seed=seed, train=TRAIN, validation=VALIDATION) for seed in SEEDS]
    known = {begins(pro.prompts[i]) for split in splits for i in split.test.tolist()}
    for table in (RECORDED[name](data) for name in ("model7", "routerbench_mbpp")):
        known |= {begins(p) for p, s in zip(table.prompts, table.splits, strict=True) if s == "test"}
    return known


def others(data: Path) -> Iterator[str]:
    """Texts of other benchmarks: questions with and without options, solutions, programs."""
    folder = data / "benchmarks"
    for path in sorted((folder / "MMLU" / "data" / "test").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for question, *options in csv.reader(file):
                yield question
                yield "\n".join([question, *(f"{letter}. {o}" for letter, o in zip("ABCD", options, strict=False))])
    seven = RECORDED["model7"](data)
    yield from (p for p, s in zip(seven.prompts, seven.splits, strict=True) if s == "train")
    for name, fields in (
        ("gsm8k/train.jsonl", ("question", "answer")),
        ("MATH/train.jsonl", ("problem", "solution")),
        ("mbpp/mbpp.jsonl", ("text", "code")),
    ):
        for line in filter(None, (folder / name).read_text(encoding="utf-8").split("\n")):
            row = json.loads(line)
            yield from (row[field] for field in fields)


def drawn(words: Sequence[str]) -> Iterator[str]:
    """Texts of words drawn at random, of every length alike."""
    rng, among = np.random.default_rng(0), np.array(words)
    for _ in range(DRAWN):
        yield " ".join(rng.choice(among, size=rng.integers(1, LONGEST + 1)))


def taught(texts: Sequence[str]) -> Table:
    """MiniLM's vectors of the texts, each computed once for all runs."""
    encoder, rows = encoder_of(None), list[Table]()
    with Progress().bar("MiniLM", total=len(texts)) as bar:
        for at in range(0, len(texts), BATCH):
            rows.append(encoder.encode(texts[at : at + BATCH]))
            bar.advance(len(rows[-1]))
    return np.concatenate(rows)


def fitted(texts: Sequence[str], vectors: Table) -> Table:
    """A row for each word piece. Prints how near the sums come to MiniLM's vectors on texts that were held out."""
    import torch

    pieces = [np.array(found[1:-1]) for found in WordPieces().read(texts)]
    held = np.arange(len(texts)) % HELD_OUT == 0
    learned = np.flatnonzero(~held)
    target = turned(vectors, learned)
    bag = torch.nn.EmbeddingBag.from_pretrained(torch.tensor(start(pieces, target, learned)), freeze=False, mode="sum")
    adam, rng = torch.optim.Adam(bag.parameters(), lr=RATE), np.random.default_rng(0)
    for number in range(PASSES + 1):
        table = bag.weight.detach().numpy()
        print(f"after {number} passes: cosine {likeness(table, pieces, target, np.flatnonzero(held)):.4f}", flush=True)
        if number == PASSES:
            return table
        rng.shuffle(learned)
        for at in range(0, len(learned), TOGETHER):
            some = learned[at : at + TOGETHER]
            kept = [p[rng.random(len(p)) > LEFT_OUT] if len(p) > 3 else p for p in (pieces[i] for i in some)]
            ends = torch.tensor(np.cumsum([0, *map(len, kept[:-1])]))
            found = bag(torch.tensor(np.concatenate(kept)), ends)
            loss = 1 - torch.nn.functional.cosine_similarity(found, torch.tensor(target[some])).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
    raise AssertionError


def turned(vectors: Table, learned: Table) -> Table:
    """The coordinates in which the learned texts' vectors differ most, normalised."""
    _, directions = np.linalg.eigh(vectors[learned].T @ vectors[learned])
    kept = vectors @ directions[:, ::-1][:, :WIDTH].astype(np.float32)
    return kept / np.linalg.norm(kept, axis=1, keepdims=True)


def start(pieces: Sequence[Table], target: Table, learned: Table) -> Table:
    """The best linear map of MiniLM's own rows; pieces are numbered by frequency, roughly, and rare ones count more."""
    rows = MiniLM().load().weights["embeddings.word_embeddings.weight"]
    rank = np.arange(1, len(rows) + 1)
    weight = (COMMON / (COMMON + 1 / (rank * np.log(len(rows))))).astype(np.float32)[:, None]  # SIF, by Zipf's law
    means = [(rows[p] * weight[p]).sum(axis=0) / max(weight[p].sum(), 1e-9) for p in pieces]
    x = np.stack([*means, np.zeros(rows.shape[1], np.float32)])[:-1]
    design = np.c_[x, np.ones(len(x))][learned]
    penalty = RIDGE * len(design) * np.diag(np.r_[np.var(x, axis=0), 0])
    found = np.linalg.solve(design.T @ design + penalty, design.T @ target[learned])
    return ((rows @ found[:-1] + found[-1]) * weight).astype(np.float32)


def likeness(table: Table, pieces: Sequence[Table], target: Table, which: Table) -> float:
    """Mean cosine of texts' sums with what they should be."""
    sums = np.stack([table[pieces[i]].sum(axis=0) for i in which])
    return float(((sums / np.linalg.norm(sums, axis=1, keepdims=True)) * target[which]).sum(axis=1).mean())


# What routing loses


def quality(routers: Sequence[str]) -> None:
    """Mean over five splits. Routers see the query as agents get it, with its options."""
    both = {
        MiniLM.name: embedded_table("mmlu_pro_query", RECORDED["mmlu_pro_query"]),
        StaticEncoder.name: embed(RECORDED["mmlu_pro_query"](data_folder()), StaticEncoder(), Progress()),
    }
    print(f"\ncosines of two tested prompts, correlation of both encoders': {agreement(*both.values()):.3f}")
    print(
        "\n| pool | router | best single | MiniLM | static | static minus MiniLM, 95% | | static minus best single | |"
    )
    print(f"|{'---|' * 9}")
    for pool in POOLS:
        problems = {name: [pool_problem(table, pool, seed) for seed in SEEDS] for name, table in both.items()}
        single = [run_single(problem).values for problem in problems[MiniLM.name]]
        for router in routers:
            values = {name: [chosen_by(router, problem) for problem in some] for name, some in problems.items()}
            print(row(pool, router, single, values[MiniLM.name], values[StaticEncoder.name]), flush=True)


def chosen_by(name: str, problem: RoutingSet) -> Table:
    """What the LLM that a router chooses scores on each test prompt."""
    kind, parameters = parse_call(name, "router")
    learned = replace(problem, train=joined(problem.train, problem.validation))
    return run_router(make_router(kind, **parameters), learned, name=name).values


def row(pool: str, router: str, single: Sequence[Table], mini: Sequence[Table], static: Sequence[Table]) -> str:
    means = " | ".join(f"{np.mean([v.mean() for v in some]):.4f}" for some in (single, mini, static))
    gaps = [difference(static, other) for other in (mini, single)]
    told = " | ".join(f"{gap.mean:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) | {verdict_of(gap)}" for gap in gaps)
    return f"| {pool} | {router} | {means} | {told} |"


def agreement(one: OutcomeTable, other: OutcomeTable) -> float:
    """Correlation of the cosines of all pairs of the first split's tested prompts."""
    tested = permuted(len(one), seed=0, train=TRAIN, validation=VALIDATION).test
    some = [np.asarray(table.vectors)[tested] for table in (one, other)]
    pairs = np.triu_indices(len(tested), 1)
    return float(np.corrcoef([(v @ v.T)[pairs] for v in some])[0, 1])


# What it takes


def times() -> None:
    """Processor time of this process, so other processes matter little; ratios of one run compare."""
    texts = RECORDED["mmlu_pro_query"](data_folder()).prompts[:TIMED]
    print(
        f"{len(texts)} prompts of MMLU-Pro with options, {np.mean([len(t) for t in texts]):.0f} characters on average"
    )
    print("\n| CPU ms a text | MiniLM | static | |\n|---|---|---|---|")
    encoders = (MiniLM(), StaticEncoder())
    for encoder in encoders:
        encoder.encode(texts[:1])
    for how, size in (("one by one", 1), (f"in batches of {BATCH}", BATCH)):
        mini, static = (spent(encoder.encode, texts, size) for encoder in encoders)
        print(f"| {how} | {mini:.2f} | {static:.3f} | 1/{mini / static:.0f} |", flush=True)


def spent(encode: Callable[[Sequence[str]], object], texts: Sequence[str], size: int) -> float:
    """Milliseconds of processor time for a text."""
    begin = time.process_time()
    for at in range(0, len(texts), size):
        encode(texts[at : at + size])
    return (time.process_time() - begin) / len(texts) * 1e3


if __name__ == "__main__":
    main()
