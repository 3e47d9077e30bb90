"""Fetching a data set of the catalogue: everything is made ready aside, checked, and only then put in place.

Below the data folder, .partial/NAME/raw keeps what was fetched so far (an interrupted download goes on there) and
.partial/NAME/out what is ready. checksums.json records the SHA-256 of every file that was put in place; a later
download has to bring the same bytes, and a file that is there is compared with it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx

from mar.errors import DataError
from mar.files import write_atomically
from mar.reading import read_json
from mar.reading.archives import unpack
from mar.tasks import reshape
from mar.tasks.catalogue import HUB_ADDRESS, Archives, ByHand, DataSet, HubRows, Part, RemoteFiles
from mar.tasks.download import Unreachable, Watch, fetch, host_of, sha256_of
from mar.tasks.readers import Row
from mar.tasks.sources import hub_reachable

CHECKSUMS = "checksums.json"
PARTIAL = ".partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a pull came to."""

    files: tuple[str, ...]  # below the data folder
    fetched: bool  # False: they were there already
    unrecorded: int  # files that were there and that no checksum is recorded for


def pull(entry: DataSet, into: Path, *, client: httpx.Client, watch: Watch, force: bool = False) -> Pulled:
    """Fetch a data set into a data folder, unless it is there.

    Args:
        entry: The data set.
        into: The data folder.
        client: Asks the hosts.
        watch: Is told how it goes.
        force: Fetch it even if it is there.

    Raises:
        Unreachable: A host gave no answer; nothing is half-written.
        DataError: It has to be downloaded by hand, was refused, is damaged or differs from the recorded checksum.
    """
    if not force and (there := present_files(entry, into)):
        return _verified(entry, into, there)
    stage = into / PARTIAL / entry.name
    out = stage / "out"
    shutil.rmtree(out, ignore_errors=True)
    try:
        for part in entry.parts:
            _make(part, entry, into, stage, client, watch)
        files = _install(entry, stage, into)
        shutil.rmtree(stage)
    except OSError as error:  # a full disk, a folder that may not be written
        raise DataError(f"{entry.name} cannot be written below {into}: {error}") from None
    finally:
        shutil.rmtree(out, ignore_errors=True)
        _remove_empty(stage, stop=into)
    return Pulled(files=files, fetched=True, unrecorded=0)


def present_files(entry: DataSet, into: Path) -> tuple[str, ...]:
    """A data set's files below a data folder; empty when it is not complete."""
    found = [sorted(p for p in into.glob(pattern) if p.is_file() or entry.by_hand) for pattern in entry.files]
    return tuple(p.relative_to(into).as_posix() for paths in found for p in paths) if all(found) else ()


def hosts(entry: DataSet) -> set[str]:
    """The hosts that a pull asks first, part by part."""
    asked: set[str] = set()
    for part in entry.parts:
        if isinstance(part, HubRows):
            asked.add(host_of(HUB_ADDRESS))
        elif isinstance(part, RemoteFiles | Archives):
            asked |= {host_of(remote.url) for remote in part.remotes}
    return asked


def by_hand_line(entry: DataSet, part: ByHand, into: Path) -> str:
    """What a person has to do, in one line."""
    then = f", then run `mar data pull {entry.name}` again to unpack it" if part.unpack_to else ""
    where = f"get {part.what} from {part.page}, put it at {into / part.place}"
    return f"{entry.name} has to be downloaded by hand: {where}{then}"


# Making a part's files ready ------------------------------------------------------------------------------------


def _make(part: Part, entry: DataSet, into: Path, stage: Path, client: httpx.Client, watch: Watch) -> None:
    out = stage / "out"
    match part:
        case HubRows():
            _make_from_hub(part, entry, out)
        case RemoteFiles() | Archives():
            raw = stage / "raw" / part.to.replace("/", "+")
            for remote in part.remotes:
                fetch(remote, raw / remote.name, client=client, watch=watch)
            _make_from_fetched(part, out, raw)
        case ByHand():
            archive = into / part.place
            if not part.unpack_to or not archive.is_file():
                raise DataError(by_hand_line(entry, part, into))
            unpack(archive, out / part.unpack_to, cap_bytes=part.cap_bytes)


def _make_from_fetched(part: RemoteFiles | Archives, out: Path, raw: Path) -> None:
    fetched = [raw / remote.name for remote in part.remotes]
    try:
        if isinstance(part, RemoteFiles):
            _make_from_files(part, out, fetched)
        else:
            _make_from_archives(part, out, fetched)
    except DataError:  # what came is of no use; the next call has to fetch it anew
        shutil.rmtree(raw, ignore_errors=True)
        raise


def _make_from_files(part: RemoteFiles, out: Path, fetched: Sequence[Path]) -> None:
    target = out / part.to
    target.parent.mkdir(parents=True, exist_ok=True)
    match part.shape:
        case "as_is":
            shutil.copyfile(fetched[0], target)
        case "scores":
            reshape.write_scores(fetched, target)
        case "routerbench_mbpp":
            reshape.write_routerbench_mbpp(fetched, target)


def _make_from_archives(part: Archives, out: Path, fetched: Sequence[Path]) -> None:
    if part.shape == "as_is":
        for archive in fetched:
            unpack(archive, out / part.to, keep=part.keep, strip=part.strip, cap_bytes=part.cap_bytes)
        return
    checked = out.with_name("checked")
    try:
        for archive in fetched:
            unpack(archive, checked / archive.stem, keep=part.keep, cap_bytes=part.cap_bytes)
        models = {a.stem.removeprefix("model_outputs_").removesuffix("_5shots"): checked / a.stem for a in fetched}
        reshape.write_mmlu_pro_outputs(models, out / part.to)
    finally:
        shutil.rmtree(checked, ignore_errors=True)


def _make_from_hub(part: HubRows, entry: DataSet, out: Path) -> None:
    rows = [row for config in part.configs for row in _hub_rows(part, config)]
    try:
        if part.shape == "mmlu_csv":
            reshape.write_mmlu_csv(out / part.to, rows)
        else:
            reshape.write_rows(out / part.to, [{name: row[name] for name in part.fields or row} for row in rows])
    except KeyError as error:
        raise DataError(f"{entry.name}: {part.dataset} on the hub has no field {error}") from None


def _hub_rows(part: HubRows, config: str | None) -> Iterator[Row]:
    _refuse_silence()
    from datasets import load_dataset  # pyright: ignore[reportUnknownVariableType, reportMissingTypeStubs]

    try:
        loaded = load_dataset(part.dataset, config, split=part.split)
    except Exception as error:  # its client raises errors of many libraries
        raise _hub_error(part, error) from None
    yield from cast("Iterable[Row]", loaded)


def _refuse_silence() -> None:
    """Ask quickly whether the hub is there at all; behind a proxy or a mirror only its client can tell."""
    indirect = ("HF_ENDPOINT", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
    offline = any(os.environ.get(name) for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"))
    if (offline or not any(os.environ.get(name) for name in indirect)) and not hub_reachable():
        raise Unreachable(host_of(HUB_ADDRESS), "no connection, or switched off by HF_HUB_OFFLINE")


def _hub_error(part: HubRows, error: Exception) -> DataError:
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    if part.gated or "gated" in said.lower():
        page = f"{HUB_ADDRESS}/datasets/{part.dataset}"
        return DataError(f"{part.dataset} is gated: accept its terms at {page} and set HF_TOKEN ({said})")
    if isinstance(error, OSError | httpx.TransportError) and not isinstance(error, FileNotFoundError):
        return Unreachable(host_of(HUB_ADDRESS), said)
    return DataError(f"{part.dataset} cannot be loaded from the hub: {said}")


# Putting files in place -----------------------------------------------------------------------------------------


def _install(entry: DataSet, stage: Path, into: Path) -> tuple[str, ...]:
    """Move what is ready into place, after all of it was compared with the recorded checksums."""
    out = stage / "out"
    files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    recorded = read_checksums(into)
    found = {name: sha256_of(out / name) for name in files}
    for name, digest in found.items():
        if recorded.get(name, digest) != digest:
            shutil.rmtree(stage)
            raise DataError(
                f"{entry.name}: {name} has SHA-256 {digest}, {into / CHECKSUMS} records {recorded[name]}; nothing was "
                "installed. If its publisher changed it, remove that line and run the command again"
            )
    for name in files:
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(out / name, into / name)
    write_atomically(into / CHECKSUMS, json.dumps(recorded | found, indent=1, sort_keys=True) + "\n")
    return tuple(files)


def read_checksums(into: Path) -> dict[str, str]:
    """The recorded SHA-256 of each file below a data folder.

    Raises:
        DataError: The record is damaged.
    """
    path = into / CHECKSUMS
    if not path.exists():
        return {}
    found = read_json(path, expected="a table of checksums")
    if not isinstance(found, dict):
        raise DataError(f"{path} holds no table of checksums")
    return {str(name): str(digest) for name, digest in cast("dict[object, object]", found).items()}


def _verified(entry: DataSet, into: Path, names: Sequence[str]) -> Pulled:
    recorded = read_checksums(into)
    known = [name for name in names if name in recorded]
    for name in known:
        if (digest := sha256_of(into / name)) != recorded[name]:
            raise DataError(
                f"{entry.name}: {into / name} has SHA-256 {digest}, {into / CHECKSUMS} records {recorded[name]}; "
                f"`mar data pull {entry.name} --force` fetches it again"
            )
    return Pulled(files=tuple(names), fetched=False, unrecorded=len(names) - len(known))


def _remove_empty(folder: Path, *, stop: Path) -> None:
    """Remove a folder and those above it, as far as nothing is in them; never the data folder itself."""
    for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        with suppress(OSError):
            path.rmdir()
    while folder != stop:
        with suppress(OSError):
            folder.rmdir()
        folder = folder.parent
