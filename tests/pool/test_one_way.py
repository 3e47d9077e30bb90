"""The modules of mar/pool are laid out one way: none imports, through however many others, what imports it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mar

ROOT = Path(mar.__file__).parent


def name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, root: Path, known: set[str]) -> Iterator[str]:
    """The modules that a module imports: at its top, inside functions, and for type checkers alone."""
    package = path.relative_to(root.parent).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = (f"{module}.{alias.name}" for alias in node.names)
            yield from (name if name in known else module for name in names)


def imports(part: str, root: Path = ROOT) -> dict[str, set[str]]:
    """Of every module of a part the modules of that part that it imports."""
    files = {name_of(path, root): path for path in (root / part).rglob("*.py")}
    return {name: set(imported(path, root, set(files))) & set(files) for name, path in files.items()}


def test_no_module_of_the_pool_imports_what_imports_it():
    found = imports("pool")
    assert len(found) > 40
    assert found["mar.pool.settings"] >= {"mar.pool.openai_client", "mar.pool.pool"}  # one of them inside a function
    try:
        order = tuple(TopologicalSorter(found).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
    assert order.index("mar.pool.pool") < order.index("mar.pool.choose")


@pytest.mark.parametrize(
    "back",
    ["from .a import x", "import made.pool.a", "from made.pool import a", "def f():\n    from made.pool.a import x"],
)
def test_a_circle_is_seen_in_every_form(back, tmp_path):
    folder = tmp_path / "made" / "pool"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "a.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.pool import b\n")
    (folder / "b.py").write_text(f"{back}\n")
    with pytest.raises(CycleError):
        tuple(TopologicalSorter(imports("pool", tmp_path / "made")).static_order())
