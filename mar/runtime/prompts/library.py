"""The prompt library: every text that a model or a controller reads, loaded and checked at once."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, get_args

from mar.errors import ConfigError
from mar.runtime.prompts.files import PromptFile, hash_texts, parse, read_files, read_text
from mar.runtime.prompts.messages import UserTemplates
from mar.runtime.prompts.records import (
    ANY,
    DOMAIN_NAME,
    FINAL,
    AgentAsk,
    DecideAsk,
    DomainText,
    ModeText,
    Output,
    Role,
    Strategy,
)
from mar.runtime.prompts.templates import render_fixed, render_system
from mar.types import DOMAINS, Message

_LAYOUT = {  # folder -> suffix of its files
    "": ".md.j2",
    "roles/<domain>": ".toml",
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

    roles: Mapping[str, Mapping[str, Role]]  # by domain (FINAL: the deciders, ANY: what fits all), then by name
    strategies: Mapping[str, Strategy]
    modes: Mapping[str, ModeText]
    domains: Mapping[str, DomainText]
    rounds: Mapping[str, str]  # round instructions
    outputs: Mapping[str, str]  # how to write a reply: "code", "answer", "text"
    hash: str  # of everything above and below; goes into the run's record
    templates: UserTemplates  # what is sent beside the system prompt

    @classmethod
    def load(cls, folder: Path | None = None) -> PromptLibrary:
        """The packaged prompts, which are read once, with those of a folder of one's own.

        Args:
            folder: Laid out like this package; its files stand beside the packaged ones, or in their place.

        Raises:
            ConfigError: A file or field is missing, unknown or wrong; the message names both.
        """
        return _packaged() if folder is None else _with_own(folder)

    @property
    def known_domains(self) -> tuple[str, ...]:
        """The task domains, the packaged ones first."""
        return (*DOMAINS, *(domain for domain in self.domains if domain not in DOMAINS))

    def require_domain(self, domain: str, where: str = "") -> None:
        """Check that there are roles of a task domain.

        Args:
            domain: Its name.
            where: It is from, for messages.

        Raises:
            ConfigError: There are none; the message lists the domains there are.
        """
        what = f"{where}: no domain" if where else "no domain"
        _pick(self.domains, domain, what, "one of your own needs its roles (--prompts)")

    def role(self, domain: str, name: str) -> Role:
        """The role of that name, of a domain or for any; the domain's own comes first.

        Raises:
            ConfigError: There is none; the message lists the names there are.
        """
        self.require_domain(domain)
        own = self.roles[domain]
        return own[name] if name in own else _pick({**own, **self.roles.get(ANY, {})}, name, f"no role of {domain}")

    def mode(self, name: str) -> ModeText:
        """A collaboration mode in words.

        Raises:
            ConfigError: It is not described.
        """
        return _pick(
            self.modes, name, "no described mode", f"a mode that is chosen needs modes/{name}.toml (--prompts)"
        )

    def decider(self, name: str) -> Role:
        """The final role of that name.

        Raises:
            ConfigError: There is none; the message lists the names there are.
        """
        return _pick(self.roles[FINAL], name, "no final role")

    @property
    def uses_tools(self) -> bool:
        """Whether any role's model may call tools."""
        return any(role.tools for roles in self.roles.values() for role in roles.values())

    def with_decider(self, path: Path) -> PromptLibrary:
        """This library with another system prompt for every final role.

        Args:
            path: A text file that is the system prompt, or a role's TOML file whose `system` is taken.

        Raises:
            ConfigError: The file cannot be read, or is no valid prompt.
        """
        system = _decider_prompt(path)
        final = {name: role.model_copy(update={"system": system}) for name, role in self.roles[FINAL].items()}
        for role in final.values():
            render_system(role, f"{path}: field 'system'")
        return self._with_roles(FINAL, final, changed=system)

    def with_role(self, role: Role) -> PromptLibrary:
        """This library with one more role, or with another role of that name.

        Raises:
            ConfigError: Its system prompt is no valid template.
        """
        render_system(role)
        if role.domain not in (FINAL, ANY):
            self.require_domain(role.domain)
        return self._with_roles(role.domain, {**self.roles[role.domain], role.name: role}, changed=role.profile)

    def with_tools(self, given: Mapping[str, Sequence[str]]) -> PromptLibrary:
        """This library with further tools for some roles.

        Args:
            given: Names of tools by role: `MathSolver` in every domain that has one, or `Math/MathSolver`.

        Raises:
            ConfigError: There is no such role.
        """
        library = self
        for name, tools in given.items():
            domain, _, role_name = name.rpartition("/")
            found = [r for roles in self.roles.values() for r in roles.values() if r.name == role_name]
            chosen = [role for role in found if domain in ("", role.domain)]
            if not chosen:
                raise ConfigError(f"no role is called {name!r}; expected such as MathSolver or Math/MathSolver")
            for role in chosen:
                more = tuple(dict.fromkeys((*role.tools, *tools)))
                library = library.with_role(role.model_copy(update={"tools": more}))
        return library

    def agent_messages(self, ask: AgentAsk) -> tuple[Message, ...]:
        """What an agent's model is sent: its system prompt and one user message.

        Raises:
            ConfigError: The round instruction or the strategy is unknown.
        """
        instruction = _pick(self.rounds, ask.round_instruction, "no round instruction")
        strategy = _pick(self.strategies, ask.strategy, "no strategy").instruction if ask.strategy else ""
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
    return _built(_packaged_files())


@functools.cache
def _packaged_files() -> tuple[PromptFile, ...]:
    return read_files(files("mar.runtime.prompts"))


def _with_own(folder: Path) -> PromptLibrary:
    own = read_files(folder, root=str(folder))
    if not own:
        raise ConfigError(f"{folder}: there are no prompts in it; expected files as {_EXPECTED}")
    return _built(tuple({file.path: file for file in (*_packaged_files(), *own)}.values()))


def _built(prompt_files: tuple[PromptFile, ...]) -> PromptLibrary:
    by_folder = _by_folder(prompt_files)

    def each(folder: str, read: Callable[[PromptFile], Value]) -> Mapping[str, Value]:
        return _sorted({file.name: read(file) for file in by_folder.get(folder, ())})

    domains = [folder.removeprefix("roles/") for folder in by_folder if folder.startswith("roles/")]
    roles = _sorted({domain: each(f"roles/{domain}", _role) for domain in domains})
    for file in by_folder.get("domains", ()):
        if file.name not in roles:
            raise ConfigError(f"{file.where}: domain {file.name} has no roles; expected some in roles/{file.name}")
    stated = each("domains", lambda file: parse(DomainText, file, name=file.name))
    return PromptLibrary(
        roles=roles,
        strategies=each("strategies", _strategy),
        modes=each("modes", lambda file: parse(ModeText, file, name=file.name)),
        domains=_sorted({d: stated.get(d) or _in_words(d, roles[d]) for d in domains if d not in (FINAL, ANY)}),
        rounds=each("rounds", lambda file: render_fixed(file.text, file.where)),
        outputs=each("outputs", lambda file: render_fixed(file.text, file.where)),
        hash=hash_texts({file.path: file.text for file in prompt_files}),
        templates=_compiled(by_folder.get("", ())),
    )


def _compiled(templates: Sequence[PromptFile]) -> UserTemplates:
    try:
        return UserTemplates.compile({file.name: file.text for file in templates})
    except ConfigError as error:
        path, _, problem = str(error).partition(": ")
        where = next((file.where for file in templates if file.path == path), path)
        raise ConfigError(f"{where}: {problem}") from None


def _by_folder(prompt_files: Iterable[PromptFile]) -> Mapping[str, list[PromptFile]]:
    groups: dict[str, list[PromptFile]] = {}
    for file in prompt_files:
        above, _, domain = file.folder.rpartition("/")
        known = "roles/<domain>" if above == "roles" and re.match(DOMAIN_NAME, domain) else file.folder
        if _LAYOUT.get(known) != file.suffix or (known == "outputs" and file.name not in get_args(Output)):
            raise ConfigError(f"{file.where}: not expected here; prompt files are {_EXPECTED}")
        groups.setdefault(file.folder, []).append(file)
    return groups


_EXPECTED = ", ".join(f"{folder}/*{suffix}".lstrip("/") for folder, suffix in _LAYOUT.items())


def _in_words(domain: str, roles: Mapping[str, Role]) -> DomainText:
    """A domain that is not described: as its roles are."""
    return DomainText(name=domain, description=" ".join(role.description for role in roles.values()))


def _role(file: PromptFile) -> Role:
    role = parse(Role, file, name=file.name, domain=file.folder.removeprefix("roles/"))
    render_system(role, f"{file.where}: field 'system'")
    return role


def _strategy(file: PromptFile) -> Strategy:
    strategy = parse(Strategy, file, name=file.name)
    instruction = render_fixed(strategy.instruction, f"{file.where}: field 'instruction'")
    return strategy.model_copy(update={"instruction": instruction})


def _decider_prompt(path: Path) -> str:
    if path.suffix == ".json":
        raise ConfigError(f"{path}: a text or TOML file is expected, not JSON")
    text = read_text(path, str(path)).strip()
    if path.suffix == ".toml":
        return parse(Role, PromptFile(path=str(path), text=text), name=path.stem, domain=FINAL).system
    if not text:
        raise ConfigError(f"{path}: field 'system': the file is empty; a system prompt is expected")
    return text


def _sorted(values: Mapping[str, Value]) -> Mapping[str, Value]:
    return MappingProxyType(dict(sorted(values.items())))


def _pick(values: Mapping[str, Value], name: str, what: str, hint: str = "") -> Value:
    try:
        return values[name]
    except KeyError:
        there_are = f"{what} is called {name!r}; there are: {', '.join(values)}"
        raise ConfigError(f"{there_are}; {hint}" if hint else there_are) from None
