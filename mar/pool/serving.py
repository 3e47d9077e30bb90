"""From a pool file to the command lines of vLLM servers."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from mar.environment import cache_folder
from mar.errors import ConfigError
from mar.pool.files import PoolModel, ServeSettings, read_pool_file

Device = Literal["cpu", "cuda"]
DEVICES: tuple[Device, ...] = get_args(Device)
ENVIRONMENT_VARIABLE = "MAR_VLLM_ENV"
ENVIRONMENTS: Mapping[Device, str] = {"cpu": "vllm", "cuda": "vllm-gpu"}  # folders in the cache folder


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """One server to start."""

    name: str  # of the model
    served_name: str  # the server's name for it
    port: int
    url: str
    command: tuple[str, ...]
    environment: Mapping[str, str]  # variables beside this process's own; no key among them
    gpus: tuple[int, ...]  # by number; empty on a processor
    gpu_share: float  # GPUs that it takes of a node, whichever they are: a part of one, or several

    @property
    def digest(self) -> str:
        """Identity of what is started."""
        content = json.dumps([self.command, dict(self.environment)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def server_specs(path: Path, *, device: Device, host: str = "127.0.0.1", only: Sequence[str] = ()) -> list[ServerSpec]:
    """What a pool file says about serving.

    Args:
        path: The pool file; relative folders of checkpoints in it are taken from where it lies.
        device: What the servers run on.
        host: Address that they listen on; 0.0.0.0 is every one of this machine.
        only: Names of the models to serve; none: all that have a table `vllm`.

    Raises:
        ConfigError: The file is wrong, serves nothing, or two models want one port; or vLLM is not installed.
    """
    models = {model.name: model for model in read_pool_file(path).models if model.vllm is not None}
    if not models:
        raise ConfigError(f"{path}: no model has a table `vllm`; expected [models.vllm] with model and port")
    unknown = [name for name in only if name not in models]
    if unknown:
        raise ConfigError(f"{path}: serves no model {unknown[0]!r}; it serves {', '.join(models)}")
    chosen = [models[name] for name in only] or list(models.values())
    _check_ports(chosen, path)
    python = find_python(device)
    return [_spec(m, m.vllm, device, host, python, path.parent) for m in chosen if m.vllm is not None]


def waves(specs: Sequence[ServerSpec]) -> list[list[ServerSpec]]:
    """Groups to start one after another: no two servers of a group share a GPU.

    A starting server measures how much of a GPU's memory its own work takes by how much less is free afterwards, so one
    that starts beside it is counted, too, and what is left for the KV cache is too little, or nothing.
    """
    groups: list[list[ServerSpec]] = []
    for spec in specs:
        free = (group for group in groups if all(set(spec.gpus).isdisjoint(other.gpus) for other in group))
        group = next(free, None)
        if group is None:
            groups.append([spec])
        else:
            group.append(spec)
    return groups


def find_python(device: Device) -> Path:
    """The Python that has vLLM: of the environment MAR_VLLM_ENV; else of the one that install_cpu.sh or install_gpu.sh
    makes; else, for GPUs, the one that mar runs in.

    Raises:
        ConfigError: vLLM is not installed there.
    """
    given = os.environ.get(ENVIRONMENT_VARIABLE)
    folder = Path(given) if given else cache_folder() / ENVIRONMENTS[device]
    if (folder / "bin" / "vllm").is_file():
        return folder / "bin" / "python"
    if not given and device == "cuda" and find_spec("vllm") is not None:
        return Path(sys.executable)
    how = f"scripts/vllm/install_{'gpu' if device == 'cuda' else 'cpu'}.sh"
    raise ConfigError(f"vLLM for {device} is not installed in {folder}; {how} installs it")


def _check_ports(models: Sequence[PoolModel], path: Path) -> None:
    taken: dict[int, str] = {}
    for model in models:
        if model.vllm is None:
            continue
        if model.vllm.port in taken:
            other = taken[model.vllm.port]
            raise ConfigError(f"{path}: {other!r} and {model.name!r} both want port {model.vllm.port}")
        taken[model.vllm.port] = model.name


def _spec(card: PoolModel, serve: ServeSettings, device: Device, host: str, python: Path, folder: Path) -> ServerSpec:
    checkpoint = folder / serve.model  # an absolute path stays itself
    local = checkpoint.is_dir()
    # Not the command `vllm`: that of the CPU build looks for a package of another name.
    words = [str(python), "-m", "vllm.entrypoints.openai.api_server"]
    words += ["--model", str(checkpoint.resolve()) if local else serve.model]
    words += ["--served-model-name", card.served_name or card.name, "--host", host, "--port", str(serve.port)]
    words += ["--max-model-len", str(card.context_tokens), "--dtype", serve.dtype, "--scheduling-policy", "priority"]
    words += ["--disable-uvicorn-access-log"]  # the watcher asks every second
    more, environment = _on_cpu(serve) if device == "cpu" else _on_gpu(serve)
    if local:
        environment["HF_HUB_OFFLINE"] = "1"
    return ServerSpec(
        name=card.name,
        served_name=card.served_name or card.name,
        port=serve.port,
        url=serve.url,
        command=(*words, *more, *serve.flags),
        environment={"VLLM_NO_USAGE_STATS": "1", **environment},
        gpus=() if device == "cpu" else serve.devices or (0,),
        gpu_share=0 if device == "cpu" else float(len(serve.devices)) if len(serve.devices) > 1 else serve.memory or 1,
    )


def _on_cpu(serve: ServeSettings) -> tuple[list[str], dict[str, str]]:
    """Words and variables of a server on the processor."""
    # By default every server would bind its threads to the same first cores.
    variables = {"VLLM_CPU_KVCACHE_SPACE": str(serve.kv_cache_gib), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    if serve.threads is not None:
        variables["OMP_NUM_THREADS"] = str(serve.threads)
    return ["--enforce-eager"], variables


def _on_gpu(serve: ServeSettings) -> tuple[list[str], dict[str, str]]:
    """Words and variables of a server on GPUs."""
    words = [] if serve.memory is None else ["--gpu-memory-utilization", str(serve.memory)]
    if len(serve.devices) > 1:
        words += ["--tensor-parallel-size", str(len(serve.devices))]
    return words, {"CUDA_VISIBLE_DEVICES": ",".join(map(str, serve.devices))} if serve.devices else {}
