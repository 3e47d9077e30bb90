#!/usr/bin/env bash
# Show the vLLM servers that serve_pool.sh started: health, queue, KV cache, tokens per second; see --help.
# The same as: mar vllm status
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec uv run --project "$here/../.." --quiet mar vllm status "$@"
