"""Univariate functions that are straight lines: a shift, a shift and a scale, and the gated form of these."""

from __future__ import annotations

__all__ = ["Affine", "Gate", "Shift"]

import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Transform, constraints
from zuko.transforms import AdditiveTransform, MonotonicAffineTransform

from elbox.distributions import soft_clip
from elbox.errors import check_number
from elbox.flows.univariate import Univariate
from elbox.parts import part


@part
class Shift(Univariate):
    r"""y = x + b: volume is preserved.

    Reference: Dinh, Krueger & Bengio (2015), *NICE: non-linear independent components estimation*, §3 (additive
    coupling).

    Example:
        >>> import torch
        >>> Shift()(torch.tensor(2.0))(torch.tensor(1.0))
        tensor(3.)
    """

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((),)

    def forward(self, shift: Tensor) -> Transform:
        return AdditiveTransform(shift)


@part
class Affine(Univariate):
    r"""y = e^a x + b, with a held within ±log 1000.

    Reference: Dinh, Sohl-Dickstein & Bengio (2017), *Density estimation using Real NVP*, §3.2 (affine coupling);
    Papamakarios, Pavlakou & Murray (2017), *Masked autoregressive flow for density estimation*, §3.

    Example:
        >>> import torch
        >>> Affine()(torch.tensor(2.0), torch.tensor(0.0))(torch.tensor(1.0))
        tensor(3.)
    """

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((), ())

    def forward(self, shift: Tensor, scale: Tensor) -> Transform:
        return MonotonicAffineTransform(shift, scale)


@part
class Gate(Univariate):
    r"""y = σ x + (1 − σ) m with σ = sigmoid(s + bias): numerically stable, as the gate of a recurrent network.

    Reference: Kingma et al. (2016), *Improving variational inference with inverse autoregressive flow*, eq. 13 and 14.

    Arguments:
        bias: Added to s, so that a new step hardly changes z; the paper advises 1 or 2.

    Raises:
        SettingError: if the bias is negative.

    Example:
        >>> import torch
        >>> Gate(bias=0.0)(torch.tensor(2.0), torch.tensor(0.0))(torch.tensor(1.0))
        tensor(1.5000)
    """

    def __init__(self, bias: float = 2.0) -> None:
        super().__init__()
        check_number("bias", bias)
        self.bias = bias

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((), ())

    def forward(self, m: Tensor, s: Tensor) -> Transform:
        return _GateTransform(m, soft_clip(s + self.bias))


class _GateTransform(Transform):
    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1

    def __init__(self, m: Tensor, s: Tensor) -> None:
        super().__init__()
        self.m, self.log_gate = m, F.logsigmoid(s)

    def _call(self, x: Tensor) -> Tensor:
        return self.m + self.log_gate.exp() * (x - self.m)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.m + (-self.log_gate).exp() * (y - self.m)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.log_gate.expand(x.shape)
