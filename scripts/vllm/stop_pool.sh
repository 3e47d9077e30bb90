#!/usr/bin/env bash
# Stop the vLLM servers that serve_pool.sh started, and nothing else; see --help.
# The same as: mar vllm stop
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec uv run --project "$here/../.." --quiet mar vllm stop "$@"
