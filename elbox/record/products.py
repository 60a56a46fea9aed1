r"""Large products of float32 numbers taken in bfloat16, as a change to a recorded graph.

A CPU with AVX512-BF16 or AMX multiplies bfloat16 numbers two to four times as fast as float32 numbers, and sums them in
float32. The change is explicit, product by product: a ↦ float32(bfloat16(a) bfloat16(b)). All else, log-densities, sums
over pixels and over the batch, biases, the optimiser, stays in float32.
"""

from __future__ import annotations

__all__ = ["PRODUCT_FLOPS", "cpu_has_bf16", "products_in_bf16"]

import math
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

# Below this many operations a product in bfloat16 is no faster than one in float32: measured on AVX512-BF16.
PRODUCT_FLOPS = 3_000_000


def cpu_has_bf16(*, compiled: bool) -> bool:
    """Whether this CPU multiplies faster in bfloat16, in a recorded computation or in one that runs as it stands.

    AVX512-BF16 or AMX: without them oneDNN emulates bfloat16 and loses. Without AMX it does not round float32 factors
    itself, so that only a recording, which says so, gains. Both questions are private in torch.
    """
    tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")[: 1 + compiled]
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in tests)


def products_in_bf16(graph: GraphModule) -> None:
    """Take the large products and convolutions of float32 numbers in bfloat16, and what comes of them as float32."""
    aten = torch.ops.aten
    for node in list(graph.graph.nodes):
        lower = {
            aten.mm.default: _lower_product,
            aten.bmm.default: _lower_product,
            aten.addmm.default: _lower_product,
            aten.convolution.default: _lower_convolution,
            aten.convolution_backward.default: _lower_convolution_backward,
        }.get(node.target)
        tensors = [a.meta.get("val") for a in node.args if isinstance(a, Node)]
        if lower is not None and not node.kwargs and all(getattr(t, "dtype", None) == torch.float32 for t in tensors):
            with graph.graph.inserting_before(node):
                lower(graph.graph, node)
    graph.recompile()


def _cast(graph: Graph, node: Any, dtype: torch.dtype) -> Node:
    return graph.call_function(torch.ops.prims.convert_element_type.default, (node, dtype))


def _lower_product(graph: Graph, node: Any) -> None:
    """a b, or c + a b."""
    aten = torch.ops.aten
    *added, a, b = node.args
    if 2 * math.prod(a.meta["val"].shape) * b.meta["val"].shape[-1] < PRODUCT_FLOPS:
        return
    kind = aten.bmm.default if node.target is aten.bmm.default else aten.mm.default
    factors = tuple(_cast(graph, n, torch.bfloat16) for n in (a, b))
    new = _cast(graph, graph.call_function(kind, factors), torch.float32)
    _replace(graph, node, graph.call_function(aten.add.Tensor, (new, *added)) if added else new)


def _lower_convolution(graph: Graph, node: Any) -> None:
    x, weight, bias, *rest = node.args
    factors = tuple(_cast(graph, n, torch.bfloat16) for n in (x, weight))
    new = _cast(graph, graph.call_function(node.target, (*factors, None, *rest)), torch.float32)
    if bias is not None:
        dims = node.meta["val"].dim() - 2
        column = graph.call_function(torch.ops.aten.view.default, (bias, [-1] + [1] * dims))
        new = graph.call_function(torch.ops.aten.add.Tensor, (new, column))
    _replace(graph, node, new)


def _lower_convolution_backward(graph: Graph, node: Any) -> None:
    """Gradients of input and weight in bfloat16; that of the bias is a sum, and stays one of float32 numbers."""
    gradient, x, weight, sizes, *rest, mask = node.args
    factors = tuple(_cast(graph, n, torch.bfloat16) for n in (gradient, x, weight))
    new = graph.call_function(node.target, (*factors, sizes, *rest, [*mask[:2], False]))
    for user in list(node.users):  # operator.getitem(node, i)
        with graph.inserting_before(user):
            if user.args[1] == 2:
                dims = [d for d in range(gradient.meta["val"].dim()) if d != 1]
                part = graph.call_function(torch.ops.aten.sum.dim_IntList, (gradient, dims))
            else:
                part = graph.call_function(user.target, (new, user.args[1]))
                part = _cast(graph, part, torch.float32) if mask[user.args[1]] else part
        _replace(graph, user, part)
    graph.erase_node(node)


def _replace(graph: Graph, node: Any, new: Any) -> None:
    new.meta.update(node.meta)
    node.replace_all_uses_with(new)
    graph.erase_node(node)
