import socket
import sys

import httpx
import pytest
from typer.testing import CliRunner

from mar.cli import data as commands
from mar.cli import main as run_command
from mar.cli.data import data_app
from mar.pool.recording_table import RecordedAnswer, RecordingTable, load_table
from mar.tasks import download
from mar.tasks.catalogue import CATALOGUE, ByHand, DataSet, Remote, RemoteFiles

HAND = ByHand(page="https://example.org/x", what="x.zip", place="outcomes/x.zip", unpack_to="outcomes/x")


def data_set(name, *parts, files):
    return DataSet(
        name=name, what="a toy", rows="7", size="1 MB", licence="MIT", source="here", files=files, parts=parts
    )


def remote_set(name, url):
    part = RemoteFiles(remotes=(Remote(url=url),), to=f"benchmarks/{name}.txt")
    return data_set(name, part, files=(part.to,))


@pytest.fixture
def dead():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(autouse=True)
def toys(monkeypatch, dead, tmp_path):
    """Two sets on a host that answers, two on one that does not, one to fetch by hand."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.chdir(tmp_path)
    sets = {name: remote_set(name, f"https://here.test/{name}.txt") for name in ("one", "two")}
    sets |= {name: remote_set(name, f"{dead}/{name}.txt") for name in ("three", "four")}
    sets["hand"] = data_set("hand", HAND, files=("outcomes/x/*",))
    monkeypatch.setattr(commands, "CATALOGUE", sets)
    return sets


@pytest.fixture
def answering(monkeypatch):
    """here.test answers with the path asked for; written down."""
    asked = []

    def answer(request):
        asked.append(request.url.path)
        return httpx.Response(200, content=request.url.path.encode())

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(download, "open_client", lambda: httpx.Client(transport=transport))
    return asked


def run(monkeypatch, capsys, *args):
    """The whole `mar` command: exit status, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["mar", "data", *args])
    with pytest.raises(SystemExit) as stopped:
        run_command()
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def test_a_set_is_pulled_into_datasets(answering, tmp_path):
    result = CliRunner().invoke(data_app, ["pull", "one"])
    assert result.exit_code == 0
    assert result.output == "one: fetched, 1 file in Datasets; licence: MIT\n"
    assert (tmp_path / "Datasets/benchmarks/one.txt").read_text() == "/one.txt"


def test_pulling_again_only_checks_and_force_fetches(answering, tmp_path):
    for args in (["one"], ["one"], ["one", "--force"]):
        result = CliRunner().invoke(data_app, ["pull", *args, "--into", "d"])
        assert result.exit_code == 0
    assert answering == ["/one.txt", "/one.txt"]
    assert "checksums agree" in CliRunner().invoke(data_app, ["pull", "one", "--into", "d"]).output


def test_no_network_is_one_line_that_says_what_to_do_and_status_2(monkeypatch, capsys, tmp_path):
    code, out, err = run(monkeypatch, capsys, "pull", "three")
    assert (code, out) == (2, "")
    assert err.startswith("error: three: cannot reach 127.0.0.1 (")
    assert err.count("\n") == 1
    assert all(word in err for word in ("HTTPS_PROXY", "mirror", "copy the files", "Datasets/benchmarks/three.txt"))
    assert list(tmp_path.iterdir()) == []


def test_what_has_to_be_fetched_by_hand_says_so_in_one_line_and_status_2(monkeypatch, capsys, tmp_path):
    code, _, err = run(monkeypatch, capsys, "pull", "hand")
    assert code == 2
    assert err.count("\n") == 1
    assert "get x.zip from https://example.org/x, put it at Datasets/outcomes/x.zip" in err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_is_refused_with_those_there_are(monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "pull", "other")
    assert (code, err) == (2, "error: no data set 'other'; there are one, two, three, four, hand, all\n")


def test_all_names_what_is_by_hand_and_succeeds_without_it(monkeypatch, capsys, toys, answering, tmp_path):
    code, out, err = run(monkeypatch, capsys, "pull", "all")
    assert (code, err) == (0, "")
    assert [line.partition(":")[0] for line in out.splitlines()] == [
        *("one", "two", "three", "four"),
        "hand has to be downloaded by hand",
    ]
    assert len(list((tmp_path / "Datasets/benchmarks").iterdir())) == 4


def test_all_asks_a_silent_host_once_and_fetches_the_rest(monkeypatch, capsys, toys, answering, dead, tmp_path):
    def answer(request):
        answering.append(request.url.path)
        if request.url.host != "here.test":
            raise httpx.ConnectError("refused")
        return httpx.Response(200, content=b"x")

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(download, "open_client", lambda: httpx.Client(transport=transport))
    code, _, err = run(monkeypatch, capsys, "pull", "all")
    assert code == 2
    assert answering == ["/one.txt", "/two.txt", "/three.txt"]
    assert err.count("\n") == 1
    assert "cannot reach 127.0.0.1 (refused) for three, four; connect, " in err
    assert sorted(p.name for p in (tmp_path / "Datasets/benchmarks").iterdir()) == ["one.txt", "two.txt"]


def test_the_list_says_what_is_there(answering):
    CliRunner().invoke(data_app, ["pull", "two"])
    result = CliRunner().invoke(data_app, ["list"])
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line]
    there = {name: present for name, present, *_ in rows if name}
    assert there == {"one": "no", "two": "yes", "three": "no", "four": "no", "hand": "no"}
    assert [row[-1] for row in rows[:3]] == ["a toy", "7; 1 MB; MIT", "here"]


def test_the_real_catalogue_is_listed_on_a_narrow_terminal(monkeypatch):
    monkeypatch.setattr(commands, "CATALOGUE", CATALOGUE)
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(data_app, ["list"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) < 8 * len(CATALOGUE)  # a few words a line, not a few letters
    assert all(name in result.output for name in CATALOGUE)


def test_recordings_are_written_as_a_table_that_can_be_replayed(monkeypatch, capsys, tmp_path):
    answers = {"x/1": {"m": RecordedAnswer(answer="A")}}
    table = RecordingTable(name="toy", models={"m": ""}, answers=answers, form="choice")
    monkeypatch.setattr("mar.evaluation.recording_tables.RECORDING_TABLES", {"toy": lambda data: table})
    code, out, _ = run(monkeypatch, capsys, "recordings", "toy", "--out", "folder/t.jsonl.gz")
    assert (code, out) == (0, "toy: 1 items, 1 LLMs, graded by the task; folder/t.jsonl.gz\n")
    assert load_table(tmp_path / "folder" / "t.jsonl.gz") == table


def test_recordings_that_are_unknown_or_missing_are_one_line(monkeypatch, capsys, tmp_path):
    for argv, says in ((("none",), "'none'; there are mmlu_pro"), (("mmlu_pro",), "mar data pull")):
        code, out, err = run(monkeypatch, capsys, "recordings", *argv)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert says in err
    assert not list(tmp_path.glob("*.gz"))
