"""Looking at and clearing up what a job wrote to an ordinary directory."""

from __future__ import annotations

import contextlib
import os
import secrets

_MAX_ENTRIES = 1024
_FOLDER_COUNTS = 8  # file systems take that much longer to remove one


def remove_tree(folder: str) -> None:
    """Remove a folder, however deep it is nested and whatever rights were taken away. Nobody may be writing to it.

    Folders within folders are first moved to the top, so neither the stack nor a path's length limits the depth.
    """
    with contextlib.suppress(OSError):
        if os.path.islink(folder):  # put in its place by the job; what it points to is none of ours
            os.unlink(folder)
            return
        os.chmod(folder, 0o700)
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(folder)


def _empty(top: int) -> None:
    prefix, moved = secrets.token_hex(8), 0
    pending = _remove_files(top)
    while pending:
        name = pending.pop()
        with contextlib.suppress(OSError):
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
            try:
                for child in _remove_files(inner):
                    moved += 1
                    os.rename(child, f"{prefix}-{moved}", src_dir_fd=inner, dst_dir_fd=top)
                    pending.append(f"{prefix}-{moved}")
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)


def _remove_files(folder: int) -> list[str]:
    """Remove the files in an open folder; returns the names of the folders in it, which can be opened then."""
    with os.scandir(folder) as entries:
        inside = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in inside:
        with contextlib.suppress(OSError):
            if is_folder:
                os.chmod(name, 0o700, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)
    return [name for name, is_folder in inside if is_folder]


def overfull(folder: str, max_bytes: int) -> bool:
    """Whether a folder that somebody may write to holds more than so much, or over 1,024 files or 128 folders."""
    pending, count, size = [folder], 0, 0
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    count += _FOLDER_COUNTS if is_folder else 1
                    size += _size(entry)
                    if count > _MAX_ENTRIES or size > max_bytes:
                        return True
                    if is_folder:
                        pending.append(entry.path)
        except FileNotFoundError:
            continue  # removed while we looked
        except OSError:
            return True  # hidden from us, or deeper than a path is long
    return False


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return 512 * entry.stat(follow_symlinks=False).st_blocks
    except FileNotFoundError:
        return 0  # removed meanwhile, which must not hide the others
