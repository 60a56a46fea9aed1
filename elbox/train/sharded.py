"""Weights that are shared out among processes (FSDP): each keeps, updates and remembers a part of every weight.

torch's `fully_shard` does the work: weights are put together for the forward and backward passes, and what goes back is
the mean gradient of each process's part. Here it is applied to a copy of the step, so that the step itself stays an
ordinary module, into which the weights are gathered when they are to be evaluated or kept.

Reference: Rajbhandari et al. (2020), *ZeRO: memory optimizations toward training trillion parameter models*, stages 2
and 3.
"""

from __future__ import annotations

__all__ = ["gathered", "local", "shard", "shared_like"]

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

LARGE = 1 << 20  # weights of a module that is gathered on its own, just before it is needed

Module = TypeVar("Module", bound=nn.Module)


def shard(step: Module, device: torch.device, processes: int) -> Module:
    """A copy of the step with its weights shared out; its buffers are the step's own.

    Arguments:
        step: The step, with equal weights in every process.
        device: Where it is.
        processes: How many share it.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    own = copy.deepcopy(step, {id(buffer): buffer for buffer in step.buffers()})
    mesh = init_device_mesh(device.type, (processes,))
    for module in own.modules():
        if module is not own and sum(p.numel() for p in module.parameters(recurse=False)) >= LARGE:
            fully_shard(module, mesh=mesh)
    fully_shard(own, mesh=mesh)
    return own


def gathered(tensor: Tensor) -> Tensor:
    """The whole of a tensor that is shared out; any other as it is. Called by all processes, in step."""
    shared: Any = tensor
    return shared.full_tensor() if _is_shared(tensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """This process's part of it."""
    shared: Any = tensor
    return shared.to_local() if _is_shared(tensor) else tensor


def shared_like(value: Tensor, tensor: Tensor) -> Tensor:
    """The value, equal in every process, shared out as `tensor` is, if it is and has the same shape."""
    if not _is_shared(tensor) or value.shape != tensor.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    shared: Any = tensor
    return distribute_tensor(value.to(shared.device), shared.device_mesh, shared.placements)


def _is_shared(tensor: Any) -> bool:
    return hasattr(tensor, "full_tensor")
