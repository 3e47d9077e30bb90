"""What tests take from the machine that they run on."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("MAR_DATA") or CHECKOUT.parent / "shared" / "data")
"""Where the real benchmarks and recordings are, when they are here. Read before `conftest` takes the variable away."""
SETTINGS = ("MAR_DATA", "MODEL_BASE_URLS", "URL", "KEY", "OPENAI_API_KEY")
"""Variables that say where data, servers and keys are. No test meets those of the machine."""
