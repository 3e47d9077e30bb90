"""The run behind `experiments/run_cascal.py`: its options, its pools, its steps in order, and the table at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from mar.controllers.cascal import SkillSettings, agreement_shares
from mar.controllers.cascal.labelled import QUERY_ANSWER, query_answer_scores
from mar.controllers.cascal.responses import Floats
from mar.controllers.embeddings import CachedEncoder, Encoder, MiniLM
from mar.errors import ConfigError
from mar.evaluation.generated import Judged, judge, percent, references, simple_rules, table
from mar.evaluation.plots import plot_lines
from mar.evaluation.session import SPENDING, check_spread
from mar.evaluation.statistics import Interval, bootstrap_mean
from mar.execution import Executor, Workers, executor
from mar.execution.options import PLACES
from mar.files import write_atomically
from mar.learning.generated.asking import Askers
from mar.learning.generated.consensus import Consensus
from mar.learning.generated.filtering import FilterSettings
from mar.learning.generated.generate import PUBLISHED_QUESTIONS, GenerateSettings
from mar.learning.generated.pipeline import STEPS, Pipeline, PipelineSettings, Pools, Step
from mar.learning.generated.records import Question, read_records
from mar.learning.generated.respond import RespondSettings
from mar.learning.generated.simulated import NAME, SimulatedGenerator, question_world
from mar.learning.generated.subjects import subject_descriptions, task_name
from mar.learning.progress import Progress
from mar.learning.rundir import claim_folder, held, same_arguments
from mar.numerics import one_thread
from mar.pool.choose import AUTO, configured_pool
from mar.pool.pool import Pool
from mar.pool.simulated import simulated_pool
from mar.runtime import Account, Ledger
from mar.terminal import visible

SIMULATED_QUESTIONS = 600
"""Questions that a run on the simulated pool generates unless told otherwise: enough to learn something from."""


class CascalOptions(Workers):
    """Options of a run. Each field's description is its help text."""

    task: str = Field(default="mmlu_pro", description="benchmark: mmlu_pro, super_gpqa, medmcqa or bbeh")
    train_task: str | None = Field(
        default=None, description="benchmark whose subjects are learned from; default: --task"
    )
    test_task: str | None = Field(default=None, description="benchmark to test on; default: --task")
    split: Literal["generated", "train"] = Field(
        default="generated", description="learn from generated questions, or from the benchmark's training part"
    )
    dataset_json: Path | None = Field(default=None, description="file with the benchmark's rows")
    data: Path | None = Field(
        default=None, description="folder with benchmark data; default: MAR_DATA, else ./Datasets"
    )
    subject_file: Path | None = Field(default=None, description="TOML file with subjects and descriptions of your own")
    pool: str = Field(default=AUTO, description="auto (as .env or pool.toml say, else simulated), simulated, or a file")
    models: str | None = Field(
        default=None, description="pool to use: a tag of the pool file, as large or small; default: all"
    )
    model_nickname: str | None = Field(default=None, description="model that generates; default: the pool's first")
    from_step: Step = Field(default="prepare", description="first step to run")
    to_step: Step = Field(default="rank", description="last step to run")
    redo: bool = Field(default=False, description="run steps whose result is there already")
    num_training_questions: int | None = Field(
        default=None,
        gt=0,
        description=f"questions to generate; default: {PUBLISHED_QUESTIONS}, simulated {SIMULATED_QUESTIONS}",
    )
    per_call: int = Field(default=1, gt=0, description="questions asked for in one call; published: 1, Gemini 5")
    test_limit: int | None = Field(default=None, gt=0, description="at most so many test questions")
    own_answers: int = Field(default=2, ge=0, description="filter: times the generator answers its own question")
    separating: bool = Field(default=True, description="filter: keep only questions on which models differ")
    consensus: Consensus = Field(default="families", description="how answers are scored without labels")
    published: bool = Field(default=False, description="the published code's consensus and training, mistakes included")
    merge_threshold: float = Field(default=0.15, ge=0, le=2, description="cosine distance below which centroids merge")
    min_consensus: float = Field(default=0.5, ge=0, le=1, description="share of models that must agree for a centroid")
    num_seeds: int = Field(default=1, gt=0, description="seeds of training, for the scaling statistics")
    scaling: bool = Field(default=False, description="also plot accuracy against the number of training questions")
    generator_skill: float = Field(default=0.9, ge=0, le=1, description="simulated generator: share of right answers")
    max_cost: float | None = Field(default=None, ge=0, description="USD that the run may cost; default: no limit")
    concurrency: int = Field(default=32, gt=0, description="calls under way at once")
    seed: int = Field(default=0, ge=0, description="of everything that is drawn")
    out: Path | None = Field(default=None, description="run folder; default: runs/cascal-<task>-seed<seed>")

    @property
    def tasks(self) -> tuple[str, str]:
        """Benchmarks to learn from and to test on."""
        return task_name(self.train_task or self.task), task_name(self.test_task or self.task)

    @property
    def kind(self) -> Consensus:
        """The consensus in force."""
        return "published" if self.published else self.consensus

    def folder(self) -> Path:
        """The run folder."""
        name = "-".join(dict.fromkeys(self.tasks))
        return self.out or Path("runs") / f"cascal-{name}-seed{self.seed}"

    def identity(self) -> dict[str, object]:
        """What must be equal for a run to be gone on with."""
        free = {"from_step", "to_step", "redo", "out", "scaling", "num_seeds", "concurrency", "max_cost", *PLACES}
        return self.model_dump(mode="json", exclude=free)

    def settings(self, *, simulated: bool) -> PipelineSettings:
        """The pipeline's settings."""
        train, test = self.tasks
        count = self.num_training_questions or (SIMULATED_QUESTIONS if simulated else PUBLISHED_QUESTIONS)
        return PipelineSettings(
            train_task=train,
            test_task=test,
            generated=self.split == "generated",
            generate=GenerateSettings(
                questions=count, per_call=self.per_call, concurrency=self.concurrency, seed=self.seed
            ),
            filter=FilterSettings(own_answers=self.own_answers, separating=self.separating),
            respond=RespondSettings(concurrency=self.concurrency, seed=self.seed),
            consensus=self.kind,
            skills=SkillSettings(
                merge_threshold=self.merge_threshold, min_agreement=self.min_consensus, seed=self.seed
            ),
            seed=self.seed,
            test_questions=self.test_limit,
        )


def run_cascal(
    options: CascalOptions,
    *,
    pool: Pool | None = None,
    encoder: Encoder | None = None,
    progress: Progress | None = None,
) -> Path:
    """Run the steps from --from_step to --to_step; returns the run folder.

    Args:
        options: What to do.
        pool: Who generates and answers; default: as `--pool` says.
        encoder: Of the questions; default: MiniLM, cached.
        progress: Shows what is being done.

    Raises:
        UserError: An option, a file or a folder cannot be used.
    """
    watch = progress or Progress()
    with held(options.folder()), one_thread(), executor(options, say=watch.say) as workers:
        return _run(options, pool, encoder, watch, workers)


def _run(
    options: CascalOptions, pool: Pool | None, encoder: Encoder | None, progress: Progress, workers: Executor
) -> Path:
    folder = options.folder()
    same_arguments(folder, options.identity())
    live = pool or configured_pool(options.pool, cache=True)
    if options.spread:
        check_spread(live)
    askers = Askers(executor=workers, pool=options.pool) if options.spread else None
    run = Pipeline(
        folder,
        options.settings(simulated=live is None),
        subject_descriptions(options.tasks[0], options.subject_file),
        encoder or CachedEncoder(MiniLM()),
        progress,
        ledger=Ledger(options.max_cost, account=None if live is None else Account(folder / SPENDING)),
    )
    first, last = STEPS.index(options.from_step), STEPS.index(options.to_step)
    if first > last:
        raise ConfigError(f"--from_step {options.from_step} comes after --to_step {options.to_step}")
    for step in STEPS[first : last + 1]:
        if step in ("generate", "filter") and options.split != "generated":
            continue
        if _done(folder, run, step) and not options.redo:
            progress.say(f"{step}: done already")
            continue
        progress.say(f"{step} ...")
        _steps(run, options, live, askers)[step]()
        claim_folder(folder, options.identity())  # only now: a run that could not begin must not refuse the next
    if last == len(STEPS) - 1:
        _report(run, options, progress)
    return folder


def _steps(
    run: Pipeline, options: CascalOptions, live: Pool | None, askers: Askers | None
) -> dict[Step, Callable[[], object]]:
    def pools() -> Pools:
        return _simulated_pools(run, options) if live is None else _live_pools(options, live, askers)

    return {
        "prepare": lambda: run.prepare(path=options.dataset_json, data=options.data),
        "split": run.split,
        "generate": lambda: run.generate(pools()),
        "filter": lambda: run.filter(pools()),
        "respond": lambda: run.respond(pools()),
        "embed": run.embed,
        "consensus": run.consensus,
        "train": run.train,
        "infer": run.infer,
        "rank": run.rank,
    }


RESULTS: dict[Step, Sequence[str]] = {
    "prepare": (),
    "split": ("train.jsonl", "test.jsonl"),
    "generate": ("generated.jsonl",),
    "filter": ("filtered.jsonl",),
    "respond": ("responses-train.safetensors", "responses-test.safetensors"),
    "embed": ("vectors-train.safetensors", "vectors-test.safetensors"),
    "consensus": ("scores.safetensors",),
    "train": ("cascal.safetensors",),
    "infer": ("routes.json",),
    "rank": ("ranking.json",),
}


def _done(folder: Path, run: Pipeline, step: Step) -> bool:
    names = RESULTS[step] or [f"prepared-{t}.jsonl" for t in (run.settings.train_task, run.settings.test_task)]
    return all((folder / name).is_file() for name in names)


def _live_pools(options: CascalOptions, live: Pool, askers: Askers | None) -> Pools:
    generator = options.model_nickname or live.names[0]
    live.card(generator)
    answering = live
    if options.models is not None:
        names = [n for n, card in live.cards.items() if options.models in card.tags]
        if not names:
            raise ConfigError(f"--models is {options.models!r}, a tag that no model of the pool has")
        answering = live.restricted(allow=names)
    return Pools(generator=live, generator_name=generator, responders=answering, askers=askers)


def _simulated_pools(run: Pipeline, options: CascalOptions) -> Pools:
    """A simulated generator and simulated models; only the world knows which of the options are right."""
    if options.models is not None:
        raise ConfigError("--models chooses among the models of a pool file; the simulated pool has none")
    sources = read_records(run.folder / "train.jsonl", Question)
    generator = SimulatedGenerator(sources, skill=options.generator_skill, seed=options.seed)
    known = list(read_records(run.folder / "test.jsonl", Question))
    made = run.folder / "generated.jsonl"
    written = read_records(made, Question) if made.is_file() else []
    known += [q for w in written if (q := generator.question(w.category, w.question_id)) is not None]
    known += sources if options.split == "train" else []
    pool = simulated_pool(question_world(known), seed=options.seed)
    return Pools(generator=generator.pool(), generator_name=NAME, responders=pool, subjects=generator.subjects)


def _report(run: Pipeline, options: CascalOptions, progress: Progress) -> None:
    """The table: CASCAL beside simple rules, query-answer routers on the same data, and references with labels."""
    rows = judged(run, options)
    simulated = "simulated" if run.simulated else "live"
    head = (
        f"CASCAL ({options.kind}) on {options.tasks[1]}, {len(run.questions('test'))} test questions, {simulated} pool"
    )
    paid = "" if run.simulated else f"\npaid in this run: {run.ledger.spent}\n"
    text = f"{head}\n\n{table(rows)}\n{paid}"
    write_atomically(run.folder / "results.md", text)
    print(visible(text))
    if options.scaling:
        lines = scaling(run, options, progress)
        plot_lines(lines, run.folder / "scaling.png", title=head, x="training questions", y="accuracy %")
        for name, points in lines.items():
            print(name + ": " + ", ".join(f"{count:g}: {percent(value)}" for count, value in points))


def judged(run: Pipeline, options: CascalOptions) -> list[Judged]:
    """Everything that the table shows, on the test questions."""
    test, gold = run.responses("test"), np.array([q.answer_index for q in run.questions("test")])
    train, vectors, _ = run.training()
    believed = np.array([q.answer_index for q in run.questions("train")])
    labels = train.choices == believed[:, None]
    voting = options.kind == "published"
    rows = [judge(f"CASCAL ({options.kind})", run.infer().scores, test, gold, unreadable_vote=voting)]
    for kind in QUERY_ANSWER:
        scores = query_answer_scores(kind, labels, vectors, run.vectors("test"), seed=options.seed)
        rows.append(judge(f"{kind} on the generator's answers", scores, test, gold))
    overall: dict[str, Floats] = {
        "best by agreement": agreement_shares(train),
        "best by the generator": labels.astype(float),
    }
    rows += simple_rules(train, test, gold, overall)
    return rows + references(test.choices == gold[:, None], test, gold)


def scaling(run: Pipeline, options: CascalOptions, progress: Progress) -> dict[str, list[tuple[float, Interval]]]:
    """Accuracy against the number of training questions, pooled over seeds."""
    test, gold = run.responses("test"), np.array([q.answer_index for q in run.questions("test")])
    total, vectors = len(run.questions("train")), run.vectors("test")
    counts = sorted({max(2, total // part) for part in (16, 8, 4, 2, 1)})
    lines: dict[str, list[tuple[float, Interval]]] = {"top-1": [], "top-3 vote": []}
    with progress.bar("scaling", total=len(counts) * options.num_seeds) as bar:
        for count in counts:
            found: list[Judged] = []
            for seed in range(options.num_seeds):
                routes = run.train(count=count, seed=options.seed + seed).routes(vectors)
                found.append(judge("", routes.scores, test, gold, unreadable_vote=options.kind == "published"))
                bar.advance()
            for name, values in (("top-1", [f.top1 for f in found]), ("top-3 vote", [f.top3 for f in found])):
                mean = np.mean([v for v in values if v is not None], axis=0)
                lines[name].append((float(count), bootstrap_mean(mean.tolist(), draws=500)))
    return lines
