r"""A computation written down once, operator by operator, and handed to a compiler as one graph.

`record` runs a function once on example tensors and notes each operator that reaches torch's dispatcher: forward pass,
backward pass and optimiser alike, whatever Python produced them. There are no graph breaks, a hook on a gradient is an
operator like any other, and a call of the result costs no more Python than the call itself. The rules are those of
every recording: Python runs only once, so nothing may depend on a tensor's value, and whatever is to change from call
to call must be a tensor that was named, in `state` or in `inputs`.

Noise is drawn by torch's own generators in the recorded order, so that the recording computes what the function does,
up to rounding.
"""

from __future__ import annotations

__all__ = ["missing_compiler", "record", "replayed", "trace"]

import os
import shutil
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from elbox.record.products import products_in_bf16

_OPTIONS: dict[str, Any] = {
    "fallback_random": True,  # torch's generators, not the compiler's own, which are slower on a CPU
    "size_asserts": False,  # shapes were fixed by the recording; 20 µs a call
    "cpp.use_decompose_tanh": True,  # through the exponential: three times as fast, and exact to 1e-7
}


def record(
    function: Callable[..., Sequence[Tensor]],
    state: Sequence[Tensor],
    inputs: Sequence[Tensor],
    *,
    bf16: bool = False,
    options: dict[str, Any] | None = None,
) -> Callable[..., list[Tensor]]:
    """Compile `function`, by running it once.

    Arguments:
        function: Called as `function(*inputs)`; returns a list of tensors and may change tensors of `state` in place.
            It is run for real: the caller puts back whatever must not have changed.
        state: Every tensor beside the inputs that may change between calls, such as parameters and buffers.
        inputs: Examples of the inputs; later ones must have the same shapes and types.
        bf16: Whether large products of float32 matrices, and convolutions, are taken in bfloat16, with sums in float32.
        options: Options for the compiler, beside elbox's own.

    Returns:
        The compiled function of the inputs; it reads and changes `state` in place, and takes no gradients.

    Raises:
        Exception: whatever the tracer or the compiler finds in the way; also if the function reads a tensor's value, or
            changes a tensor that is not named.

    Example:
        >>> total = torch.zeros(3)
        >>> add = record(lambda x: [total.add_(x).sum()], [total], [torch.ones(3)])
        >>> total.zero_()
        tensor([0., 0., 0.])
        >>> add(torch.ones(3)), add(torch.ones(3)), total
        ([tensor(3.)], [tensor(6.)], tensor([2., 2., 2.]))
    """
    held = [t.detach() if t.requires_grad else t for t in state]
    graph = trace(function, state, inputs, bf16=bf16)
    with torch.no_grad():
        known = torch._inductor.list_options()  # they differ from version to version
        chosen = {name: value for name, value in _OPTIONS.items() if name in known} | (options or {})
        compiled: Any = torch._inductor.compile(graph, [*held, *inputs], options=chosen)

    def run(*inputs: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return list(compiled(*held, *inputs))

    return run


def trace(
    function: Callable[..., Sequence[Tensor]], state: Sequence[Tensor], inputs: Sequence[Tensor], *, bf16: bool = False
) -> GraphModule:
    """The recording itself: a function of (*state, *inputs), not compiled. Arguments and errors as `record`."""
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.graph import CodeGen

    def flat(*tensors: Tensor) -> list[Tensor]:  # torch recognises the tensors of `state` where the function uses them
        return list(function(*tensors[len(state) :]))

    graph = make_fx(flat, tracing_mode="real")(*state, *inputs)
    graph.graph.set_codegen(CodeGen())  # flat lists in and out
    for node in graph.graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable and _constant(node):
            raise RuntimeError(f"{node.target} changes a tensor that is neither a parameter nor a buffer")
    if bf16:
        products_in_bf16(graph)
    for node in graph.graph.nodes:
        node.meta.clear()  # of the tracer; the compiler makes its own
    graph.recompile()
    return graph


def _constant(node: Node) -> bool:
    return isinstance(node.args[0], Node) and node.args[0].op == "get_attr"


def replayed(function: Callable[..., list[Tensor]], inputs: Sequence[Tensor]) -> Callable[..., list[Tensor]]:
    """The same function of CUDA tensors as one CUDA graph: a call launches all its kernels at once.

    Arguments:
        function: What `record` returned; it is run a few times, and the caller puts back what that changes.
        inputs: Examples of the inputs.

    Returns:
        The function; the tensors that it returns are written over by its next call.
    """
    held = [t.clone() for t in inputs]
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # kernels are chosen and memory is reserved before anything is captured
        for _ in range(3):
            function(*held)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function(*held)

    def run(*inputs: Tensor) -> list[Tensor]:
        for own, given in zip(held, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        graph.replay()
        return outputs

    return run


def missing_compiler(device: str) -> str | None:
    """Why nothing can be compiled here for a type of device, or None."""
    if device == "mps":
        return "torch cannot compile well for mps"
    if device == "cpu":
        if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
            return "no C++ compiler (g++ or clang++) was found"
        if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
            return "Python's C headers (python3-dev) were not found"
    return None
