"""A person's first hour: the commands and programs of the README, in its order, on three models of this machine."""

import json
import re
import shlex
from pathlib import Path

from tests.served import served

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FACTS = (("Portugal", "Lisbon"), ("Norway", "Oslo"), ("Peru", "Lima"), ("Kenya", "Nairobi"), ("Japan", "Tokyo"))
ROWS = 60
PRICES = {"sums": 0.1, "places": 0.1, "dear": 2.5}  # USD per million tokens


def question(i):
    """A sum or a place, in turn."""
    if i % 2 == 0:
        return f"What is {i + 11}*{i + 3}?", str((i + 11) * (i + 3))
    country, capital = FACTS[i // 2 % len(FACTS)]
    return f"Which city is the capital of {country}, asked for the {i}th time?", capital


ASKED = {**dict(question(i) for i in range(ROWS)), "What is 17*23?": "391"}


def answer(request):
    """Two models know one kind of question each, the dear one both."""
    found = next((q for q in ASKED if q in request.prompt), None)
    knows = found is not None and (request.model == "dear" or (request.model == "sums") == ("*" in found))
    return f"The answer is {ASKED[found] if knows else 'unknown'}"


def section(title):
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(text, language=""):
    """Code blocks of a language, in their order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [code for of, code in found if of == language]


def commands(title):
    """The calls of mar that a section shows, as words."""
    lines = [line for block in blocks(section(title)) for line in block.splitlines()]
    return [shlex.split(line.partition(" #")[0])[3:] for line in lines if line.startswith("uv run mar ")]


def pool_file(server):
    """The README's pool, with this machine's server, and one more specialist."""
    first = blocks(section("On my questions"), "toml")[0].split("\n\n")[0]
    stated = re.sub(r'base_url = "[^"]*"', f'base_url = "{server.base_url}"', first)
    cards = []
    for name, usd in PRICES.items():
        card = re.sub(r'name = "[^"]*"', f'name = "{name}"', stated)
        card = re.sub(r"^description = .*$", "", card, flags=re.MULTILINE)
        cards.append(re.sub(r"(price_in|price_out) = \S+", rf"\1 = {usd}", card))
    Path("pool.toml").write_text("\n\n".join(cards), encoding="utf-8")


def rows_file():
    shown = json.loads(re.search(r"`(\{\"question\".*?\})`", section("On my questions"))[1])
    assert shown == {"question": "What is 17*23?", "answer": "391"}
    lines = [json.dumps(dict(zip(shown, question(i), strict=True))) for i in range(ROWS)]
    Path("questions.jsonl").write_text("\n".join(lines), encoding="utf-8")


def test_the_readmes_first_hour_works_command_by_command(mar_command, capsys):
    done = []
    with served(answer=answer, models=tuple(PRICES)) as server:
        pool_file(server)
        rows_file()
        for words in commands("On my questions"):
            out, err = mar_command(words)
            before, asked = done[-1][1] if done else 0, len(server.requests)
            done.append((words[0], asked))
            match words:
                case ["pool", *_]:
                    assert all(name in out for name in PRICES)
                    assert asked == 0  # looking costs nothing
                case ["plan", *_]:
                    assert any(name in out for name in PRICES)
                    assert asked == 0
                case ["ask", *_] if "--router" not in words:
                    assert asked == before + 1  # one model by its card, for which nobody reads tests
                case ["route", *_] if "--dry-run" in words:
                    assert "60 rows x 3 models = 180 calls, about" in err
                case ["route", *_]:
                    assert re.match(r"At the accuracy of dear \(100\.0%\): 9\d% cheaper", out.splitlines()[-1])
                    assert Path("runs/route-questions/route.png").is_file()
                case _:
                    assert "391" in out
                    assert server.requests[-1].model == "sums"
                    assert asked == before + 1
        kinds = [kind for kind, _ in done]
        assert kinds == ["pool", "plan", "ask", "route", "route", "ask"]
        for program in blocks(section("In my application"), "python"):
            exec(compile(program, "README.md", "exec"), {})
        said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("The answer is 391 ")
    assert said[-1].endswith("['sums']")


def test_what_the_readme_links_to_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    missing = [link for link in links if not (Path(__file__).parents[1] / link).exists()]
    assert not missing
