"""Hostile programs against the sandbox: how many are contained, by kind, isolation, user and installation.

    python benchmarks/hostile_programs.py [--python /usr/bin/python3] [--folder FOLDER]

Each file in `hostile/` holds the programs of a kind; what they did is looked at from outside (`_hostile_world.py`). The
programs in `tests/runtime/sandbox/hostile` join them: they forge verdicts, and none may pass a test. A *site*
installation is a copy of an interpreter with mar in its own site-packages, as in container images; a *venv* has mar in
a virtual environment of such a copy. Run by root, everything is done as root and as an ordinary user, who has to be
able to read this environment.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
_MAR = _HERE.parent / "mar"
_FORGERIES = _HERE.parent / "tests" / "runtime" / "sandbox" / "hostile"
_ORDINARY_USER = 54321
_ABOUT = "import json, sys, sysconfig; print(json.dumps([sys.executable, sysconfig.get_path('stdlib')]))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Under what the programs run."""

    mode: str
    user: str
    install: str

    def __str__(self) -> str:
        return f"{self.mode}, {self.user}, {self.install}"


def install(folder: Path, python: str) -> dict[str, Path]:
    """Make both installations; returns their interpreters."""
    executable, library = json.loads(_output([python, "-I", "-c", _ABOUT]))
    hidden = shutil.ignore_patterns("site-packages", "dist-packages", "test", "__pycache__")
    interpreters: dict[str, Path] = {}
    for name in ("site", "base"):
        binary = folder / name / "bin" / Path(library).name
        binary.parent.mkdir(parents=True)
        shutil.copy(os.path.realpath(executable), binary)
        shutil.copytree(library, folder / name / "lib" / Path(library).name, ignore=hidden)
        subprocess.run([binary, "-I", "-S", "-m", "compileall", "-q", binary.parents[1] / "lib"], check=False)
        interpreters[name] = binary
    subprocess.run([interpreters["base"], "-m", "venv", "--without-pip", folder / "venv"], check=True)
    interpreters["venv"] = folder / "venv" / "bin" / "python"
    for name in ("site", "venv"):
        shutil.copytree(_MAR, _packages(interpreters[name]) / "mar", ignore=shutil.ignore_patterns("__pycache__"))
    return {name: interpreters[name] for name in ("site", "venv")}


def _packages(python: Path) -> Path:
    (library,) = (python.parents[1] / "lib").glob("python3*")
    return library / "site-packages"


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def run(setting: Setting, python: Path, programs: Path) -> dict[str, Any]:
    """What each program achieved."""
    command = [str(python), str(programs / "_hostile_run.py"), setting.mode, programs / "hostile", programs / "forging"]
    user = _ORDINARY_USER if setting.user == "ordinary" else None
    # A temporary folder of its own: what other sandboxes on this machine leave there for a moment is not ours.
    temporary = tempfile.mkdtemp(dir=programs.parent)
    os.chmod(temporary, 0o755)
    if user is not None:
        os.chown(temporary, user, user)
    done = subprocess.run(
        command,
        cwd="/",
        # What mar needs comes from the environment this runs in.
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "TMPDIR": temporary,
            "PYTHONPATH": f"{_packages(python)}:{sysconfig.get_path('purelib')}",
        },
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{setting}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def print_table(results: dict[Setting, dict[str, Any]]) -> bool:
    """Print everything; returns whether only stated exceptions got through."""
    kinds = list(dict.fromkeys(finding["kind"] for finding in next(iter(results.values()))["findings"]))
    print("contained of", "  ".join(kinds), "  all", sep="  ")
    clean = True
    for setting, result in results.items():
        of = Counter(finding["kind"] for finding in result["findings"])
        held = Counter(finding["kind"] for finding in result["findings"] if not finding["achieved"])
        cells = [f"{held[kind]}/{of[kind]}" for kind in kinds] + [f"{held.total()}/{of.total()}"]
        print(f"{setting!s:30}", "  ".join(f"{cell:>9}" for cell in cells))
    for setting, result in results.items():
        print(f"\n{setting}: {result['fence']}")
        for finding in result["findings"]:
            if finding["achieved"]:
                stated = finding["stated"] and setting.mode == "rlimits"
                clean = clean and stated
                how = "stated" if stated else "NOT STATED"
                print(f"  {how}: {finding['kind']}, {finding['name']}: {'; '.join(finding['achieved'])}")
    return clean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that is copied")
    parser.add_argument("--folder", type=Path, default=None, help="where the installations are made")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hostile-installs-", dir=options.folder))
    try:
        os.chmod(folder, 0o755)
        interpreters = install(folder, options.python)
        programs = folder / "programs"
        shutil.copytree(_HERE / "hostile", programs / "hostile")
        shutil.copytree(_FORGERIES, programs / "forging")
        for name in ("_hostile_run.py", "_hostile_world.py"):
            shutil.copy(_HERE / name, programs)
        users = ("root", "ordinary") if os.getuid() == 0 else ("ordinary",)
        settings = [
            Setting(mode=mode, user=user, install=name)
            for mode in ("namespaces", "rlimits")
            for user in users
            for name in interpreters
        ]
        results = {setting: run(setting, interpreters[setting.install], programs) for setting in settings}
        clean = print_table(results)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(0 if clean else 1)


if __name__ == "__main__":
    main()
