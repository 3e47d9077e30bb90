"""Runs a whole program as an interpreter would run a script, and ends the process with its exit status."""

from __future__ import annotations

import atexit
import contextlib
import io
import linecache
import os
import sys
import threading
import traceback
import types

from .candidate import add_exits

_FILE = "<program>"
EXIT_MEMORY = 77


def run(source: int) -> None:
    """Run the program read from the descriptor; does not return."""
    add_exits()
    sys.stdin, sys.stdout, sys.stderr = (_stream(number) for number in range(3))
    with open(source, encoding="utf-8", errors="surrogatepass") as file:
        text = file.read()
    code = _execute(text)
    with contextlib.suppress(BaseException):
        threading._shutdown()  # pyright: ignore # waits for threads that are no daemons, as at a normal exit
        atexit._run_exitfuncs()  # pyright: ignore
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(code)


def _stream(number: int) -> io.TextIOWrapper:
    mode = "r" if number == 0 else "w"
    # The error stream is flushed line by line, as in an interpreter.
    return open(number, mode, buffering=1 if number == 2 else -1, encoding="utf-8", errors="surrogateescape")


def _execute(text: str) -> int:
    linecache.cache[_FILE] = (len(text), None, text.splitlines(keepends=True), _FILE)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv[:] = ["program.py"]
    try:
        exec(compile(text, _FILE, "exec", dont_inherit=True), module.__dict__)
    except SystemExit as error:
        return _exit_code(error.code)
    except MemoryError:
        os.write(2, b"MemoryError\n")
        return EXIT_MEMORY
    except BaseException as error:
        tail = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, tail)
        return 1
    return 0


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1
