#!/usr/bin/env bash
# Start the vLLM servers of a pool file and wait until they are ready; --help shows the options. The same as
# `mar vllm serve`, with a default for the pool file: pool_gpu.toml beside this script, with --device cpu pool_cpu.toml.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -eq 0 ] || [[ $1 == -* ]]; then
    case " ${*/=/ } " in
        *" --device cpu "*) set -- "$here/pool_cpu.toml" "$@" ;;
        *) set -- "$here/pool_gpu.toml" "$@" ;;
    esac
fi
exec uv run --project "$here/../.." --quiet mar vllm serve "$@"
