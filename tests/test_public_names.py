"""What the packages export: sorted, without repetition, and every name there."""

import importlib
import re

import pytest

PACKAGES = (
    "mar",
    "mar.types",
    "mar.runtime",
    "mar.runtime.sandbox",
    "mar.runtime.prompts",
    "mar.controllers",
    "mar.controllers.cascal",
    "mar.controllers.gmt",
    "mar.controllers.masrouter",
    "mar.controllers.routers",
    "mar.pool",
    "mar.pool.simulated",
    "mar.testing",
)


def isort_key(name):
    """CONSTANTS first, then Classes, then functions, each in natural order: what ruff's RUF022 wants."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


@pytest.mark.parametrize("package", PACKAGES)
def test_exported_names_are_sorted_and_named_once(package):
    names = list(importlib.import_module(package).__all__)
    assert names == sorted(set(names), key=isort_key)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exported_name_can_be_imported(package):
    module = importlib.import_module(package)
    missing = [name for name in module.__all__ if getattr(module, name, None) is None]
    assert missing == []


@pytest.mark.parametrize("package", ["mar.types", "mar.runtime", "mar.controllers", "mar.pool"])
def test_every_public_name_that_a_package_imports_is_exported(package):
    module = importlib.import_module(package)
    imported = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("mar.")
    }
    assert imported <= set(module.__all__)


def test_the_names_of_mar_are_those_it_knows_the_home_of():
    mar = importlib.import_module("mar")
    assert set(mar.__all__) == set(mar._HOME)
