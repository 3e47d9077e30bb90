# pyright: basic
"""Damaged and hostile files: 700 mutations for every reader, each in a child process with limits.

Counts what is not the one error line: tracebacks, crashes, hangs, messages of several lines, and NaN or infinite
numbers that were taken. Deterministic by its seed. Ends with status 1 if anything was found.

    uv run python benchmarks/fuzz_files.py                      every reader, 700 mutations each
    uv run python benchmarks/fuzz_files.py --mutations 1700     about 100,000
    uv run python benchmarks/fuzz_files.py --only "pool, TOML" --mutations 50
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent))
os.environ["OMP_NUM_THREADS"] = "1"  # threads of the parent would be missing in its children

SECONDS = 20  # for one input
MEMORY = 12 << 30  # bytes of address space, of which PyTorch alone reserves some
CORES = 2
TOKENS = (
    *(b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"9" * 5000, b"-1", b"0", b"1000000000", b"1e308", b"true", b"null"),
    *(b'""', b"[]", b"{}", b'{"a": 1, "a": 2}', b"[" * 500, b'{"a":' * 500, b"[" * 20_000, b"(" * 500, b"&a [*a]"),
    *(b"\xff", b"\xef\xbb\xbf", b"\x00", b"\xed\xa0\x80", b'"\\ud800"', "é".encode(), b"\r", b"\n", b"\n\n", b"\t"),
    *(b"'", b'"', b"\\", b"{{", b"{% raw %}", b"=", b"#", b"../", b"/", b" ", b"x" * 70_000, b"\xe2\x80\xa8", b"%s"),
)
VALUES = (
    *(
        None,
        True,
        0,
        -1,
        10**9,
        10**18,
        2**63,
        10**400,
        0.5,
        -0.5,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\ud800",
    ),
    *([], {}, [1], {"a": 1}, [[]] * 50, "9" * 5000, "../x", "\x1b[2J", "x\ny", ["x"] * 1000),
)


def mutated(good: bytes, rng: random.Random) -> bytes:
    """Good content with something wrong with it."""
    kinds = [_token, _token, _cut, _flip, _flip, _repeat, _number, _remove]
    if good[:1] in b"[{":
        kinds += [_value] * 6
    if _tensors(good) is not None:
        kinds += [_header] * 8 + [_weights] * 3
    data = good
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(kinds)(data, rng) if data else data
    return data


def _token(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(TOKENS) + data[at + rng.choice((0, 0, 1, 5)) :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _flip(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 16))):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def _repeat(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return data[:b] + data[a:b] * rng.choice((1, 3, 50 if b - a < 10_000 else 1)) + data[b:]


def _remove(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return data[:a] + data[b:]


def _number(data: bytes, rng: random.Random) -> bytes:
    """Sizes and places within binary files."""
    at, width = rng.randrange(len(data)), rng.choice((1, 2, 4, 8))
    value = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 10**9, 2**63 - 1, 2**64 - 1)) % 2 ** (8 * width)
    return data[:at] + value.to_bytes(width, rng.choice(("little", "big"))) + data[at + width :]


def _value(data: bytes, rng: random.Random) -> bytes:
    """One value of JSON, or of one line of JSON lines, is another."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    try:
        lines[at] = json.dumps(_changed(json.loads(lines[at]), rng)).encode()
    except (ValueError, RecursionError):
        return _token(data, rng)
    return b"\n".join(lines)


def _changed(value: object, rng: random.Random) -> object:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [*value[:at], _changed(value[at], rng), *value[at + 1 :]]
    return rng.choice(VALUES)


def _tensors(data: bytes) -> tuple[dict, bytes] | None:
    """Header and body of a safetensors file; None: it is none."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size]) if 2 <= size < len(data) else None
    except (ValueError, RecursionError):
        return None
    return (header, data[8 + size :]) if isinstance(header, dict) else None


def _joined(header: object, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def _header(data: bytes, rng: random.Random) -> bytes:
    """What a checkpoint says about itself, or of its tensors, is another."""
    parts = _tensors(data)
    if parts is None:
        return _flip(data, rng)
    header, body = parts
    about = header.get("__metadata__")
    if isinstance(about, dict) and "mar" in about and rng.random() < 0.8:
        try:
            own = json.dumps(_changed(json.loads(about["mar"]), rng))
        except (ValueError, RecursionError, TypeError):
            own = "[" * 5000
        return _joined({**header, "__metadata__": {**about, "mar": own}}, body)
    return _joined(_changed(header, rng), body)


def _weights(data: bytes, rng: random.Random) -> bytes:
    """A weight is NaN, infinite or enormous."""
    parts = _tensors(data)
    if parts is None or not parts[1]:
        return _flip(data, rng)
    header, body = parts
    at = 4 * rng.randrange(max(1, len(body) // 4))
    word = rng.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff", b"\xff\xff\x7f\x7f", b"\xff\xff\xff\xff"))
    return _joined(header, body[:at] + word + body[at + 4 :])


# Trying ---------------------------------------------------------------------------------------------------------


class Hang(BaseException):
    """An input took longer than allowed."""


def _alarm(number: int, frame: FrameType | None) -> None:
    raise Hang


def outcome(name: str, content: bytes, folder: Path) -> tuple[str, str]:
    """What becomes of one input: ("read" or "refused", ""), or what is wrong and how it shows."""
    from _own_files import PARSERS

    from mar.errors import UserError

    parser = PARSERS[name]
    path = folder / parser.file
    path.write_bytes(content)
    signal.alarm(SECONDS)
    try:
        found = parser.read(path)
    except UserError as error:
        return ("refused", "") if len(str(error).splitlines()) == 1 else ("several lines", str(error)[:300])
    except Hang:
        return "hang", ""
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            "traceback",
            f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {str(error)[:120]!r}",
        )
    finally:
        signal.alarm(0)
    return ("taken", f"a number that is not finite in {found!r:.200}") if odd(name, found) else ("read", "")


def odd(name: str, found: object) -> bool:
    """Whether numbers were taken that nothing can be worth."""
    text = repr(found) if name.startswith(("table", "votes", "questions", "rows, json", "pool", "checkpoint")) else ""
    return "nan," in text or "inf," in text or text.endswith(("nan", "inf", "nan)", "inf)"))


def work(name: str, numbers: list[int], seed: int, pipe) -> None:
    """Try some inputs of one reader, and say before each which it is."""
    from _own_files import PARSERS

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    signal.signal(signal.SIGALRM, _alarm)
    good = PARSERS[name].good
    for number in numbers:
        pipe.send((number, None))
        content = good if number == 0 else mutated(good, random.Random(f"{seed}/{name}/{number}"))
        with tempfile.TemporaryDirectory() as folder:
            pipe.send((number, outcome(name, content, Path(folder))))
    pipe.close()


def tried(name: str, count: int, seed: int, context) -> list[tuple[int, str, str]]:
    """What became of all inputs of one reader; input 0 is the good content. A crash costs one input, not the rest."""
    left, found = list(range(count + 1)), []
    while left:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=work, args=(name, left, seed, theirs))
        child.start()
        theirs.close()
        at = left[0]
        try:
            while ours.poll(2 * SECONDS):
                at, said = ours.recv()
                if said is not None:
                    found.append((at, *said))
                    left.remove(at)
        except EOFError:
            pass
        child.join(1)
        if child.is_alive():
            child.kill()
        if at in left:
            left.remove(at)
            found.append((at, "crash", f"its process ended with {child.exitcode}"))
    return found


def main() -> None:
    """Try everything, print a line per reader, and everything that is wrong."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mutations", type=int, default=700, help="of every reader")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", action="append", help="name of a reader (may be repeated)")
    given = options.parse_args()
    os.environ["MAR_CACHE"] = tempfile.mkdtemp()
    import _own_files

    context = multiprocessing.get_context("fork")  # readers are imported once
    total, wrong, began = Counter[str](), 0, time.monotonic()
    for name in given.only or _own_files.PARSERS:
        found = tried(name, given.mutations, given.seed, context)
        counts = Counter(kind for _, kind, _ in found)
        total += counts
        print(f"{name:32} {counts['read']:6} read {counts['refused']:6} refused", flush=True)
        if found[0][1] != "read":
            print(f"    the good content: {found[0][1:]}", flush=True)
            wrong += 1
        bad = [one for one in found if one[1] not in ("read", "refused")]
        wrong += len(bad)
        for (kind, how), numbers in _grouped(bad).items():
            print(f"    {len(numbers)} {kind}: {how} (inputs {numbers[:3]})", flush=True)
    done = sum(total.values()) - len(given.only or _own_files.PARSERS)
    kinds = ("traceback", "crash", "hang", "several lines", "taken")
    print(
        f"{len(given.only or _own_files.PARSERS)} readers, {done:,} inputs in {time.monotonic() - began:.0f} s: "
        f"{total['refused']:,} refused in one line, {total['read']:,} read; "
        + ", ".join(f"{total[kind]} {kind}" for kind in kinds)
    )
    sys.exit(1 if wrong else 0)


def _grouped(bad: list[tuple[int, str, str]]) -> dict[tuple[str, str], list[int]]:
    groups: dict[tuple[str, str], list[int]] = {}
    for number, kind, how in bad:
        groups.setdefault((kind, how.split(": ")[0] if kind == "traceback" else how), []).append(number)
    return groups


if __name__ == "__main__":
    main()
