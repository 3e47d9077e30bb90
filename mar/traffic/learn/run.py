"""One run of `mar learn`: from a log to a candidate's checkpoint, a table and a sentence."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np

from mar.controllers.embeddings import Encoder
from mar.controllers.headers import header_of
from mar.controllers.routers import RouterController, save_routed
from mar.errors import ConfigError
from mar.files import write_atomically
from mar.learning.progress import Progress
from mar.terminal import Terminal
from mar.traffic.estimates.others import UNASKED
from mar.traffic.estimates.table import TRUST, Table, table_of, usable, worth_of
from mar.traffic.learn.candidates import KINDS, choices, learn
from mar.traffic.learn.compared import compare
from mar.traffic.learn.report import as_sections
from mar.traffic.learn.verdict import Verdict, verdict_of
from mar.traffic.records import Logged, OutcomeKind
from mar.types import Domain

PAGE = ".md"  # of the table, beside the checkpoint
ALIKE = 0.99  # cosine of a text's embedding, kept in 16 bits, with what its encoder makes of it
CHECKED = 8  # texts whose embeddings are made again


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnOptions:
    """What is wanted."""

    source: str  # what the log is called in messages
    out: Path
    routers: tuple[str, ...] = ("all",)
    outcomes: tuple[OutcomeKind, ...] = TRUST
    cost_rate: float = 0.0  # utility per USD
    domain: Domain = "Commonsense"
    seed: int = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """Candidates by name."""
        return tuple(dict.fromkeys(kind for name in self.routers for kind in (KINDS if name == "all" else (name,))))


def run_learn(log: Iterable[Logged], options: LearnOptions, encoder: Encoder, progress: Progress) -> Verdict | None:
    """Learn, estimate, keep; None where the checkpoint is of this very log and these options already.

    Raises:
        UserError: Something given cannot be used, or the log teaches nothing.
    """
    whole = list(log)
    kept = [logged for logged in whole if usable(logged)]
    if not kept:
        raise ConfigError(
            f"{options.source} has {len(whole)} requests and none to learn from; expected answered ones of keys whose "
            "features or text are logged"
        )
    _check_embeddings([logged for logged in kept if logged.embedding is not None], encoder, options.source)
    told = provenance(kept, options)
    console = Terminal(width=None if sys.stdout.isatty() else 160)
    if told["hash"] in header_of(options.out):
        console.print(options.out.with_suffix(PAGE).read_text(encoding="utf-8"), markup=False, highlight=False)
        return None
    kept = _embedded(kept, encoder)  # of a long log that takes minutes
    table = table_of(kept, lambda logged: worth_of(logged.outcomes, options.outcomes))
    models = choices(table)
    compared = compare(table, options.kinds, models, options.cost_rate, progress, seed=options.seed)
    verdict = verdict_of(compared, "quality" if not options.cost_rate else "utility")
    _keep(table, models, verdict.kept, options, encoder, told)
    title = f"{options.source}: {len(table):,} requests, {table.rated:,} of them rated"
    caption = _caption(table, whole, verdict, options)
    found = as_sections(compared.lines, title=title, caption=caption)
    write_atomically(options.out.with_suffix(PAGE), found.markdown(verdict.sentence))
    console.print(found.table())
    console.print(verdict.sentence, highlight=False, markup=False, soft_wrap=True)
    return verdict


def provenance(log: Sequence[Logged], options: LearnOptions) -> dict[str, str]:
    """What a candidate says it was learned from."""
    digest = sha256(repr((options.kinds, options.outcomes, options.cost_rate, options.seed)).encode())
    for logged in log:
        said = [(outcome.kind, outcome.by, outcome.value) for outcome in logged.outcomes]
        digest.update(repr((logged.id, logged.arms, logged.cost_usd, said, logged.others)).encode())
    times = [logged.at for logged in log]
    return {
        "log": options.source,
        "from": datetime.fromtimestamp(min(times), UTC).isoformat(timespec="seconds"),
        "to": datetime.fromtimestamp(max(times), UTC).isoformat(timespec="seconds"),
        "requests": str(len(log)),
        "versions": ", ".join(sorted({logged.version for logged in log if logged.version})),
        "seed": str(options.seed),
        "hash": digest.hexdigest(),
    }


def _keep(
    table: Table, models: Sequence[int], kind: str, options: LearnOptions, encoder: Encoder, told: dict[str, str]
) -> None:
    learned = learn(kind, table, models, options.cost_rate, seed=options.seed)
    controller = RouterController(
        router=learned.router,
        models=tuple(table.arms[k] for k in models),
        ties=learned.ties.astype(np.float32),
        encoder=encoder,
        name=f"{kind} router",
        domain=options.domain,
        costs=learned.usd.astype(np.float32),
        rate=options.cost_rate,
    )
    save_routed(options.out, controller, trained_on=told)


def _caption(table: Table, whole: Sequence[Logged], verdict: Verdict, options: LearnOptions) -> str:
    drawn: list[int] = table.drawn.tolist()
    shares = Counter(table.arms[k] for k in drawn)
    notes = {
        "intervals": "95%; by arms, doubly robust (docs/traffic.md)",
        "rated": "taken to hang on question and model alone, not on how good the answer was",
        "drawn": ", ".join(f"{name} {count:,}" for name, count in shares.most_common()),
        "kept": f"{verdict.kept}, learned from all requests, in {options.out}",
    }
    if verdict.equals:
        notes["not ranked"] = f"the log cannot tell {', '.join(verdict.equals)} from it"
    if table.others is not None:
        rated = table.rows(~np.isnan(table.worth)).others
        heard = 0 if rated is None else int((rated.said != UNASKED).any(axis=1).sum())
        notes["others"] = f"what other models said about {heard:,} of the rated questions is heard, too"
    if left_out := len(whole) - len(table):
        why = "failed, asked for a model by its name, or of which neither text nor embedding was kept"
        notes["left out"] = f"{left_out:,} requests that {why}"
    return "; ".join(f"{name}: {text}" for name, text in notes.items())


def _embedded(log: Sequence[Logged], encoder: Encoder) -> list[Logged]:
    """The same, with embeddings made of texts where only these were kept."""
    texts = [logged.text or "" for logged in log if logged.embedding is None]
    made = iter(encoder.encode(texts) if texts else ())
    return [
        logged if logged.embedding is not None else replace(logged, embedding=tuple(map(float, next(made))))
        for logged in log
    ]


def _check_embeddings(log: Sequence[Logged], encoder: Encoder, source: str) -> None:
    """Refuse embeddings of another encoder, as far as that can be seen.

    Raises:
        ConfigError: A width differs, or a text's embedding is not what this encoder makes of it.
    """
    widths = {len(logged.embedding or ()) for logged in log} - {encoder.width}
    if widths:
        raise ConfigError(
            f"{source} has embeddings of width {', '.join(map(str, sorted(widths)))}; {encoder.name} makes "
            f"{encoder.width}; expected the encoder that the gateway logs with (--embedding)"
        )
    some = [logged for logged in log if logged.text][:CHECKED]
    if not some:
        return
    made = encoder.encode([logged.text or "" for logged in some])
    kept = np.array([logged.embedding for logged in some]).reshape(len(some), encoder.width)
    cosines = (made * kept).sum(axis=1) / np.maximum(np.linalg.norm(kept, axis=1), 1e-9)
    if float(np.median(cosines)) < ALIKE:
        raise ConfigError(
            f"{source} has embeddings that {encoder.name} does not make; expected the encoder that the gateway logs "
            "with (--embedding)"
        )
