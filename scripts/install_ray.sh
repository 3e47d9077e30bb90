#!/usr/bin/env bash
# Install Ray beside mar, into the environment that uv made for it (extra `cluster`, 0.4 GB); the versions are uv's.
set -euo pipefail
cd "$(dirname "$0")/.."
uv sync --quiet --inexact --extra cluster
uv run --quiet python -c "import ray; print(f'Ray {ray.__version__} is installed')"
