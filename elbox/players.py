r"""Players: groups of parameters that are trained together, each by a loss of its own.

A discriminator and the encoder that deceives it, a generative model and the recognition model of wake–sleep: each
player's loss may depend on the other's parameters, but must not move them. Within `frozen(module)` the parameters of a
module are constants, so that gradients pass through it and none reaches it; `aside(loss)` is added to another player's
loss, whose value it leaves as it is. The sum of all is differentiated once, and one optimiser moves all players.
"""

from __future__ import annotations

__all__ = ["aside", "frozen"]

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def frozen(*modules: nn.Module, but: nn.Module | None = None) -> Iterator[None]:
    """Within it, the parameters of these modules are constants; their outputs stay differentiable in their inputs.

    Distributions whose densities read weights late, such as flows, must be evaluated inside.

    Arguments:
        modules: Whose parameters get no gradient.
        but: A module inside them whose parameters do.

    Example:
        >>> import torch
        >>> net, x = nn.Linear(2, 1), torch.ones(3, 2, requires_grad=True)
        >>> with frozen(net):
        ...     y = net(x).sum()
        >>> y.backward()
        >>> net.weight.grad is None, x.grad is None
        (True, False)
    """
    tables = {id(m._parameters): m._parameters for module in modules for m in module.modules()}
    for m in () if but is None else but.modules():
        tables.pop(id(m._parameters), None)
    before = [(table, dict(table)) for table in tables.values()]
    try:
        for table, own in before:
            table.update({n: p if p is None else p.detach() for n, p in own.items()})  # type: ignore[misc]
        yield
    finally:
        for table, own in before:
            table.update(own)


def aside(loss: Tensor) -> Tensor:
    """Zero, with the gradient of a loss: another player's part of a sum whose value is the first player's.

    Example:
        >>> import torch
        >>> w = torch.tensor(3.0, requires_grad=True)
        >>> value = aside(w.square())
        >>> value.item(), torch.autograd.grad(value, w)[0].item()
        (0.0, 6.0)
    """
    return loss - loss.detach()
