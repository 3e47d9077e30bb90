# pyright: basic
"""Numbers that are the same every time.

Several threads add the same numbers in another order each time, so a sum's last bits differ from run to run, and an
optimiser carries them into the leading ones. What a run learns is therefore computed on one thread, however many the
machine has. Rejected: PyTorch's deterministic algorithms, which still depend on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Generator[None]:
    """Compute on one thread meanwhile: PyTorch, OpenMP and the linear algebra beneath NumPy. Also a decorator."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


def minimise(loss: Callable[[], torch.Tensor], free: Sequence[torch.Tensor], *, iterations: int) -> None:
    """Minimise a loss by L-BFGS over some tensors, in place; they need no gradient before and none afterwards."""
    for tensor in free:
        tensor.requires_grad_(True)
    optimiser = torch.optim.LBFGS(free, max_iter=iterations, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(step)
    for tensor in free:
        tensor.requires_grad_(False)
        tensor.grad = None
