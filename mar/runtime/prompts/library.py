"""The prompt library: every text that a model or a controller reads, loaded and checked at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, get_args

from mar.errors import ConfigError
from mar.runtime.prompts.files import PromptFile, hash_texts, parse, read_files, read_text
from mar.runtime.prompts.messages import UserTemplates
from mar.runtime.prompts.records import (
    AgentAsk,
    DecideAsk,
    DomainText,
    ModeText,
    Output,
    Role,
    RoleDomain,
    Strategy,
)
from mar.runtime.prompts.templates import render_fixed, render_system
from mar.types import Message

_ROLE_DOMAINS: tuple[str, ...] = get_args(RoleDomain)
_LAYOUT = {  # folder -> suffix of its files
    "": ".md.j2",
    **{f"roles/{domain}": ".toml" for domain in _ROLE_DOMAINS},
    "strategies": ".toml",
    "modes": ".toml",
    "domains": ".toml",
    "rounds": ".md",
    "outputs": ".md",
}
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PromptLibrary:
    """All roles and prompts. Every mapping is read-only and sorted by name."""

    roles: Mapping[str, Mapping[str, Role]]  # by domain ("Final" holds the deciders, "Any" what fits all), then by name
    strategies: Mapping[str, Strategy]
    modes: Mapping[str, ModeText]
    domains: Mapping[str, DomainText]
    rounds: Mapping[str, str]  # round instructions
    outputs: Mapping[str, str]  # how to write a reply: "code", "answer", "text"
    hash: str  # of everything above and below; goes into the run's record
    templates: UserTemplates  # what is sent beside the system prompt

    @classmethod
    def load(cls, root: Path | None = None) -> PromptLibrary:
        """Read and check a folder of prompts.

        Args:
            root: A folder laid out like this package; None takes the packaged files, which are read once.

        Raises:
            ConfigError: A file or field is missing, unknown or wrong; the message names both.
        """
        return _packaged() if root is None else _load(root)

    def role(self, domain: str, name: str) -> Role:
        """The role of that name, of a domain or for any.

        Raises:
            ConfigError: There is none; the message lists the names there are.
        """
        anywhere = self.roles.get("Any", {})
        return (
            anywhere[name]
            if name in anywhere
            else _pick(_pick(self.roles, domain, "domain of roles"), name, f"role of {domain}")
        )

    def with_decider(self, path: Path) -> PromptLibrary:
        """This library with another system prompt for every final role.

        Args:
            path: A text file that is the system prompt, or a role's TOML file whose `system` is taken.

        Raises:
            ConfigError: The file cannot be read, or is no valid prompt.
        """
        system = _decider_prompt(path)
        final = {name: role.model_copy(update={"system": system}) for name, role in self.roles["Final"].items()}
        for role in final.values():
            render_system(role, f"{path}: field 'system'")
        return self._with_roles("Final", final, changed=system)

    def with_role(self, role: Role) -> PromptLibrary:
        """This library with one more role, or with another role of that name.

        Raises:
            ConfigError: Its system prompt is no valid template.
        """
        render_system(role)
        return self._with_roles(role.domain, {**self.roles[role.domain], role.name: role}, changed=role.profile)

    def agent_messages(self, ask: AgentAsk) -> tuple[Message, ...]:
        """What an agent's model is sent: its system prompt and one user message.

        Raises:
            ConfigError: The round instruction or the strategy is unknown.
        """
        instruction = _pick(self.rounds, ask.round_instruction, "round instruction")
        strategy = _pick(self.strategies, ask.strategy, "strategy").instruction if ask.strategy else ""
        user = self.templates.agent(ask, instruction=instruction, strategy=strategy, output=self._output(ask))
        return Message(speaker="system", text=render_system(ask.role)), Message(speaker="user", text=user)

    def revise_messages(self, ask: AgentAsk, draft: str, report: str) -> tuple[Message, ...]:
        """What an agent's model is sent to revise its reply.

        Args:
            ask: What it was asked.
            draft: What it replied.
            report: What the role's post-processing found about the draft.

        Returns:
            The messages of the first call, the draft as the assistant's, and the report.
        """
        revision = self.templates.revision(ask, report=report, output=self._output(ask))
        draft_and_report = Message(speaker="assistant", text=draft), Message(speaker="user", text=revision)
        return self.agent_messages(ask) + draft_and_report

    def decide_messages(self, ask: DecideAsk) -> tuple[Message, ...]:
        """What the decider's model is sent."""
        system = Message(speaker="system", text=render_system(ask.role))
        return system, Message(speaker="user", text=self.templates.decision(ask))

    def _output(self, ask: AgentAsk) -> str:
        # The text format says that no final answer is needed, which is wrong for one whose reply is taken as such.
        return "" if ask.sole and ask.role.output == "text" else self.outputs[ask.role.output]

    def _with_roles(self, domain: str, roles: Mapping[str, Role], *, changed: str) -> PromptLibrary:
        changed_roles = MappingProxyType({**self.roles, domain: _sorted(roles)})
        return replace(self, roles=changed_roles, hash=hash_texts({"before": self.hash, domain: changed}))


@functools.cache
def _packaged() -> PromptLibrary:
    return _load(files("mar.runtime.prompts"))


def _load(root: Traversable) -> PromptLibrary:
    by_folder = _by_folder(read_files(root))

    def each(folder: str, read: Callable[[PromptFile], Value]) -> Mapping[str, Value]:
        return _sorted({file.name: read(file) for file in by_folder[folder]})

    library = PromptLibrary(
        roles=_sorted({domain: each(f"roles/{domain}", _role) for domain in _ROLE_DOMAINS}),
        strategies=each("strategies", _strategy),
        modes=each("modes", lambda file: parse(ModeText, file, name=file.name)),
        domains=each("domains", lambda file: parse(DomainText, file, name=file.name)),
        rounds=each("rounds", lambda file: render_fixed(file.text, file.path)),
        outputs=each("outputs", lambda file: render_fixed(file.text, file.path)),
        hash=hash_texts({file.path: file.text for group in by_folder.values() for file in group}),
        templates=UserTemplates.compile(each("", lambda file: file.text)),
    )
    for name in get_args(Output):
        if name not in library.outputs:
            raise ConfigError(f"outputs/{name}.md: the file is missing")
    return library


def _by_folder(prompt_files: Iterable[PromptFile]) -> Mapping[str, list[PromptFile]]:
    groups: dict[str, list[PromptFile]] = {folder: [] for folder in _LAYOUT}
    for file in prompt_files:
        if _LAYOUT.get(file.folder) != file.suffix:
            expected = ", ".join(f"{folder}/*{suffix}".lstrip("/") for folder, suffix in _LAYOUT.items())
            raise ConfigError(f"{file.path}: not expected here; prompt files are {expected}")
        groups[file.folder].append(file)
    return groups


def _role(file: PromptFile) -> Role:
    role = parse(Role, file, name=file.name, domain=file.folder.removeprefix("roles/"))
    render_system(role)
    return role


def _strategy(file: PromptFile) -> Strategy:
    strategy = parse(Strategy, file, name=file.name)
    instruction = render_fixed(strategy.instruction, f"{file.path}: field 'instruction'")
    return strategy.model_copy(update={"instruction": instruction})


def _decider_prompt(path: Path) -> str:
    if path.suffix == ".json":
        raise ConfigError(f"{path}: a text or TOML file is expected, not JSON")
    text = read_text(path, str(path)).strip()
    if path.suffix == ".toml":
        return parse(Role, PromptFile(path=str(path), text=text), name=path.stem, domain="Final").system
    if not text:
        raise ConfigError(f"{path}: field 'system': the file is empty; a system prompt is expected")
    return text


def _sorted(values: Mapping[str, Value]) -> Mapping[str, Value]:
    return MappingProxyType(dict(sorted(values.items())))


def _pick(values: Mapping[str, Value], name: str, what: str) -> Value:
    try:
        return values[name]
    except KeyError:
        raise ConfigError(f"no {what} is called {name!r}; there are: {', '.join(values)}") from None
