"""The documentation as a site."""

import re
from pathlib import Path

import yaml

from scripts.site import first_page

ROOT = Path(__file__).parents[1]


def pages(nav):
    """The pages of a navigation."""
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for inner in entry.values():
                yield from [inner] if isinstance(inner, str) else pages(inner)


def test_every_page_is_in_the_navigation_once():
    named = sorted(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    docs = ROOT / "docs"
    assert named == sorted(["index.md", *(p.relative_to(docs).as_posix() for p in docs.rglob("*.md"))])


def test_the_first_page_links_to_pages_and_names_other_files():
    assert first_page("[a](docs/a.md) ![b](docs/b.png) [c](LICENSE) [d](https://d) [e](#e)") == (
        "[a](a.md) ![b](b.png) `LICENSE` [d](https://d) [e](#e)"
    )


def test_no_page_links_to_a_file_that_is_no_part_of_the_site():
    docs = ROOT / "docs"
    for page in docs.rglob("*.md"):
        for link in re.findall(r"\]\s*\(((?!https?:|#)[^)\s#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).resolve().is_relative_to(docs.resolve()), f"{page}: {link}"
            assert (page.parent / link).exists(), f"{page}: {link}"
