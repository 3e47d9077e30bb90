"""Build the documentation as a site in build/site: `uv run --group docs scripts/site.py`. A broken link ends it.

The site's first page is the README; everything else is docs/ as it is, and docs/api.md filled from docstrings.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "docs"  # what mkdocs.yml names
_LINK = re.compile(r"\[([^\]]*)\]\(((?!https?:|#)[^)]*)\)")


def first_page(readme: str) -> str:
    """The README with its links as the site needs them; files of the repository that are no pages are named."""

    def linked(link: re.Match[str]) -> str:
        text, place = link.groups()
        return f"[{text}]({place.removeprefix('docs/')})" if place.startswith("docs/") else f"`{place}`"

    return _LINK.sub(linked, readme)


def main() -> int:
    """Build; the exit status of the builder."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES)
    (PAGES / "index.md").write_text(first_page((ROOT / "README.md").read_text(encoding="utf-8")), encoding="utf-8")
    return subprocess.run(["zensical", "build", "--strict"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
