"""Loading a library: what a file adds, what is refused, and what changes the hash."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import mar.runtime.prompts
from mar.errors import ConfigError
from mar.runtime import CHECKS
from mar.runtime.prompts import AgentAsk, DecideAsk, PromptLibrary, Role
from mar.types import Query

PACKAGED = Path(mar.runtime.prompts.__file__).parent
ROLE = """
description = "Tries things out."
aggregate = "plain"
output = "code"
post = "run_tests"
revise = true
system = "You are {{ name }} of {{ domain }}."
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PACKAGED, tmp_path / "prompts", ignore=shutil.ignore_patterns("__pycache__")))


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_packaged_files_are_read_once() -> None:
    assert PromptLibrary.load() is PromptLibrary.load()


def test_a_copied_folder_gives_the_same_library(root: Path) -> None:
    copied = PromptLibrary.load(root)
    assert copied.hash == PromptLibrary.load().hash
    assert copied.roles == PromptLibrary.load().roles


def test_names_are_sorted_and_mappings_read_only() -> None:
    library = PromptLibrary.load()
    for mapping in (library.roles, *library.roles.values(), library.modes, library.strategies, library.domains):
        assert list(mapping) == sorted(mapping)
        with pytest.raises(TypeError):
            mapping["New"] = None  # type: ignore[index]


def test_a_file_in_the_roles_folder_is_a_role(root: Path) -> None:
    (root / "roles/Code/Tinkerer.toml").write_text(ROLE)
    library = PromptLibrary.load(root)
    role = library.role("Code", "Tinkerer")
    assert (role.name, role.domain, role.revise) == ("Tinkerer", "Code", True)
    system, _ = library.agent_messages(AgentAsk(role=role, query=Query(text="?"), round_instruction="alone"))
    assert system.text == "You are Tinkerer of Code."


@pytest.mark.parametrize("path", ["roles/Math/MathSolver.toml", "user.md.j2", "rounds/alone.md", "modes/IO.toml"])
def test_the_hash_changes_with_any_file(root: Path, path: str) -> None:
    before = PromptLibrary.load(root).hash
    text = (root / path).read_text()
    (root / path).write_text("# changed\n" + text)
    after = PromptLibrary.load(root).hash
    (root / path).write_text(text)
    assert after != before == PromptLibrary.load(root).hash


def test_files_of_ones_own_stand_beside_the_packaged_ones_or_in_their_place(tmp_path: Path) -> None:
    packaged = PromptLibrary.load()
    written(tmp_path / "roles/Code/Tinkerer.toml", ROLE)
    written(tmp_path / "roles/Final/MBPP.toml", ROLE.replace('"run_tests"', '"none"').replace("true", "false"))
    written(tmp_path / "strategies/Flash.toml", 'description = "Quick."\ninstruction = "Hurry."\nmax_tokens = 9')
    written(tmp_path / "rounds/alone.md", "Do it.")
    own = PromptLibrary.load(tmp_path)
    assert set(own.roles["Code"]) == {*packaged.roles["Code"], "Tinkerer"}
    assert own.decider("MBPP").description == "Tries things out."
    assert own.decider("Plain") == packaged.decider("Plain")
    assert own.strategies["Flash"].max_tokens == 9
    assert own.rounds == {**packaged.rounds, "alone": "Do it."}
    assert own.hash != packaged.hash


def test_a_folder_of_roles_makes_a_domain(tmp_path: Path) -> None:
    written(tmp_path / "roles/Law/Lawyer.toml", ROLE)
    own = PromptLibrary.load(tmp_path)
    assert own.known_domains == ("Math", "Commonsense", "Code", "Law")
    assert own.role("Law", "Lawyer").domain == "Law"
    assert own.role("Law", "Assistant").domain == "Any"
    assert own.domains["Law"].description == "Tries things out."  # not described: as its roles are
    written(tmp_path / "domains/Law.toml", 'description = "Contracts and courts."')
    written(tmp_path / "roles/Law/Assistant.toml", ROLE)
    own = PromptLibrary.load(tmp_path)
    assert own.domains["Law"].description == "Contracts and courts."
    assert own.role("Law", "Assistant").domain == "Law"  # its own comes before the one for all


def test_a_folder_without_prompts_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "steps.py", "1 / 0")  # Python beside prompts is nobody's business here
    with pytest.raises(ConfigError, match=r"there are no prompts in it; expected files as \*.md.j2, roles/<domain>/"):
        PromptLibrary.load(tmp_path)


def test_a_registered_check_can_be_named_by_a_role(tmp_path: Path, registries: None) -> None:
    role = written(tmp_path / "roles/Code/Tinkerer.toml", ROLE.replace('"plain"', '"loud"'))
    with pytest.raises(ConfigError, match=rf"^{role}: field 'aggregate': there is no check 'loud'; there are: plain"):
        PromptLibrary.load(tmp_path)
    CHECKS.register("loud", lambda text, query: None)
    assert PromptLibrary.load(tmp_path).role("Code", "Tinkerer").aggregate == "loud"


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


ROLE_FILE = "roles/Code/Tinkerer.toml"
BROKEN = [
    (ROLE_FILE, lambda text: text + "colour = 'red'", "field 'colour' is unknown; there are: name, "),
    (ROLE_FILE, replaced("output", "outputs"), "field 'output' is missing; field 'outputs' is unknown"),
    (ROLE_FILE, lambda text: text + "name = 'Other'", "field 'name' is not expected; the file's path states it"),
    (
        ROLE_FILE,
        replaced('"plain"', '"plan"'),
        "field 'aggregate': there is no check 'plan'; there are: plain, hints, ",
    ),
    (ROLE_FILE, replaced("true", '"yes"'), "field 'revise': Input should be a valid boolean, not 'yes'"),
    (ROLE_FILE, replaced('"Tries things out."', '"  "'), "field 'description': String should have at least 1 char"),
    (ROLE_FILE, replaced('"run_tests"', '"none"'), "field 'revise': true needs feedback to revise with"),
    (ROLE_FILE, replaced('"code"', '"text"'), "field 'post': 'run_tests' needs output 'code', not 'text'"),
    (
        ROLE_FILE,
        replaced("{{ name }}", "{{ nme }}"),
        "field 'system': undefined variable 'nme'; there are: domain, name",
    ),
    (ROLE_FILE, replaced("{{ name }}", "{{ name"), "field 'system': line 1: "),
    (ROLE_FILE, replaced("{{ name }}", "{{ name.nick }}"), "field 'system': 'str object' has no attribute 'nick'"),
    (ROLE_FILE, replaced("{{ name }}", "{{ name.__class__ }}"), "field 'system': access to attribute '__class__'"),
    (ROLE_FILE, replaced("{{ name }}", "{{ 1 / 0 }}"), "field 'system': division by zero"),
    (ROLE_FILE, lambda _: "description =", "malformed TOML: "),
    ("roles/Final/New.toml", lambda _: ROLE, "field 'post': a final role makes one call"),
    ("roles/Chef.toml", lambda _: ROLE, "not expected here; prompt files are *.md.j2, roles/<domain>/*.toml, "),
    ("roles/Fine Food/Chef.toml", lambda _: ROLE, "not expected here; prompt files are "),
    ("roles/Code/Chef.tml", lambda _: ROLE, "not expected here; prompt files are "),
    ("outputs/song.md", lambda _: "Sing.", "not expected here; prompt files are "),
    ("domains/Cooking.toml", lambda _: 'description = "Food."', "domain Cooking has no roles; expected some in roles/"),
    ("rounds/debate.toml", lambda _: "", "not expected here; prompt files are "),
    ("user.md.j2", replaced("{{ question }}", "{{ query }}"), "undefined variable 'query'; there are: answer_format, "),
    (
        "user.md.j2",
        replaced("{{ peer.text }}", "{{ peer.txt }}"),
        "'mar.runtime.prompts.records.Peer object' has no attr",
    ),
    ("revise.md.j2", replaced("{% endif %}", ""), "line "),
    ("decide.md.j2", replaced("{{ question }}", "{{ question | shout }}"), "line 25: No filter named 'shout'."),
    ("rounds/debate.md", lambda text: text + "{{ peers }}", "undefined variable 'peers'; there are: none"),
    (
        "strategies/Flash.toml",
        replaced("max_tokens = 512", "max_tokens = 0"),
        "field 'max_tokens': Input should be greater",
    ),
    ("strategies/Flash.toml", replaced("Be as", "{{ x }}"), "field 'instruction': undefined variable 'x'"),
    ("modes/IO.toml", replaced("description", "text"), "field 'description' is missing; field 'text' is unknown"),
]


@pytest.mark.parametrize(("path", "change", "message"), BROKEN, ids=[f"{p}-{m[:40]}" for p, _, m in BROKEN])
def test_a_wrong_file_is_refused_in_one_line_that_names_it(
    root: Path, path: str, change: Callable[[str], str], message: str
) -> None:
    file = root / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(change(file.read_text() if file.exists() else ROLE))
    with pytest.raises(ConfigError) as caught:
        PromptLibrary.load(root)
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_named(root: Path) -> None:
    (root / "rounds/alone.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=rf"^{root}/rounds/alone.md cannot be read: "):
        PromptLibrary.load(root)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere: not a folder"):
        PromptLibrary.load(tmp_path / "nowhere")


def test_an_unknown_role_or_domain_is_refused_with_the_names_there_are() -> None:
    library = PromptLibrary.load()
    with pytest.raises(ConfigError, match=r"no role of Code is called 'Poet'; there are: AlgorithmDesigner, BugFixer,"):
        library.role("Code", "Poet")
    with pytest.raises(
        ConfigError,
        match=r"^no domain is called 'Cooking'; there are: Code, Commonsense, Math; one",
    ):
        library.role("Cooking", "Chef")


def test_a_role_for_any_domain_is_found_in_each_and_offered_in_none() -> None:
    library = PromptLibrary.load()
    assert {library.role(domain, "Assistant").domain for domain in ("Code", "Math", "Commonsense")} == {"Any"}
    assert not any("Assistant" in library.roles[domain] for domain in ("Code", "Math", "Commonsense"))


def test_with_decider_replaces_the_system_prompt_of_every_final_role_and_of_no_other(tmp_path: Path) -> None:
    file = tmp_path / "decider.md"
    file.write_text("You, {{ name }}, decide.\n")
    before = PromptLibrary.load()
    after = before.with_decider(file)
    assert after.hash != before.hash
    for domain, roles in after.roles.items():
        for name, role in roles.items():
            if domain != "Final":
                assert role == before.roles[domain][name]
                continue
            system, _ = after.decide_messages(DecideAsk(role=role, query=Query(text="?")))
            assert system.text == f"You, {name}, decide."
            assert role.output == before.decider(name).output


def test_with_decider_takes_the_system_prompt_of_a_role_file() -> None:
    library = PromptLibrary.load()
    changed = library.with_decider(PACKAGED / "roles/Final/MBPP.toml")
    assert changed.decider("Plain").system == library.decider("MBPP").system


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("decider.md", "You decide on {{ topic }}.", "field 'system': undefined variable 'topic'"),
        ("decider.md", " \n", "field 'system': the file is empty"),
        ("decider.toml", 'description = "x"', "field 'aggregate' is missing"),
        ("decider.json", "{}", "a text or TOML file is expected"),
        ("decider.md", None, "cannot be read: "),
    ],
)
def test_a_wrong_decider_file_is_refused_in_one_line(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        PromptLibrary.load().with_decider(file)
    assert str(caught.value).startswith((f"{file}: {message}", f"{file} {message}"))


def new_role(**fields: object) -> Role:
    data = {"name": "Poet", "domain": "Math", "description": "Rhymes.", "aggregate": "plain", "output": "text"}
    return Role.model_validate(data | {"post": "none", "revise": False, "system": "You rhyme."} | fields)


def test_with_role_adds_a_role_in_its_place_and_leaves_the_library_alone() -> None:
    before = PromptLibrary.load()
    after = before.with_role(new_role())
    assert after.role("Math", "Poet") == new_role()
    assert list(after.roles["Math"]) == sorted([*before.roles["Math"], "Poet"])
    assert "Poet" not in before.roles["Math"]
    assert len({before.hash, after.hash, before.with_role(new_role(system="You sing.")).hash}) == 3


def test_with_role_refuses_an_undefined_variable() -> None:
    with pytest.raises(ConfigError, match=r"^roles/Math/Poet\.toml: field 'system': undefined variable 'muse'"):
        PromptLibrary.load().with_role(new_role(system="Sing, {{ muse }}!"))


def test_profiles_are_stable_json_of_all_fields_and_differ() -> None:
    roles = [role for roles in PromptLibrary.load().roles.values() for role in roles.values()]
    assert len({role.profile for role in roles}) == len(roles)
    assert json.loads(roles[0].model_copy(update={"tools": ("python",)}).profile)["tools"] == ["python"]
    for role in roles:
        assert {"tools": [], **json.loads(role.profile)} == role.model_dump(mode="json")  # tools where there are any
        assert role.profile.startswith(f'{{"name": "{role.name}", "domain": "{role.domain}", "description": "')
