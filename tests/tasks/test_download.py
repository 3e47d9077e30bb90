import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import itertools
import json
import socket
import stat
import tarfile
import zipfile

import httpx
import pytest

from mar.errors import DataError
from mar.reading.archives import unpack
from mar.tasks import pull as pulling
from mar.tasks.catalogue import Archives, ByHand, DataSet, HubRows, Remote, RemoteFiles
from mar.tasks.download import Unreachable, fetch, open_client
from mar.tasks.pull import present_files, pull, read_checksums
from tests.serving import serving

CONTENT = b"".join(b"%06d\n" % n for n in range(40_000))  # 280,000 bytes
SHA = hashlib.sha256(CONTENT).hexdigest()


class Silent:
    """Counts what it is told."""

    def __init__(self):
        self.started = []
        self.bytes = 0

    def start(self, what, *, done, total):
        self.started.append((what, done, total))

    def advance(self, by):
        self.bytes += by


class Server(http.server.BaseHTTPRequestHandler):
    """Serves files of a dictionary, with Range and If-Range; may break off, and writes down what was asked."""

    def __init__(self, site, *args):
        self.site = site
        super().__init__(*args)

    def do_GET(self):
        self.site.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        content = self.site.files.get(self.path)
        if content is None:
            self.send_error(self.site.status)
            return
        wanted = self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, self.site.tag)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and same and self.site.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.site.tag:
            self.send_header("ETag", self.site.tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = self.site.breaks.pop(0) if self.site.breaks else len(content)
        self.wfile.write(content[start:stop])

    def log_message(self, *args):
        pass


class Site:
    def __init__(self):
        self.files, self.asked, self.breaks = {"/a.txt": CONTENT}, [], []
        self.tag, self.ranges, self.status, self.url = '"one"', True, 404, ""


@contextlib.contextmanager
def serve(site):
    with serving(functools.partial(Server, site)) as address:
        site.url = f"http://{address}"
        yield site


@pytest.fixture(autouse=True)
def no_detours(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr("mar.tasks.download.TRIES", 1)


@pytest.fixture
def site():
    with serve(Site()) as site:
        yield site


@pytest.fixture
def client():
    with open_client() as client:
        yield client


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def data_set(*parts, files, name="toy"):
    return DataSet(
        name=name, what="", rows="", size="", licence="MIT", source="", files=tuple(files), parts=tuple(parts)
    )


def one_file(site, sha256=None):
    part = RemoteFiles(remotes=(Remote(url=f"{site.url}/a.txt", sha256=sha256),), to="benchmarks/toy/a.txt")
    return data_set(part, files=["benchmarks/toy/a.txt"])


def everything_below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*")) if folder.exists() else []


# One file -----------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_and_its_part_is_gone(site, client, tmp_path):
    watch = Silent()
    fetch(Remote(url=f"{site.url}/a.txt", sha256=SHA), tmp_path / "a.txt", client=client, watch=watch)
    assert (tmp_path / "a.txt").read_bytes() == CONTENT
    assert everything_below(tmp_path) == ["a.txt"]
    assert watch.started == [("a.txt", 0, 280_000)]
    assert watch.bytes == 280_000


def test_an_interrupted_download_goes_on_where_it_stopped(site, client, tmp_path):
    remote, to = Remote(url=f"{site.url}/a.txt"), tmp_path / "a.txt"
    site.breaks = [100_000]
    with pytest.raises(DataError, match=r"broke off after .* run the command again"):
        fetch(remote, to, client=client, watch=Silent())
    have = (tmp_path / "a.txt.part").stat().st_size
    assert 0 < have <= 100_000
    assert not to.exists()
    watch = Silent()
    fetch(remote, to, client=client, watch=watch)
    assert to.read_bytes() == CONTENT
    assert site.asked[1] == ("/a.txt", f"bytes={have}-", '"one"')
    assert watch.bytes == 280_000 - have


def test_a_connection_that_breaks_is_taken_up_again_within_one_call(site, client, tmp_path, monkeypatch):
    monkeypatch.setattr("mar.tasks.download.TRIES", 3)
    site.breaks = [100_000, 200_000]
    fetch(Remote(url=f"{site.url}/a.txt"), tmp_path / "a.txt", client=client, watch=Silent())
    assert (tmp_path / "a.txt").read_bytes() == CONTENT
    assert len(site.asked) == 3


def test_a_file_that_changed_meanwhile_starts_anew(site, client, tmp_path):
    remote, to = Remote(url=f"{site.url}/a.txt"), tmp_path / "a.txt"
    site.breaks = [100_000]
    with pytest.raises(DataError):
        fetch(remote, to, client=client, watch=Silent())
    site.files["/a.txt"], site.tag = CONTENT[::-1], '"two"'
    fetch(remote, to, client=client, watch=Silent())
    assert to.read_bytes() == CONTENT[::-1]


def test_without_an_entity_tag_or_checksum_nothing_is_glued_together(site, client, tmp_path):
    remote, to = Remote(url=f"{site.url}/a.txt"), tmp_path / "a.txt"
    site.tag, site.breaks = "", [100_000]
    with pytest.raises(DataError):
        fetch(remote, to, client=client, watch=Silent())
    fetch(remote, to, client=client, watch=Silent())
    assert site.asked[1][1] is None
    assert to.read_bytes() == CONTENT


def test_a_server_without_ranges_starts_anew(site, client, tmp_path):
    remote, to = Remote(url=f"{site.url}/a.txt", sha256=SHA), tmp_path / "a.txt"
    site.ranges, site.breaks = False, [100_000]
    with pytest.raises(DataError):
        fetch(remote, to, client=client, watch=Silent())
    fetch(remote, to, client=client, watch=Silent())
    assert to.read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_stays(site, client, tmp_path):
    with pytest.raises(DataError, match="expected 0000"):
        fetch(Remote(url=f"{site.url}/a.txt", sha256="0000"), tmp_path / "a.txt", client=client, watch=Silent())
    assert everything_below(tmp_path) == []


def test_a_file_beyond_its_cap_is_refused(site, client, tmp_path):
    with pytest.raises(DataError, match="longer than 1,000 bytes"):
        fetch(Remote(url=f"{site.url}/a.txt", cap_bytes=1000), tmp_path / "a.txt", client=client, watch=Silent())
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize(("status", "said"), [(404, "may have moved"), (403, "refuses access"), (503, "later")])
def test_a_refusal_says_what_the_host_answered(site, client, tmp_path, status, said):
    site.status = status
    with pytest.raises(DataError, match=said):
        fetch(Remote(url=f"{site.url}/b.txt"), tmp_path / "b.txt", client=client, watch=Silent())


def test_a_web_page_is_not_taken_for_the_file(tmp_path):
    page = httpx.MockTransport(lambda _: httpx.Response(200, html="<p>Please log in</p>"))
    with httpx.Client(transport=page) as client, pytest.raises(DataError, match="a web page came"):
        fetch(Remote(url="https://x.test/a.txt"), tmp_path / "a.txt", client=client, watch=Silent())
    assert everything_below(tmp_path) == []


def test_a_silent_host_leaves_nothing(client, tmp_path):
    url = f"http://127.0.0.1:{closed_port()}/a.txt"
    with pytest.raises(Unreachable, match=r"cannot reach 127\.0\.0\.1") as caught:
        fetch(Remote(url=url), tmp_path / "x" / "a.txt", client=client, watch=Silent())
    assert caught.value.host == "127.0.0.1"
    assert everything_below(tmp_path) == []


def test_files_of_the_hub_come_from_its_mirror(site, client, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{site.url}/")
    fetch(Remote(url="https://huggingface.co/a.txt"), tmp_path / "a.txt", client=client, watch=Silent())
    assert (tmp_path / "a.txt").read_bytes() == CONTENT


# Whole data sets ----------------------------------------------------------------------------------------------


def test_a_pull_installs_records_checksums_and_leaves_no_stage(site, client, tmp_path):
    pulled = pull(one_file(site, SHA), tmp_path, client=client, watch=Silent())
    assert (pulled.fetched, pulled.files) == (True, ("benchmarks/toy/a.txt",))
    assert read_checksums(tmp_path) == {"benchmarks/toy/a.txt": SHA}
    assert everything_below(tmp_path) == ["benchmarks", "benchmarks/toy", "benchmarks/toy/a.txt", "checksums.json"]


def test_what_is_there_is_checked_and_not_fetched_again(site, client, tmp_path):
    pull(one_file(site), tmp_path, client=client, watch=Silent())
    assert not pull(one_file(site), tmp_path, client=client, watch=Silent()).fetched
    assert len(site.asked) == 1
    (tmp_path / "benchmarks/toy/a.txt").write_text("changed")
    with pytest.raises(DataError, match="--force"):
        pull(one_file(site), tmp_path, client=client, watch=Silent())
    assert pull(one_file(site), tmp_path, client=client, watch=Silent(), force=True).fetched
    assert (tmp_path / "benchmarks/toy/a.txt").read_bytes() == CONTENT


def test_a_file_copied_by_hand_is_taken_as_it_is(site, client, tmp_path):
    (tmp_path / "benchmarks/toy").mkdir(parents=True)
    (tmp_path / "benchmarks/toy/a.txt").write_text("mine")
    pulled = pull(one_file(site, SHA), tmp_path, client=client, watch=Silent())
    assert (pulled.fetched, pulled.unrecorded) == (False, 1)
    assert site.asked == []


def test_other_bytes_than_the_recorded_ones_are_not_installed(site, client, tmp_path):
    pull(one_file(site), tmp_path, client=client, watch=Silent())
    site.files["/a.txt"] = b"something else"
    with pytest.raises(DataError, match="nothing was installed"):
        pull(one_file(site), tmp_path, client=client, watch=Silent(), force=True)
    assert (tmp_path / "benchmarks/toy/a.txt").read_bytes() == CONTENT
    assert not (tmp_path / ".partial").exists()


def test_a_set_is_installed_only_when_all_its_parts_came(site, client, tmp_path):
    both = [RemoteFiles(remotes=(Remote(url=f"{site.url}/{n}.txt"),), to=f"toy/{n}.txt") for n in "ab"]
    entry = data_set(*both, files=["toy/a.txt", "toy/b.txt"])
    with pytest.raises(DataError, match="404"):
        pull(entry, tmp_path, client=client, watch=Silent())
    assert not (tmp_path / "toy").exists()
    site.files["/b.txt"] = b"b"
    pull(entry, tmp_path, client=client, watch=Silent())
    assert [path for path, *_ in site.asked] == ["/a.txt", "/b.txt", "/b.txt"]  # a.txt had come before


def test_a_folder_that_cannot_be_written_is_said(site, client, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="toy cannot be written below"):
        pull(one_file(site), tmp_path / "file", client=client, watch=Silent())


def test_no_network_leaves_the_data_folder_as_it_was(client, tmp_path):
    dead = Site()
    dead.url = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(Unreachable):
        pull(one_file(dead), tmp_path, client=client, watch=Silent())
    assert everything_below(tmp_path) == []


# The hub ------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch):
    """A hub of our own: rows by data set, config and split."""
    rows = {}
    monkeypatch.setattr(pulling, "hub_reachable", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", lambda name, config=None, *, split: rows[name, config, split])
    return rows


def test_hub_rows_keep_the_fields_asked_for_and_the_same_bytes_each_time(hub, client, tmp_path):
    hub["d", None, "test"] = [{"q": "é", "a": 1, "extra": 2}, {"q": "b", "a": 2, "extra": 3}]
    part = HubRows(dataset="d", split="test", to="toy/test.jsonl.gz", fields=("q", "a"))
    entry = data_set(part, files=["toy/test.jsonl.gz"])
    pull(entry, tmp_path, client=client, watch=Silent())
    with gzip.open(tmp_path / "toy/test.jsonl.gz", "rt", encoding="utf-8") as file:
        assert [json.loads(line) for line in file] == [{"q": "é", "a": 1}, {"q": "b", "a": 2}]
    pull(entry, tmp_path, client=client, watch=Silent(), force=True)  # the recorded checksum still fits


def test_configs_follow_each_other_into_one_file(hub, client, tmp_path):
    hub.update({("d", "x", "train"): [{"n": 1}], ("d", "y", "train"): [{"n": 2}]})
    entry = data_set(HubRows(dataset="d", configs=("x", "y"), split="train", to="t.jsonl"), files=["t.jsonl"])
    pull(entry, tmp_path, client=client, watch=Silent())
    assert (tmp_path / "t.jsonl").read_text() == '{"n": 1}\n{"n": 2}\n'


def test_an_unreachable_hub_is_said_before_its_client_is_asked(client, tmp_path, monkeypatch):
    monkeypatch.setattr(pulling, "hub_reachable", lambda: False)
    with pytest.raises(Unreachable, match=r"huggingface\.co"):
        pull(data_set(HubRows(dataset="d", split="s", to="t"), files=["t"]), tmp_path, client=client, watch=Silent())
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "gated", "said"),
    [
        (ConnectionError("no route"), False, "cannot reach huggingface.co"),
        (httpx.ConnectError("no route"), False, "cannot reach huggingface.co"),
        (ValueError("nothing"), True, "accept its terms at https://huggingface.co/datasets/d and set HF_TOKEN"),
        (ValueError("Dataset 'd' is a gated dataset"), False, "set HF_TOKEN"),
        (ValueError("Unknown split"), False, "cannot be loaded from the hub: Unknown split"),
    ],
)
def test_errors_of_the_hub_become_one_clear_line(hub, client, tmp_path, monkeypatch, error, gated, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("datasets.load_dataset", fail)
    entry = data_set(HubRows(dataset="d", split="s", to="t.jsonl", gated=gated), files=["t.jsonl"])
    with pytest.raises(DataError, match=said):
        pull(entry, tmp_path, client=client, watch=Silent())


# Archives -----------------------------------------------------------------------------------------------------


def zipped(members, link=None):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if link is not None:
            info = zipfile.ZipInfo(link)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    return packed.getvalue()


def tarred(members, **special):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, kind in special.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    return packed.getvalue()


GOOD = {"top/data/a.json": b"[1]", "top/data/b.json": b"[2]", "top/code.py": b"x"}


@pytest.mark.parametrize(("name", "content"), [("x.zip", zipped(GOOD)), ("x.tar.gz", tarred(GOOD))], ids=["zip", "tar"])
def test_an_archive_is_unpacked_where_it_should_be(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    unpack(tmp_path / name, tmp_path / "out", keep="*/data/*.json", strip=2, cap_bytes=100)
    assert everything_below(tmp_path / "out") == ["a.json", "b.json"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.zip", zipped({"../evil": b"x"}), "leaves its folder"),
        ("x.zip", zipped({"ok": b"x", "a/../../evil": b"x"}), "leaves its folder"),
        ("x.zip", zipped({"/evil": b"x"}), "absolute"),
        ("x.zip", zipped({"C:evil": b"x"}), "absolute or foreign"),
        ("x.zip", zipped({"a": b"x"}, link="b"), "a link"),
        ("x.zip", zipped({"a": b"0" * 2000}), "more than the 1,000 allowed"),
        ("x.zip", zipped({"a": b"x"})[:-10], "cannot be unpacked"),
        ("x.zip", b"no archive", "cannot be unpacked"),
        ("x.tar.gz", tarred({"../evil": b"x"}), "leaves its folder"),
        ("x.tar.gz", tarred({"/evil": b"x"}), "absolute"),
        ("x.tar.gz", tarred({"a": b"x"}, b=tarfile.SYMTYPE), "link or device"),
        ("x.tar.gz", tarred({"a": b"x"}, b=tarfile.LNKTYPE), "link or device"),
        ("x.tar.gz", tarred({"a": b"x"}, b=tarfile.FIFOTYPE), "link or device"),
        ("x.tar.gz", tarred({"a": b"0" * 2000}), "more than the 1,000 allowed"),
        ("x.tar.gz", tarred({"a": b"x" * 500})[:-20], "cannot be unpacked"),
        ("x.rar", b"", "no .zip or .tar.gz"),
    ],
    ids=itertools.count(),  # archives hold the time they were made at, and every test process must use the same names
)
def test_a_hostile_or_damaged_archive_is_refused_and_writes_nothing(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        unpack(tmp_path / name, tmp_path / "out", cap_bytes=1000)
    assert everything_below(tmp_path) == [name]


def test_a_member_longer_than_it_states_is_refused(tmp_path):
    content = bytearray(zipped({"a": b"0" * 5000}))
    stated = (5000).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(content.replace(stated, (10).to_bytes(4, "little")))
    with pytest.raises(DataError):
        unpack(tmp_path / "x.zip", tmp_path / "out", cap_bytes=1000)
    assert not (tmp_path / "out").exists()


def test_an_archive_that_a_person_fetched_is_unpacked_by_the_next_pull(client, tmp_path):
    hand = ByHand(page="https://example.org", what="x.zip", place="toy/x.zip", unpack_to="toy")
    entry = data_set(hand, files=["toy/top/data/*"])
    with pytest.raises(DataError, match=r"get x.zip from https://example.org, put it at .*toy.x.zip"):
        pull(entry, tmp_path, client=client, watch=Silent())
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/x.zip").write_bytes(zipped(GOOD))
    pull(entry, tmp_path, client=client, watch=Silent())
    assert present_files(entry, tmp_path) == ("toy/top/data/a.json", "toy/top/data/b.json")


def test_archives_are_fetched_and_unpacked_in_place(site, client, tmp_path):
    site.files["/x.zip"] = zipped(GOOD)
    part = Archives(remotes=(Remote(url=f"{site.url}/x.zip"),), to="toy", keep="*.json", strip=2)
    pull(data_set(part, files=["toy/*.json"]), tmp_path, client=client, watch=Silent())
    assert everything_below(tmp_path / "toy") == ["a.json", "b.json"]
    assert sorted(read_checksums(tmp_path)) == ["toy/a.json", "toy/b.json"]


def test_an_archive_of_no_use_is_fetched_anew_by_the_next_pull(site, client, tmp_path):
    part = Archives(remotes=(Remote(url=f"{site.url}/x.zip"),), to="toy", keep="*.json", strip=2)
    entry = data_set(part, files=["toy/*.json"])
    site.files["/x.zip"] = b"broken"
    with pytest.raises(DataError, match="cannot be unpacked"):
        pull(entry, tmp_path, client=client, watch=Silent())
    assert everything_below(tmp_path) == []
    site.files["/x.zip"] = zipped(GOOD)
    assert pull(entry, tmp_path, client=client, watch=Silent()).fetched


def test_a_row_of_the_hub_without_a_field_is_said(hub, client, tmp_path):
    hub["d", None, "test"] = [{"q": "a"}]
    entry = data_set(HubRows(dataset="d", split="test", to="t.jsonl", fields=("q", "a")), files=["t.jsonl"])
    with pytest.raises(DataError, match="d on the hub has no field 'a'"):
        pull(entry, tmp_path, client=client, watch=Silent())
