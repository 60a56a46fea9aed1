r"""The Poincaré ball, and networks that read its points."""

from __future__ import annotations

__all__ = ["Front", "Gyroplanes", "PoincareBall"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from elbox.distributions.hyperbolic import exp_zero, inside, log_zero, moebius
from elbox.errors import check_number, check_whole
from elbox.parts import part


@part
class PoincareBall(nn.Module):
    r"""The ball {z: c|z|² < 1} of curvature −c, and the map log_0: z ↦ 2 artanh(√c|z|) z/(√c|z|) to its tangents at 0.

    Posterior, prior and the network that reads codes share one ball. As a module it is the map log_0, through which a
    network may read codes: their coordinates are crowded at the edge, and those of log_0(z) are distances.

    Reference: Mathieu et al. (2019), *Continuous hierarchical representations with Poincaré variational auto-encoders*,
    §2; Ganea, Bécigneul & Hofmann (2018), *Hyperbolic neural networks*, §2.

    Arguments:
        curvature: c > 0, in units of 1/distance²; the value at the start if it is learned.
        learned: Learn c, as softplus of a parameter.

    Shapes:
        z [..., n] → [..., n].

    Raises:
        SettingError: if the curvature is not positive.

    Example:
        >>> PoincareBall()(torch.tensor([0.5, 0.0]))  # log 3
        tensor([1.0986, 0.0000])
    """

    def __init__(self, curvature: float = 1.0, *, learned: bool = False) -> None:
        super().__init__()
        check_number("curvature", curvature, positive=True)
        self.fixed = curvature
        self.raw = nn.Parameter(torch.tensor(curvature).expm1().log()) if learned else None

    @property
    def curvature(self) -> float | Tensor:
        """c: a number, or a scalar tensor if it is learned."""
        return self.fixed if self.raw is None else softplus(self.raw)

    def at(self, v: Tensor) -> Tensor:
        """exp_0(v) of tangent vectors [..., n], kept within the distance 8/√c: the network's way to a point."""
        c = torch.as_tensor(self.curvature, device=v.device).double()
        wide = v.double()
        length = (c * wide.square().sum(-1, keepdim=True) + 1e-30).sqrt()  # with a derivative at 0
        return exp_zero(wide / (1 + length / 8), c).to(v.dtype)

    def forward(self, z: Tensor) -> Tensor:
        c = torch.as_tensor(self.curvature, device=z.device).double()
        return log_zero(inside(z.double(), c, z.dtype), c).to(z.dtype)


@part
class Gyroplanes(nn.Module):
    r"""f_k(z) = |a_k| d(z, H_k), signed, with H_k the hyperbolic plane through p_k orthogonal to a_k: affine for c → 0.

        d(z, H_k) = (1/√c) arsinh( 2√c ⟨w, a_k⟩ / ((1 − c|w|²) |a_k|) ),    w = −p_k ⊕ z,  p_k = exp_0(b_k a_k/|a_k|).

    A first layer for decoders of codes on the Poincaré ball.

    Reference: Ganea, Bécigneul & Hofmann (2018), *Hyperbolic neural networks*, §3.1 (the distance); Mathieu et al.
    (2019), *Continuous hierarchical representations with Poincaré variational auto-encoders*, §3 (the layer).

    Arguments:
        inputs: Dimension n of z.
        outputs: Number of planes.
        ball: The ball.
        activation: Class of a non-linearity applied to the distances; None for none.

    Shapes:
        z [..., n] → [..., outputs].

    Example:
        >>> Gyroplanes(2, 5, PoincareBall())(torch.zeros(3, 2)).shape
        torch.Size([3, 5])
    """

    def __init__(
        self, inputs: int, outputs: int, ball: PoincareBall, activation: type[nn.Module] | None = None
    ) -> None:
        super().__init__()
        check_whole("inputs", inputs)
        check_whole("outputs", outputs)
        self.ball, self.activation = ball, nn.Identity() if activation is None else activation()
        self.normal, self.shift = nn.Parameter(torch.empty(outputs, inputs)), nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_uniform_(self.normal)

    def forward(self, z: Tensor) -> Tensor:
        c = torch.as_tensor(self.ball.curvature, device=z.device).double()
        length = self.normal.double().norm(dim=-1).clamp(min=1e-12)
        unit = self.normal.double() / length.unsqueeze(-1)
        p = exp_zero(self.shift.double().unsqueeze(-1) * unit, c)
        w = moebius(-p, inside(z.double(), c, z.dtype).unsqueeze(-2), c)
        rest = (1 - c * w.square().sum(-1)).clamp(min=1e-15)
        distance = torch.asinh(2 * c.sqrt() * (w * unit).sum(-1) / rest) / c.sqrt()
        read: Tensor = self.activation((length * distance).to(z.dtype))
        return read


@part
class Front(nn.Module):
    r"""(z, c) ↦ net(first(z), c): a layer of codes alone before a network, such as `Gyroplanes` or a `PoincareBall`.

    Reference: Mathieu et al. (2019), *Continuous hierarchical representations with Poincaré variational auto-encoders*,
    §3 (a decoder whose first layer knows the geometry).

    Arguments:
        first: Module of codes [..., D].
        net: Network of what it returns, and of a condition if there is one.

    Shapes:
        z [..., D], or a pair (z, c) → what `net` makes of it.

    Example:
        >>> from elbox.nn import MLP
        >>> ball = PoincareBall()
        >>> Front(Gyroplanes(2, 8, ball), MLP(8, [], 5))(torch.zeros(3, 2)).shape
        torch.Size([3, 5])
    """

    def __init__(self, first: nn.Module, net: nn.Module) -> None:
        super().__init__()
        self.first, self.net = first, net

    def forward(self, z: Any) -> Tensor:
        codes, *condition = z if isinstance(z, tuple) else (z,)
        read = self.first(codes)
        output: Tensor = self.net((read, *condition) if condition else read)
        return output
