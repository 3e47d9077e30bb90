"""The page on extending works as it stands: its files are written, its commands and programs run in its order."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from mar.testing import ServedAnswer
from tests.served import served
from tests.test_first_hour import PRICES, pool_file, rows_file

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^`(?P<file>[^`\n]+)`:\n\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def lawyer(request):
    """Names a section once it is told that it did not."""
    asked = str(request.body["messages"])
    told = "It names no section." in asked
    return ServedAnswer(text="§ 903: no." if told else "No." if "cat" in asked else "I am not sure: 391")


@pytest.fixture
def run(mar_command, registries):
    """Calls `mar`; gives what was printed, of both kinds."""
    return lambda words: "".join(mar_command(words))


def commands():
    """Those of the page, each once what stands before it has been written."""
    for block in BLOCK.finditer(PAGE):
        if block["file"]:
            Path(block["file"]).parent.mkdir(parents=True, exist_ok=True)
            Path(block["file"]).write_text(block["text"], encoding="utf-8")
        elif not block["language"]:
            yield from (shlex.split(line)[3:] for line in block["text"].splitlines())


def scores_file():
    lines = [f"{i},{'long ' * (i % 80)},{i % 2},{i % 3 == 0:d}" for i in range(200)]
    Path("scores.csv").write_text("\n".join(["id,prompt,small,large", *lines]), encoding="utf-8")


def test_the_page_works_command_by_command(run, capsys):
    said = {}
    with served(answer=lawyer, models=tuple(PRICES)) as server:
        pool_file(server)
        rows_file()
        scores_file()
        for words in commands():
            before = len(server.requests)
            name = f"{words[0]} {next((w for w in words if '.py' in w), '')}".strip()
            said[name] = run(words), server.requests[before:]
        runpy.run_path("try_ring.py")
        ring = capsys.readouterr().out
    out, asked = said["ask"]
    assert "You answer in one sentence." in str(asked[0].body)
    out, asked = said["ask checks.py"]
    assert "You are a lawyer." in str(asked[0].body)
    assert "cites: It names no section." in out
    _, asked = said["ask desk.py"]
    assert [tool["function"]["name"] for tool in asked[0].body["tools"]] == ["calculator", "opening"]
    out, asked = said["ask thrifty.py:Thrifty(most=2)"]
    assert [r.model for r in asked] == ["sums", "places"]  # the cheapest is not sure
    assert "before settling: sure enough" in out
    assert ring.split()[-1] == "5"  # three agents, one of whom revises, and a decider
    assert "forecast for law" in said["train checks.py"][0]
    assert "calls, about" in said["route letters.py:Letters"][0]
    assert "wordy.py:Wordy" in said["routereval wordy.py:Wordy"][0]


def test_a_gateway_takes_them_too(run):
    list(commands())
    words = "serve --check --pool simulated --prompts mine --extend checks.py --router thrifty.py:Thrifty"
    assert "mar: thrifty" in run(words.split())


def test_every_kind_of_thing_is_on_the_page(registries):
    from mar.controllers.embeddings import ENCODERS
    from mar.controllers.registry import CONTROLLERS
    from mar.controllers.routers import ROUTERS
    from mar.runtime import CHECKS, MODES, TOOLS
    from mar.tasks.grading.function import GRADERS

    for registry in (CHECKS, CONTROLLERS, ENCODERS, GRADERS, MODES, ROUTERS, TOOLS):
        assert f"| `{registry.group}` |" in PAGE


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "train --task law/task.toml --dry-run",
            "task law: no domain is called 'Law'; there are: Code, Commonsense, Math",
        ),
        ("route law/task.toml --dry-run", "task law: no domain is called 'Law'; there are: Code, Commonsense, Math"),
        (
            "ask Hm? --domain Law",
            "--domain: no domain is called 'Law'; there are: Code, Commonsense, Math; one of your",
        ),
        (
            "ask Hm? --prompts mine",
            "mine/roles/Law/Assistant.toml: field 'post': there is no check 'cites'; there are:",
        ),
        ("plan Hm? --router thrifty.py:Missing", "thrifty.py has no 'Missing'; expected the name of something"),
        ("plan Hm? --prompts nowhere", "nowhere: not a folder of prompts"),
        (
            "serve --check --prompts mine",
            "mine/roles/Law/Assistant.toml: field 'post': there is no check 'cites'; there ",
        ),
        ("plan Hm? --extend nowhere.py", "no Python file nowhere.py"),
        ("train --task law/task.toml --extend nowhere.py", "no Python file nowhere.py"),
    ],
)
def test_what_is_missing_is_one_line(run, capsys, words, line):
    list(commands())
    with pytest.raises(AssertionError) as refused:
        run([*words.split(), "--pool", "simulated"])
    assert f"error: {line}" in str(refused.value).splitlines()[0]
    assert "assert not 2" in str(refused.value)
