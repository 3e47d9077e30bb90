#!/usr/bin/env bash
# Start the vLLM servers of a pool file and wait until they are healthy; see --help. Runs on GPUs unless told --device cpu.
# The same as: mar vllm serve
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec uv run --project "$here/../.." --quiet mar vllm serve "$@"
