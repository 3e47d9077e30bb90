"""The layers of mar: nothing lower imports anything higher, not even inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mar

ROOT = Path(mar.__file__).parent
LAYERS = (  # lowest first; the parts of one layer must not import each other
    {"errors", "files", "concurrency", "cachefile", "terminal", "remembered", "garbage"},
    {"reading"},
    {"environment", "extensions"},
    {"types", "clock", "numerics"},
    {"pool"},
    {"runtime"},
    {"execution"},
    {"tasks"},
    {"controllers"},
    {"learning"},
    {"evaluation"},
    {"traffic"},
    {"service"},
    {"api", "testing"},
    {"serving"},
    {"cli"},
    {"__init__", "__main__"},
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
MODULES = sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """The parts of mar that a module imports, at its top or anywhere inside it."""
    package = ("mar", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "mar" else [module]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == "mar":
                yield rest.partition(".")[0] or "__init__"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_from_its_own_part_and_from_lower_layers(path):
    part = part_of(path)
    too_high = {other for other in imported(path) if other != part and LEVEL[other] >= LEVEL[part]}
    assert not too_high


def test_every_part_of_mar_has_a_layer():
    assert {part_of(path) for path in MODULES} <= set(LEVEL)


def test_the_walk_sees_imports_of_every_form(tmp_path, monkeypatch):
    module = tmp_path / "pool" / "x.py"
    module.parent.mkdir()
    module.write_text("import mar.types.plan\nfrom mar import clock\ndef f():\n    from ..tasks import task\n")
    monkeypatch.setattr("tests.test_layers.ROOT", tmp_path)
    assert list(imported(module)) == ["types", "clock", "tasks"]
