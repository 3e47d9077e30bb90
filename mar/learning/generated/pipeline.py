# pyright: basic
"""The steps of routing with generated data, each from files to files, in one run folder.

prepared.jsonl                  the benchmark in the published question format
train.jsonl, test.jsonl         its split
generated.jsonl                 what the generator wrote (generated.journal.jsonl as it came; generated.json counts)
filtered.jsonl                  what passed both filters (filtered.json counts)
responses-{train,test}.safetensors   answers of all models (…journal.jsonl with their texts)
vectors-{train,test}.safetensors     embeddings of the questions
scores.safetensors              label-free scores of the training answers
cascal.safetensors              the controller
routes.json, ranking.json       where the test questions go; rankings by subject
args.json                       the configuration that made all of it

Every step writes its result whole and last, so a step whose result is there is done; steps that call models keep a
journal and go on with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from safetensors.numpy import save

from mar import clock
from mar.controllers.cascal import (
    CascalModel,
    Responses,
    Routes,
    SkillSettings,
    load_model,
    load_responses,
    save_model,
    save_responses,
)
from mar.controllers.cascal.skills import Vectors
from mar.controllers.embeddings import Encoder
from mar.controllers.headers import header_of
from mar.errors import CheckpointError, ConfigError, DataError
from mar.files import write_atomically
from mar.learning.generated.asking import Askers
from mar.learning.generated.consensus import Consensus, Scored, families_of_cards, learn, score_responses
from mar.learning.generated.filtering import FilterSettings, consistent_questions, separating_questions
from mar.learning.generated.generate import GenerateSettings, generate
from mar.learning.generated.prepare import prepare, split_questions
from mar.learning.generated.records import Answered, Journal, Question, read_records, write_records
from mar.learning.generated.respond import RespondSettings, respond, to_responses
from mar.learning.progress import Progress
from mar.pool.pool import Pool
from mar.reading import attempt, parse_json
from mar.reading.weights import read_tensors
from mar.runtime import Ledger

Step = Literal["prepare", "split", "generate", "filter", "respond", "embed", "consensus", "train", "infer", "rank"]
STEPS: tuple[Step, ...] = get_args(Step)
Part = Literal["train", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """What decides a run."""

    train_task: str  # benchmark whose subjects (or questions) are learned from
    test_task: str
    generated: bool = True  # learn from generated questions; False: from the benchmark's training part
    generate: GenerateSettings = field(default_factory=GenerateSettings)
    filter: FilterSettings = field(default_factory=FilterSettings)
    respond: RespondSettings = field(default_factory=RespondSettings)
    consensus: Consensus = "families"
    skills: SkillSettings = field(default_factory=SkillSettings)
    seed: int = 0
    test_questions: int | None = None  # at most so many


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """Who generates and who answers."""

    generator: Pool
    generator_name: str
    responders: Pool
    subjects: tuple[str, ...] | None = None  # what the generator can write about; None: everything
    askers: Askers | None = None  # who asks them; None: this process


class Pipeline:
    """A run folder and the steps that fill it.

    Args:
        folder: Where everything is kept.
        settings: What decides the run.
        subjects: Descriptions by subject, for the generator.
        encoder: Of the questions.
        progress: Shows how far a step is.
        ledger: What all calls may cost and have cost; None: there is no limit.
    """

    def __init__(
        self,
        folder: Path,
        settings: PipelineSettings,
        subjects: Mapping[str, str],
        encoder: Encoder,
        progress: Progress,
        *,
        ledger: Ledger | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.subjects = subjects
        self.encoder = encoder
        self.progress = progress
        self.ledger = ledger or Ledger()

    # Data

    def prepare(self, *, path: Path | None = None, data: Path | None = None) -> None:
        """Benchmarks in the published format."""
        tasks = dict.fromkeys((self.settings.train_task, self.settings.test_task))
        for task in tasks:
            found = prepare(task, path=path if len(tasks) == 1 else None, data=data)
            write_records(self._prepared(task), found.questions)
            left = ", ".join(f"{n} {why}" for why, n in sorted(found.left_out.items()))
            self.progress.say(
                f"{task}: {len(found.questions)} questions from {found.source}; left out: {left or 'none'}"
            )

    def split(self) -> None:
        """Train and test parts."""
        train = split_questions(read_records(self._prepared(self.settings.train_task), Question), seed=self._seed)[0]
        test = split_questions(read_records(self._prepared(self.settings.test_task), Question), seed=self._seed)[1]
        write_records(self.folder / "train.jsonl", train)
        write_records(self.folder / "test.jsonl", test[: self.settings.test_questions])

    def questions(self, part: Part) -> list[Question]:
        """Questions that models answer: the test part, or what is learned from."""
        if part == "test" or not self.settings.generated:
            return read_records(self.folder / f"{part}.jsonl", Question)
        return read_records(self.folder / "filtered.jsonl", Question)

    # Calls

    def generate(self, pools: Pools) -> None:
        """Questions by the generator."""
        journal = Journal(self.folder / "generated.journal.jsonl")
        subjects = {s: d for s, d in self.subjects.items() if pools.subjects is None or s in pools.subjects}
        if not subjects:
            raise DataError(f"{pools.generator_name} can write about none of: {', '.join(self.subjects)}")

        async def work() -> None:
            made = await generate(
                pools.generator,
                pools.generator_name,
                subjects,
                journal,
                self.settings.generate,
                self.progress,
                self.ledger,
                pools.askers,
            )
            if not made.questions:
                raise DataError(f"{pools.generator_name} wrote no readable question; {journal.path} has what it wrote")
            counts = {"malformed": made.malformed, "repeated": made.repeated, "failed calls": dict(made.failed)}
            self._json("generated.json", {"questions": len(made.questions), **counts})
            write_records(self.folder / "generated.jsonl", made.questions)
            self.progress.say(f"{len(made.questions)} questions; {counts}")

        clock.run(work, virtual=pools.generator.virtual_time)

    def filter(self, pools: Pools) -> None:
        """The questions that pass both filters: consistent for the generator, separating for the pool."""
        everything = read_records(self.folder / "generated.jsonl", Question)
        rules = self.settings.filter
        own: list[list[Answered]] = []
        for draw in range(1, 1 + rules.own_answers):
            journal = Journal(self.folder / f"own-{draw}.journal.jsonl")
            own.append(self._ask(pools, pools.generator, [pools.generator_name], everything, journal, draw))
        kept = consistent_questions(everything, own, rules)
        left, same = list(kept.kept), 0
        if rules.separating:
            journal = Journal(self.folder / "responses-train.journal.jsonl")
            told = separating_questions(
                left, self._ask(pools, pools.responders, pools.responders.names, left, journal, 0)
            )
            left, same = list(told.kept), told.same
        if not left:
            raise DataError(f"no generated question passed the filters, of {len(everything)}")
        counts = {"questions": len(left), "inconsistent": kept.inconsistent, "all the same": same}
        self._json("filtered.json", counts)
        write_records(self.folder / "filtered.jsonl", left)
        self.progress.say(f"{counts}")

    def respond(self, pools: Pools) -> None:
        """Answers of every model to what is learned from and to the test questions."""
        for part in get_args(Part):
            questions = self.questions(part)
            journal = Journal(self.folder / f"responses-{part}.journal.jsonl")
            answered = self._ask(pools, pools.responders, pools.responders.names, questions, journal, 0)
            table = to_responses(questions, pools.responders.names, answered)
            made_by = {"pool": pools.responders.kind, "temperature": str(self.settings.respond.temperature)}
            families = families_of_cards(list(pools.responders.cards.values()))
            made_by |= {f"family of {m}": f for m, f in zip(table.models, families, strict=True)}
            save_responses(self.folder / f"responses-{part}.safetensors", table, made_by=made_by)

    def _ask(
        self,
        pools: Pools,
        pool: Pool,
        models: Sequence[str],
        questions: list[Question],
        journal: Journal,
        draw: int,
    ) -> list[Answered]:
        asked = replace(self.settings.respond, draw=draw)

        async def work() -> list[Answered]:
            return await respond(pool, models, questions, journal, asked, self.progress, self.ledger, pools.askers)

        return clock.run(work, virtual=pool.virtual_time)

    # Learning

    def embed(self) -> None:
        """Vectors of the questions' texts, without their options, as published."""
        for part in get_args(Part):
            texts = [q.question for q in self.questions(part)]
            blocks: list[Vectors] = []
            with self.progress.bar(f"embedding {part}", total=len(texts)) as bar:
                for start in range(0, len(texts), 256):
                    blocks.append(self.encoder.encode(texts[start : start + 256]))
                    bar.advance(len(blocks[-1]))
            vectors = np.concatenate(blocks) if blocks else np.zeros((0, self.encoder.width), np.float32)
            content = save({"vectors": vectors}, metadata={"encoder": self.encoder.name})
            write_atomically(self.folder / f"vectors-{part}.safetensors", content)

    def consensus(self) -> Scored:
        """Label-free scores of the training answers."""
        responses = self.responses("train")
        scored = score_responses(responses, self.settings.consensus, families=self.families(responses), seed=self._seed)
        about = json.dumps({"consensus": self.settings.consensus, "copying": scored.copying})
        content = save({"scores": scored.scores}, metadata={"about": about})  # safetensors orders several by chance
        write_atomically(self.folder / "scores.safetensors", content)
        return scored

    def train(self, *, count: int | None = None, seed: int | None = None) -> CascalModel:
        """The controller; with `count`, from so many training questions drawn with the seed, and not written."""
        responses, vectors, subjects = self.training()
        if count is None:
            scored = Scored(scores=self._tensor("scores", "scores"), copying={})
        else:
            rows = np.sort(np.random.default_rng(seed or self._seed).permutation(len(vectors))[:count])
            responses, vectors = responses.take(rows), vectors[rows]
            subjects = [subjects[i] for i in rows]
            families = self.families(responses)
            scored = score_responses(responses, self.settings.consensus, families=families, seed=self._seed)
        model = learn(
            responses,
            scored,
            self.settings.consensus,
            subjects,
            vectors,
            encoder=self.encoder.name,
            settings=self.settings.skills,
            simulated=self.simulated,
        )
        if count is None:
            save_model(self.folder / "cascal.safetensors", model)
        return model

    def infer(self) -> Routes:
        """Where the test questions go."""
        model = load_model(self.folder / "cascal.safetensors")
        routes = model.routes(self.vectors("test"))
        best = routes.best(3)
        rows = [
            {
                "question_id": q.question_id,
                "models": [model.models[i] for i in best[k]],
                "subject": routes.subjects[k],
                "distance": round(float(routes.distances[k]), 4),
                "basis": routes.basis[k],
            }
            for k, q in enumerate(self.questions("test"))
        ]
        self._json("routes.json", rows)
        return routes

    def rank(self) -> dict[str, list[str]]:
        """The models by mean score, overall and by subject of the training questions."""
        responses, _, subjects = self.training()
        scores = self._tensor("scores", "scores")
        names = np.asarray(subjects)
        rows = {"overall": np.arange(len(names))} | {s: np.flatnonzero(names == s) for s in sorted(set(subjects))}
        ranking = {
            name: [responses.models[i] for i in np.argsort(-scores[at].mean(axis=0), kind="stable")]
            for name, at in rows.items()
        }
        self._json("ranking.json", ranking)
        return ranking

    # What steps share

    def training(self) -> tuple[Responses, Vectors, list[str]]:
        """Answers, vectors and subjects of what is learned from."""
        questions = self.questions("train")
        return self.responses("train"), self.vectors("train"), [q.category for q in questions]

    def responses(self, part: Part) -> Responses:
        """Answers to a part's questions."""
        return load_responses(self._there(f"responses-{part}.safetensors"))

    def vectors(self, part: Part) -> Vectors:
        """Vectors of a part's questions."""
        return self._tensor(f"vectors-{part}", "vectors")

    @property
    def simulated(self) -> bool:
        """Whether answers were made up by a simulator."""
        return self._header("train").get("pool") == "simulated"

    def families(self, responses: Responses) -> tuple[str, ...] | None:
        """Families that the pool stated when it answered; None where responses come from elsewhere."""
        made_by = self._header("train")
        stated = [made_by.get(f"family of {m}") for m in responses.models]
        return None if None in stated else tuple(f or "" for f in stated)

    def _header(self, part: Part) -> dict[str, str]:
        path = self._there(f"responses-{part}.safetensors")
        return attempt(lambda: parse_json(header_of(path), str(path))["made_by"], str(path), error=CheckpointError)

    def _tensor(self, file: str, name: str) -> Any:
        path = self._there(f"{file}.safetensors")
        return attempt(lambda: read_tensors(path)[1][name], str(path), error=CheckpointError)

    @property
    def _seed(self) -> int:
        return self.settings.seed

    def _prepared(self, task: str) -> Path:
        return self.folder / f"prepared-{task}.jsonl"

    def _there(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise ConfigError(f"{path} is not there; start from an earlier step ({', '.join(STEPS)})")
        return path

    def _json(self, name: str, content: object) -> None:
        write_atomically(self.folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
