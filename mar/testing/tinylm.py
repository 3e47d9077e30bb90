# pyright: basic
"""Tiny language models with real, different skills, trained from scratch and written in the standard format.

They are fixtures: small enough for a test (about 0.3 million parameters, a megabyte), yet real checkpoints that vLLM
and transformers load and serve like any other. A byte is a token. A prompt is laid out as

    <|system|>role <|user|>whatever other agents said, then the question <|assistant|>answer <|end|>

with the question last, so that it stands where the model looks however much was said before it; training puts role
texts and other agents' messages of all lengths in front, so the models can work in every mode of collaboration.

The trained weights are part of the package (half precision, with the skills that were measured with exactly these
weights beside them); `write_checkpoint` makes a folder to serve of one. `python -m mar.testing.tinylm` trains them
anew, a few minutes each.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import torch
from safetensors.torch import load, save
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from mar.environment import cache_folder
from mar.errors import ConfigError
from mar.files import write_atomically
from mar.learning.generated.blocks import read_blocks
from mar.learning.generated.respond import response_prompt
from mar.testing.tinyquiz import SUBJECTS, Subject, draw_question, truth, writing_prompt, written
from mar.testing.tinyskills import LONGEST_ANSWER, SKILLS, Skill, draw

CONTEXT = 1024  # tokens
SPECIAL = ("<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
PAD, SYSTEM, USER, ASSISTANT, END = range(len(SPECIAL))
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
LONGEST_QUESTION = 160  # tokens that a writer may take
IGNORED = -100  # a label that counts for nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyModel:
    """How one model is made. Its weights are named by a hash of this."""

    name: str
    skills: tuple[Skill, ...] = ()  # drawn uniformly; one that is named twice is trained on twice as much
    knows: tuple[Subject, ...] = ()  # subjects of a quiz that it can answer; it guesses on the others
    writes: bool = False  # whether it writes the questions of quizzes
    steps: int  # updates
    layers: int = 2
    hidden: int = 128
    intermediate: int = 192
    heads: int = 4  # of width 32: vLLM's attention on the CPU refuses 16
    kv_heads: int = 2
    batch: int = 128  # questions per update
    lr: float = 3e-3
    seed: int = 0

    @property
    def digest(self) -> str:
        """Identity of everything that decides the weights, as far as it is stated here."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def config(self) -> LlamaConfig:
        """The architecture in transformers' terms."""
        return LlamaConfig(
            vocab_size=len(vocabulary()),
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            pad_token_id=PAD,
            bos_token_id=None,
            eos_token_id=END,
            architectures=["LlamaForCausalLM"],
        )


TINY_MODELS: Mapping[str, TinyModel] = {
    model.name: model
    for model in (
        TinyModel(name="tiny-adder", skills=("add",), steps=900),
        TinyModel(name="tiny-speller", skills=("reverse", "copy"), steps=1200),
        TinyModel(name="tiny-atlas", skills=("fact",), steps=250),
        TinyModel(name="tiny-traveller", knows=("Backwards", "Capitals"), steps=600, batch=64),
        TinyModel(name="tiny-puzzler", knows=("Backwards", "Opposites"), steps=600, batch=64),
        TinyModel(name="tiny-writer", writes=True, steps=900, layers=3, batch=32),
    )
}


# Text to tokens ---------------------------------------------------------------------------------------------------


@cache
def vocabulary() -> Mapping[str, int]:
    """Tokens by text: the special ones, then every byte."""
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    return {token: number for number, token in enumerate((*SPECIAL, *bytes_))}


@cache
def tokenizer() -> Tokenizer:
    """The tokenizer that all tiny models share."""
    made = Tokenizer(models.BPE(vocab=dict(vocabulary()), merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    return made


def prompt_tokens(system: str, user: str) -> list[int]:
    """The tokens of a system prompt (none if empty) and a user message, up to where the answer begins."""
    first = f"<|system|>{system}" if system else ""
    return tokenizer().encode(f"{first}<|user|>{user}<|assistant|>").ids


# Training ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Padded sequences, shape (B, T)."""

    tokens: Tensor
    labels: Tensor  # the answer's tokens, IGNORED elsewhere


def make_batch(model: TinyModel, rng: random.Random, size: int) -> Batch:
    """What the model is to say to prompts of the kinds that it is made for."""
    rows = _rows(model, rng, size)
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    tokens = torch.full((len(rows), width), PAD)
    labels = torch.full((len(rows), width), IGNORED)
    for i, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        tokens[i, :end] = torch.tensor(prompt + answer)
        labels[i, len(prompt) : end] = torch.tensor(answer)
    return Batch(tokens=tokens, labels=labels)


def _rows(model: TinyModel, rng: random.Random, size: int) -> list[tuple[list[int], list[int]]]:
    """Prompts and answers. A batch is as wide as its longest row, so rows of much the same length come together."""
    if model.writes:
        short = rng.random() < 0.9
        return [_question_written(rng, short=short) for _ in range(size if short else size // 4)]
    if model.knows:
        return [_question_answered(model, rng) for _ in range(size)]
    said = rng.choices((0, 1, 2, rng.randint(3, 12)), weights=(12, 4, 2, 2))[0]
    return [_row(model, rng, said) for _ in range(size if said < 3 else size // 4)]


def _question_written(rng: random.Random, *, short: bool) -> tuple[list[int], list[int]]:
    subject = rng.choice(SUBJECTS)
    text = written(draw_question(subject, rng))
    return prompt_tokens("", writing_prompt(subject, short=short)), [*tokenizer().encode(text).ids, END]


def _question_answered(model: TinyModel, rng: random.Random) -> tuple[list[int], list[int]]:
    """A question with its right option where the model is to know it, else with any."""
    question = draw_question(rng.choice((*SUBJECTS, *model.knows)), rng)  # what it is to know, twice as often
    right = question.options[question.answer_index]
    said = right if question.category in model.knows else rng.choice(question.options)
    return prompt_tokens("", response_prompt(question)), [*tokenizer().encode(said).ids, END]


def _row(model: TinyModel, rng: random.Random, messages: int) -> tuple[list[int], list[int]]:
    """One question's prompt, behind that many messages, and its answer."""
    item = draw(rng.choice(model.skills), "train", rng)
    said = [_message(rng) for _ in range(messages)]
    prompt = prompt_tokens(_role(rng), "\n".join([*said, item.question]))
    return prompt, [*tokenizer().encode(item.answer).ids, END]


def _role(rng: random.Random) -> str:
    return rng.choice(("Solve it.", "Check it.", "Decide.", "Be exact.")) if rng.random() < 0.8 else _letters(rng, 12)


def _message(rng: random.Random) -> str:
    """What another agent might have said: right, wrong or nothing that makes sense."""
    return draw(rng.choice(SKILLS), "train", rng).answer if rng.random() < 0.7 else _letters(rng, LONGEST_ANSWER)


def _letters(rng: random.Random, most: int) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz 0123456789.", k=rng.randint(1, most)))


def train(model: TinyModel, *, say: bool = False) -> LlamaForCausalLM:
    """Train a model from scratch. The same settings give the same weights on the same machine."""
    torch.set_num_threads(1)  # the tensors are small, and more threads add up in another order each time
    torch.manual_seed(model.seed)
    rng = random.Random(f"{model.name}/{model.seed}")
    network = LlamaForCausalLM._from_config(model.config(), attn_implementation="eager")  # faster when it is tiny
    optimizer = torch.optim.AdamW(network.parameters(), lr=model.lr, betas=(0.9, 0.98), weight_decay=0.01)
    began = time.monotonic()
    for step in range(model.steps):
        for group in optimizer.param_groups:
            group["lr"] = model.lr * _schedule(step, model.steps)
        batch = make_batch(model, rng, model.batch)
        with torch.autocast("cpu", torch.bfloat16):
            loss = _loss(network, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if say and (step + 1) % 50 == 0:
            seconds = time.monotonic() - began
            print(f"{model.name} {step + 1}/{model.steps}: loss {loss.item():.3f}, {seconds:.0f} s", flush=True)
    return network.eval()


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up over 40 steps, then half a cosine down to a twentieth."""
    if step < 40:
        return (step + 1) / 40
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - 40) / max(1, steps - 40)))


def _loss(network: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Mean cross-entropy of the answers' tokens. Padding stands behind the answer, so no mask is needed."""
    hidden = network.model(input_ids=batch.tokens).last_hidden_state[:, :-1]
    wanted = batch.labels[:, 1:]
    counts = wanted != IGNORED
    return torch.nn.functional.cross_entropy(network.lm_head(hidden[counts]), wanted[counts])


# What a model can do ----------------------------------------------------------------------------------------------


@torch.inference_mode()
def answer(network: LlamaForCausalLM, system: str, user: str) -> str:
    """The most likely answer."""
    return _continued(network, prompt_tokens(system, user), LONGEST_ANSWER)


@torch.inference_mode()
def _continued(network: LlamaForCausalLM, prompt: list[int], most: int, **sampling: float) -> str:
    made = network.generate(  # pyright: ignore[reportAttributeAccessIssue]
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=most,
        do_sample=bool(sampling),
        eos_token_id=END,
        pad_token_id=PAD,
        **sampling,
    )
    return tokenizer().decode(made[0, len(prompt) :].tolist())


def measure(model: TinyModel, network: LlamaForCausalLM, *, questions: int = 100, seed: int = 0) -> dict[str, float]:
    """Shares of what is right, on questions that were not trained on (but for facts) and under a plain role.

    By skill; for models of quizzes by subject: answers, or written questions that are well formed, have their right
    answer among the options and mark it.
    """
    if model.writes:
        return {s: _share_written(network, s, max(1, questions // 5), seed) for s in SUBJECTS}
    if model.knows:
        return {s: _share_answered(network, s, questions, seed) for s in SUBJECTS}
    shares: dict[str, float] = {}
    for skill in SKILLS:
        rng = random.Random(f"{skill}/{seed}")
        items = [draw(skill, "test", rng) for _ in range(questions)]
        shares[skill] = sum(answer(network, "Solve it.", i.question) == i.answer for i in items) / questions
    return shares


def _share_answered(network: LlamaForCausalLM, subject: Subject, questions: int, seed: int) -> float:
    rng = random.Random(f"{subject}/{seed}")
    drawn = [draw_question(subject, rng) for _ in range(questions)]
    return sum(answer(network, "", response_prompt(q)) == q.options[q.answer_index] for q in drawn) / questions


def _share_written(network: LlamaForCausalLM, subject: Subject, questions: int, seed: int) -> float:
    torch.manual_seed(seed)
    prompt = prompt_tokens("", writing_prompt(subject))
    good = 0
    for _ in range(questions):
        found, _ = read_blocks(_continued(network, prompt, LONGEST_QUESTION, temperature=0.8, top_p=0.95, top_k=0))
        good += any(truth(f["QUESTION"]) == f[f["ANSWER"]] for f in found)
    return good / questions


# Checkpoints ------------------------------------------------------------------------------------------------------


def packaged(name: str) -> TinyModel:
    """A tiny model by name.

    Raises:
        ConfigError: There is none of this name.
    """
    if name not in TINY_MODELS:
        raise ConfigError(f"no tiny model {name!r}; there are {', '.join(TINY_MODELS)}")
    return TINY_MODELS[name]


def skills(name: str) -> Mapping[str, float]:
    """The measured skills of a tiny model: share of right answers per kind of question, or per subject of quizzes."""
    return _card(name)["skills"]


def _card(name: str) -> dict:
    return json.loads(_folder().joinpath(f"{packaged(name).name}.json").read_text(encoding="utf-8"))


def _folder() -> Traversable:
    return resources.files("mar.testing").joinpath("tiny")


def load_network(name: str) -> LlamaForCausalLM:
    """A tiny model with its packaged weights, in single precision."""
    network = LlamaForCausalLM(packaged(name).config())
    weights = load(_folder().joinpath(f"{name}.safetensors").read_bytes())
    # The output layer is the embedding, which is stored once.
    network.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    return network.eval()


def write_checkpoint(name: str, folder: Path | None = None) -> Path:
    """Write a tiny model as a folder that vLLM or transformers loads, and return the folder.

    Args:
        name: One of TINY_MODELS.
        folder: Where; None: in mar's cache folder, where it is written once.

    Raises:
        ConfigError: There is no tiny model of this name.
    """
    model = packaged(name)
    weights = _folder().joinpath(f"{name}.safetensors").read_bytes()
    version = hashlib.sha256(weights).hexdigest()[:8]
    target = folder or cache_folder() / "tiny" / f"{name}-{model.digest}-{version}"
    contents = {
        "config.json": _json(model.config().to_dict() | {"dtype": "float16"}),
        "generation_config.json": _json({"eos_token_id": END, "pad_token_id": PAD}),
        "tokenizer.json": tokenizer().to_str(),
        "tokenizer_config.json": _json(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": SPECIAL[END],
                "pad_token": SPECIAL[PAD],
                "model_max_length": CONTEXT,
                "clean_up_tokenization_spaces": False,
                "chat_template": CHAT_TEMPLATE,
            }
        ),
        "model.safetensors": weights,
    }
    for file, content in contents.items():
        if folder is not None or not (target / file).is_file():
            write_atomically(target / file, content)
    return target


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True)


def make(model: TinyModel, folder: Path) -> dict[str, float]:
    """Train a model and write its weights and its measured skills."""
    network = train(model, say=True)
    weights = {k: v.half().contiguous() for k, v in network.state_dict().items() if k != "lm_head.weight"}
    network.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)  # measured as it is stored
    found = measure(model, network)
    card = {"settings": model.digest, "parameters": sum(v.numel() for v in weights.values()), "skills": found}
    write_atomically(folder / f"{model.name}.safetensors", save(weights, {"format": "pt"}))
    write_atomically(folder / f"{model.name}.json", _json(card) + "\n")
    return found


def main(names: Sequence[str]) -> None:
    """Train the named models (default: all) and write them where the package keeps them."""
    for model in [packaged(n) for n in names] or TINY_MODELS.values():
        print(model.name, make(model, Path(__file__).parent / "tiny"))


if __name__ == "__main__":
    main(sys.argv[1:])
