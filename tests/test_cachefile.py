"""Files of what can be made again: usable by threads, and done without where they cannot be used."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest

from mar.cachefile import CacheFile, open_private, write_ahead
from mar.environment import cache_folder
from mar.errors import ConfigError

SETUP = ("CREATE TABLE IF NOT EXISTS t (k TEXT PRIMARY KEY, v BLOB)",)


def opened(path):
    return CacheFile(path, what="the cache", setup=SETUP)


def test_rows_come_back_in_any_thread_and_process(tmp_path):
    file = opened(tmp_path / "new" / "c.sqlite")
    threads = [
        threading.Thread(target=file.write, args=("INSERT INTO t VALUES (?, ?)", [(str(i), b"x")])) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    assert len(opened(tmp_path / "new" / "c.sqlite").rows("SELECT k FROM t")) == 8
    assert (tmp_path / "new" / "c.sqlite").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["garbage", "folder", "no folder", "locked"])
def test_an_unusable_file_is_said_once_and_holds_nothing(tmp_path, caplog, damage, monkeypatch):
    monkeypatch.setattr("mar.cachefile.BUSY_S", 0.01)
    path = tmp_path / "c.sqlite"
    holder = None
    if damage == "garbage":
        path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    elif damage == "folder":
        path.mkdir()
    elif damage == "no folder":
        (tmp_path / "f").touch()
        path = tmp_path / "f" / "c.sqlite"
    else:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
    file = opened(path)
    for _ in range(2):
        file.write("INSERT INTO t VALUES (?, ?)", [("a", b"x")])
        assert file.rows("SELECT * FROM t") == []
    file.close()
    if holder is not None:
        holder.close()
    assert len(caplog.records) == 1
    assert "going on without" in caplog.text


def test_a_value_that_cannot_be_kept_leaves_the_others(tmp_path, caplog):
    file = opened(tmp_path / "c.sqlite")
    file.write("INSERT INTO t VALUES (?, ?)", [("a", 2**63)])
    file.write("INSERT INTO t VALUES (?, ?)", [("b", b"x")])
    assert file.rows("SELECT k FROM t") == [("b",)]
    file.close()


def test_the_cache_folder_is_that_of_the_environment_else_of_env_else_the_users(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.delenv("MAR_CACHE", raising=False)
    (tmp_path / ".env").write_text("MAR_CACHE=~/kept\n")
    assert str(cache_folder()) == "/home/ann/kept"
    monkeypatch.setenv("MAR_CACHE", "/elsewhere")
    assert str(cache_folder()) == "/elsewhere"
    monkeypatch.setenv("MAR_CACHE", "~nobody-of-this-name/x")
    with pytest.raises(ConfigError, match="MAR_CACHE in the environment: ~"):
        cache_folder()


def test_a_new_file_that_another_process_sets_up_is_waited_for(tmp_path):
    other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    mine = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None, timeout=0)  # SQLite itself does not wait
    release = threading.Timer(0.05, other.execute, ["ROLLBACK"])
    release.start()
    write_ahead(mine)
    assert mine.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    release.join()


def test_a_second_connection_of_a_process_leaves_the_first_its_locks(tmp_path):
    path = tmp_path / "c.sqlite"
    first = open_private(path)
    write_ahead(first)
    first.execute(*SETUP)
    first.execute("INSERT INTO t VALUES ('mine', 1)")
    second = open_private(path)
    second.execute("INSERT INTO t VALUES ('mine, too', 1)")
    theirs = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit(); db.close()"
    # Without locks of ours it would take itself for the last one, and remove what all write ahead to.
    subprocess.run([sys.executable, "-c", theirs, str(path), "INSERT INTO t VALUES ('theirs', 1)"], check=True)
    assert path.with_name("c.sqlite-wal").exists()
    first.execute("INSERT INTO t VALUES ('mine again', 1)")
    assert [row[0] for row in second.execute("SELECT k FROM t ORDER BY rowid")] == [
        "mine",
        "mine, too",
        "theirs",
        "mine again",
    ]
    first.close()
    second.close()
