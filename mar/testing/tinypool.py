"""A pool of tiny skilled models on real vLLM servers, in a few lines:

    with serve_tiny_pool(folder) as tiny:          # installs nothing; about a minute to start on two cores
        pool = tiny.pool()                         # mar.Pool over real HTTP
        runtime = Runtime(pool, prompts=tiny_prompts())

Agents on tiny models work with short prompts of their own (`tiny_prompts`): the question stands last, and roles are a
few words, so that several agents fit into 1,024 tokens. Roles carry the names of the fixed teams' roles, so that
every baseline runs as it does with large models.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import killpg
from pathlib import Path
from types import MappingProxyType

from mar.controllers.baselines import DEFAULT_TEAM
from mar.errors import ConfigError
from mar.files import write_atomically
from mar.pool import CachedModel, FileReplies, ModelCard, Pool, TelemetryWatcher, WatchedModel, WatchSettings
from mar.pool.files import read_source
from mar.pool.openai_client import OpenAIModel, RetryPolicy
from mar.pool.servers import State, Watch, start, stop
from mar.pool.serving import Device, find_python, server_specs
from mar.runtime.prompts import PromptLibrary, Role
from mar.runtime.prompts.messages import UserTemplates
from mar.testing.tinylm import CONTEXT, LONGEST_QUESTION, TINY_MODELS, skills, write_checkpoint
from mar.testing.tinyskills import LONGEST_ANSWER
from mar.types import ChatReply, ChatRequest, DeltaHandler

SPECIALISTS = ("tiny-adder", "tiny-speller", "tiny-atlas")
QUIZ = "quiz"  # tag of the models that answer quizzes
WRITER = "tiny-writer"
QUIZZERS = ("tiny-traveller", "tiny-puzzler", WRITER)
PRICE = 1.0  # USD per million tokens
SKILL_WORDS: Mapping[str, str] = {
    "add": "adds numbers",
    "reverse": "reverses words",
    "copy": "copies words",
    "fact": "knows the capitals of countries",
    "Backwards": "reads letters backwards",
    "Capitals": "knows capitals in quizzes",
    "Opposites": "knows contraries in quizzes",
}
_ON: Mapping[Device, Mapping[str, object]] = {
    # More threads would wait for each other, the longer the busier the machine is.
    "cpu": {"dtype": "float32", "kv_cache_gib": 1, "threads": 1},
    "cuda": {"dtype": "float16", "devices": [0], "memory": 0.1},  # the precision that the weights are kept in
}
_QUESTION = "{% for peer in peers %}\n{{ peer.text }}\n{% endfor %}\n{{ question }}"
_TEMPLATES = {
    "user": f"{_QUESTION}",
    "decide": f"{_QUESTION}",
    "revise": "{{ report }}",
}
_SYSTEM = ("Solve it.", "Check it.", "Be exact.")


def tiny_prompts() -> PromptLibrary:
    """The prompt library that tiny models were trained for: short roles, bare messages, the question last."""
    library = PromptLibrary.load()
    roles = {domain: {n: _role(n, domain, i) for i, n in enumerate(names)} for domain, names in DEFAULT_TEAM.items()}
    roles["Final"] = {"Plain": _role("Plain", "Final", 0, system="Decide.")}
    return replace(
        library,
        roles=MappingProxyType({domain: MappingProxyType(dict(sorted(r.items()))) for domain, r in roles.items()}),
        templates=UserTemplates.compile(_TEMPLATES),
        hash=f"tiny-{library.hash}",
    )


def _role(name: str, domain: str, place: int, *, system: str | None = None) -> Role:
    system = system or _SYSTEM[place]
    return Role.model_validate(
        {
            "name": name,
            "domain": domain,
            "description": f"{name}. {system}",
            "aggregate": "plain",
            "output": "answer",
            "post": "none",
            "revise": False,
            "system": system,
        }
    )


def tiny_card(name: str) -> ModelCard:
    """What controllers are told of a tiny model: its measured skills in words."""
    model = TINY_MODELS[name]
    known = ", ".join(
        f"{SKILL_WORDS[skill]} ({share:.0%} right)" for skill, share in skills(name).items() if share >= 0.05
    )
    does = "writes quizzes" if model.writes else known
    family = name.removeprefix("tiny-")
    return ModelCard(
        name=name,
        description=f"Tiny model that {does}; {model.layers} layers.",
        tags=(f"family:{family}", QUIZ) if model.knows else (f"family:{family}",),
        price_in=PRICE,
        price_out=PRICE,
        context_tokens=CONTEXT,
        max_output_tokens=LONGEST_QUESTION if model.writes else LONGEST_ANSWER + 4,
        concurrency=64,  # so that queues form on the server, where priorities count
        timeout_s=60.0,
    )


def write_pool_file(
    folder: Path,
    names: Sequence[str] = SPECIALISTS,
    *,
    first_port: int = 8470,
    max_num_seqs: int = 8,
    device: Device = "cpu",
) -> Path:
    """Write checkpoints' addresses and cards into a pool file that `mar vllm serve` and `--pool` take.

    Args:
        folder: Where the file goes.
        names: Which tiny models.
        first_port: Port of the first; the others follow.
        max_num_seqs: Requests that a server computes at once; the others queue.
        device: What the servers run on; "cuda" is the first GPU, which all share.
    """
    tables: list[str] = []
    for number, name in enumerate(names):
        card = tiny_card(name).model_dump(exclude_defaults=True)
        card["tags"] = list(card["tags"])
        fields = [f"{key} = {_toml(value)}" for key, value in card.items()]
        serve = {
            "model": str(write_checkpoint(name)),
            "port": first_port + number,
            **_ON[device],
            "flags": ["--max-num-seqs", str(max_num_seqs)],
        }
        fields += ["[models.vllm]", *(f"{key} = {_toml(value)}" for key, value in serve.items())]
        tables.append("\n".join(["[[models]]", *fields]))
    path = folder / "pool.toml"
    write_atomically(path, "\n\n".join(tables) + "\n")
    return path


def _toml(value: object) -> str:
    """Texts, numbers and lists of texts as TOML writes them."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value).replace("'", '"')


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyServers:
    """Running servers of tiny models."""

    pool_file: Path
    state: State
    device: Device = "cpu"

    def start(self, *, timeout_s: float = 1200.0, watch: Watch | None = None) -> None:
        """Start those that do not run, and wait until all are healthy.

        Raises:
            ServerNotStarted: One does not come up.
        """
        start(server_specs(self.pool_file, device=self.device), self.state, timeout_s=timeout_s, watch=watch)

    def kill(self, name: str) -> None:
        """End one server at once, as a crash would."""
        killpg(self.state.read()[name].pid, signal.SIGKILL)

    def cards(self) -> tuple[ModelCard, ...]:
        """The cards with their addresses."""
        return read_source(self.pool_file).cards

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(card.name for card in self.cards())

    def pool(
        self, *, retry: RetryPolicy | None = None, watch: WatchSettings | None = None, memo: Path | None = None
    ) -> Pool:
        """A live pool over the servers, watched.

        Args:
            retry: When failed tries are repeated.
            watch: How closely servers are watched.
            memo: File of replies, for runs at temperature 0: a question that a model was asked before in the same
                words is not asked again. None: every call is made.
        """
        cards = self.cards()
        model = WatchedModel(OpenAIModel(cards, retry=retry), TelemetryWatcher(cards, settings=watch))
        return Pool(cards, model if memo is None else _Greedy(model, FileReplies(memo)), kind="live")


class _Greedy(CachedModel):
    """A response cache for temperature 0, where all draws of one request are the same."""

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        if request.temperature != 0:
            raise ConfigError(f"the temperature is {request.temperature}; a memo of replies needs 0")
        return await super().chat(replace(request, sample=""), on_delta)


@contextmanager
def serve_tiny_pool(
    folder: Path,
    names: Sequence[str] = SPECIALISTS,
    *,
    first_port: int = 8470,
    device: Device = "cpu",
    watch: Watch | None = None,
) -> Generator[TinyServers]:
    """Serve tiny models by vLLM for as long as the block runs.

    Args:
        folder: Where the pool file, logs and process ids go.
        names: Which tiny models.
        first_port: Port of the first; the others follow.
        device: What the servers run on.
        watch: Is told what goes on.

    Raises:
        ConfigError: vLLM is not installed for it (scripts/vllm/install_cpu.sh or install_gpu.sh installs it).
        ServerNotStarted: A server does not come up.
    """
    path = write_pool_file(folder, names, first_port=first_port, device=device)
    servers = TinyServers(pool_file=path, state=State(folder), device=device)
    try:
        servers.start(watch=watch)
        yield servers
    finally:
        stop(servers.state, watch=watch)


def missing_vllm(device: Device = "cpu") -> str | None:
    """Why no tiny pool can be served here, or None when one can."""
    try:
        find_python(device)
    except ConfigError as error:
        return str(error)
    return None
