r"""Large products of float32 numbers taken in bfloat16, as a change to a recorded graph.

A CPU with AVX512-BF16 or AMX multiplies bfloat16 numbers two to four times as fast as float32 numbers, and sums them in
float32. The change is explicit, product by product: a ↦ float32(bfloat16(a) bfloat16(b)). All else, log-densities, sums
over pixels and over the batch, biases, the optimiser, stays in float32.

A factor is rounded once, however many products it is in, transposed or not.
"""

from __future__ import annotations

__all__ = ["PRODUCT_FLOPS", "cpu_has_bf16", "products_in_bf16"]

import math
import operator
from typing import Any

import torch
from torch._ops import OpOverload
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
    rounded = _Rounded(graph.graph)
    for node in list(graph.graph.nodes):
        rounded.forget(node)
        lower = {
            aten.mm.default: _lower_product,
            aten.bmm.default: _lower_product,
            aten.addmm.default: _lower_product,
            aten.convolution.default: _lower_convolution,
            aten.convolution_backward.default: _lower_convolution_backward,
        }.get(node.target)
        if lower is not None and not node.kwargs and all(_is_float32(a) for a in node.args if isinstance(a, Node)):
            with graph.graph.inserting_before(node):
                lower(graph.graph, node, rounded)
    graph.recompile()


def _cast(graph: Graph, node: Any, dtype: torch.dtype) -> Node:
    return graph.call_function(torch.ops.prims.convert_element_type.default, (node, dtype))


def _is_float32(node: Node) -> bool:
    return getattr(node.meta.get("val"), "dtype", None) == torch.float32


class _Rounded:
    """Factors in bfloat16: what a view was taken of is rounded, once, and the view is taken again."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.known: dict[Node, Node] = {}

    def __call__(self, node: Node) -> Node:
        if node not in self.known:
            base = _viewed(node)
            if base is not None and _is_float32(base) and _size(base) <= _size(node):  # not all of it for a part
                again = (self(base), *node.args[1:])
                self.known[node] = self.graph.call_function(node.target, again, node.kwargs)  # type: ignore[arg-type]
            else:
                self.known[node] = _cast(self.graph, node, torch.bfloat16)
        return self.known[node]

    def forget(self, node: Node) -> None:
        """At an operator that changes tensors: what was rounded of them before is out of date."""
        changed = {_base(n) for n in _changed(node)}
        if changed:
            self.known = {n: low for n, low in self.known.items() if _base(n) not in changed}


def _changed(node: Node) -> list[Node]:
    """The tensors that an operator changes."""
    if not isinstance(node.target, OpOverload):
        return []
    arguments = node.target._schema.arguments
    given = [*zip(arguments, node.args, strict=False), *((a, node.kwargs.get(a.name)) for a in arguments)]
    values = [value for argument, value in given if argument.alias_info is not None and argument.alias_info.is_write]
    flat = [n for value in values for n in (value if isinstance(value, list | tuple) else [value])]
    return [n for n in flat if isinstance(n, Node)]


def _viewed(node: Node) -> Node | None:
    """What a node is a view of, if the same view can be taken of a copy."""
    strided = (torch.ops.aten.as_strided.default, torch.ops.aten._reshape_alias.default)  # of the storage beneath
    if isinstance(node.target, OpOverload) and node.target.is_view and node.target not in strided:
        return node.args[0] if isinstance(node.args[0], Node) else None
    return None


def _base(node: Node) -> Node:
    """The tensor whose numbers a node has: it may be a view, a part, or what an operator returned after changing it."""
    while isinstance(node.args[0] if node.args else None, Node) and (
        node.target is operator.getitem
        or (isinstance(node.target, OpOverload) and (node.target.is_view or node.target._schema.is_mutable))
    ):
        node = node.args[0]  # type: ignore[assignment]
    return node


def _size(node: Node) -> int:
    return math.prod(node.meta["val"].shape)


def _lower_product(graph: Graph, node: Any, rounded: _Rounded) -> None:
    """a b, or c + a b."""
    aten = torch.ops.aten
    *added, a, b = node.args
    if 2 * math.prod(a.meta["val"].shape) * b.meta["val"].shape[-1] < PRODUCT_FLOPS:
        return
    kind = aten.bmm.default if node.target is aten.bmm.default else aten.mm.default
    factors = (rounded(a), rounded(b))
    new = _cast(graph, graph.call_function(kind, factors), torch.float32)
    _replace(graph, node, graph.call_function(aten.add.Tensor, (new, *added)) if added else new)


def _lower_convolution(graph: Graph, node: Any, rounded: _Rounded) -> None:
    x, weight, bias, *rest = node.args
    factors = (rounded(x), rounded(weight))
    new = _cast(graph, graph.call_function(node.target, (*factors, None, *rest)), torch.float32)
    if bias is not None:
        dims = node.meta["val"].dim() - 2
        column = graph.call_function(torch.ops.aten.view.default, (bias, [-1] + [1] * dims))
        new = graph.call_function(torch.ops.aten.add.Tensor, (new, column))
    _replace(graph, node, new)


def _lower_convolution_backward(graph: Graph, node: Any, rounded: _Rounded) -> None:
    """Gradients of input and weight in bfloat16; that of the bias is a sum, and stays one of float32 numbers."""
    gradient, x, weight, sizes, *rest, mask = node.args
    factors = (rounded(gradient), rounded(x), rounded(weight))
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
