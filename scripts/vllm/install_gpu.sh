#!/usr/bin/env bash
# Install vLLM for NVIDIA GPUs, about 10 GB. Prints the environment's folder; running it again costs nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." # where pyproject.toml fixes the date that packages are resolved at
# shellcheck source=scripts/vllm/_install.sh
source scripts/vllm/_install.sh
install vllm-gpu "vllm==0.32.0" "" --torch-backend auto
