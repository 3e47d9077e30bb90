# shellcheck shell=bash
# What install_cpu.sh and install_gpu.sh share: vLLM in an environment of its own, since it pins its versions of torch,
# numpy and transformers. The environment lies outside the checkout: in the folder MAR_VLLM_ENV, else in mar's cache
# folder (MAR_CACHE, else the user's). One that is already as wanted is left as it is.

# install NAME REQUIREMENTS LEFT_OUT OPTION...
install() {
    local name=$1 requirements=$2 left_out=$3 folder wanted work
    shift 3
    command -v uv >/dev/null || { echo "uv is needed; see the README" >&2 && exit 2; }
    folder="${MAR_VLLM_ENV:-${MAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mar}/$name}"
    wanted="$requirements without ${left_out:-nothing}"
    mkdir -p "$(dirname "$folder")"
    exec 9>"$folder.lock"
    flock 9 # nobody else installs there meanwhile
    if [ -x "$folder/bin/vllm" ] && [ "$(cat "$folder/installed" 2>/dev/null)" = "$wanted" ]; then
        echo "$folder"
        return
    fi
    echo "Installing vLLM into $folder" >&2
    work=$(mktemp -d)
    # shellcheck disable=SC2064  # the folder as it is now
    trap "rm -rf '$work'" EXIT
    for package in $left_out; do echo "$package ; sys_platform == 'none'"; done >"$work/overrides.txt"
    uv venv --quiet --clear --python 3.11 "$folder"
    # shellcheck disable=SC2086  # one word per requirement
    uv pip install --quiet --python "$folder" --overrides "$work/overrides.txt" "$@" $requirements >&2
    echo "$wanted" >"$folder/installed"
    echo "$folder"
}
