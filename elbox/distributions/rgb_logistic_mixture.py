r"""PixelCNN++'s distribution of the three colours of a pixel: a mixture in which blue and green depend on red."""

from __future__ import annotations

__all__ = ["RGBLogisticMixture"]

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, constraints
from torch.types import _size

from elbox.distributions.discretized_logistic import DiscretizedLogistic


class RGBLogisticMixture(Distribution):
    r"""P(r, g, b) = Σ_k π_k P_k(r) P_k(g | r) P_k(b | r, g) for every pixel, each factor a `DiscretizedLogistic`.

    With x̄ = x − centre, the locations are

        μ_r,        μ_g + α r̄,        μ_b + β r̄ + γ ḡ.

    One component is chosen for a whole pixel. Colours are conditioned on levels, as they are observed and as they are
    sampled, so that the probabilities of the L³ colours of a pixel add up to 1. (The reference implementation samples
    without rounding.)

    Reference: Salimans et al. (2017), *PixelCNN++*, §2.1 (mixture) and §2.2 (conditioning on the channels before).

    Arguments:
        logits: Log-odds of the components, [..., K, H, W].
        loc: Locations μ in levels, [..., 3, K, H, W].
        scale: Scales s > 0 in levels, [..., 3, K, H, W].
        coefficients: α, β and γ, [..., 3, K, H, W].
        centre: Levels at which the coefficients do nothing, a number or [3, 1, H, W].
        levels: Number of levels L ≥ 2.

    Shapes:
        `log_prob(x)`: x [..., 3, H, W] → [...].

    Example:
        >>> parameters = torch.zeros(3, 2, 4, 4)
        >>> p = RGBLogisticMixture(torch.zeros(2, 4, 4), parameters, parameters + 1, parameters, torch.zeros(()), 256)
        >>> p.sample((5,)).shape, p.log_prob(torch.zeros(3, 4, 4)).shape
        (torch.Size([5, 3, 4, 4]), torch.Size([]))
    """

    arg_constraints = {"logits": constraints.real, "loc": constraints.real, "scale": constraints.positive}

    def __init__(
        self, logits: Tensor, loc: Tensor, scale: Tensor, coefficients: Tensor, centre: Tensor, levels: int = 256
    ) -> None:
        self.logits, self.loc, self.scale, self.coefficients = logits, loc, scale, coefficients
        self.centre, self.levels = centre.expand(3, 1, *loc.shape[-2:]), levels
        super().__init__(logits.shape[:-3], torch.Size((3, *loc.shape[-2:])), validate_args=False)

    @constraints.dependent_property(is_discrete=True, event_dim=3)
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.integer_interval(0, self.levels - 1), 3)

    def log_prob(self, value: Tensor) -> Tensor:
        red, green, _ = (value.unsqueeze(-3) - self.centre).unbind(-4)
        mu, (alpha, beta, gamma) = self.loc.unbind(-4), self.coefficients.unbind(-4)
        shape = torch.broadcast_shapes(mu[0].shape, red.shape)
        given = (mu[0], mu[1] + alpha * red, mu[2] + beta * red + gamma * green)
        loc = torch.stack([t.expand(shape) for t in given], -4)
        colours = DiscretizedLogistic(loc, self.scale, self.levels).log_prob(value.unsqueeze(-3)).sum(-4)
        return torch.logsumexp(colours + torch.log_softmax(self.logits, -3), -3).sum((-2, -1))

    @torch.no_grad()
    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        """A component for each pixel, then red, green and blue, each given the levels before it."""
        chosen = Categorical(logits=self.logits.movedim(-3, -1), validate_args=False).sample(sample_shape)
        index = chosen[..., None, None, :, :].expand(*chosen.shape[:-2], 3, 1, *chosen.shape[-2:])

        def of_component(t: Tensor) -> list[Tensor]:
            whole = t.expand(*chosen.shape[:-2], *t.shape[-4:])
            return list(whole.gather(-3, index).squeeze(-3).unbind(-3))

        mu, scale, (alpha, beta, gamma) = (of_component(t) for t in (self.loc, self.scale, self.coefficients))
        centre = self.centre.squeeze(-3)
        red = DiscretizedLogistic(mu[0], scale[0], self.levels).sample()
        green = DiscretizedLogistic(mu[1] + alpha * (red - centre[0]), scale[1], self.levels).sample()
        loc = mu[2] + beta * (red - centre[0]) + gamma * (green - centre[1])
        return torch.stack([red, green, DiscretizedLogistic(loc, scale[2], self.levels).sample()], -3)

    @property
    def mean(self) -> Tensor:
        """Σ_k π_k of each colour's mean in component k, given the means of the colours before it.

        Exact for red; for green and blue but for the rounding and clipping to 0 … L − 1 of what they depend on.
        """
        mu, scale, (alpha, beta, gamma) = (t.unbind(-4) for t in (self.loc, self.scale, self.coefficients))
        red = DiscretizedLogistic(mu[0], scale[0], self.levels).mean
        green = DiscretizedLogistic(mu[1] + alpha * (red - self.centre[0]), scale[1], self.levels).mean
        loc = mu[2] + beta * (red - self.centre[0]) + gamma * (green - self.centre[1])
        blue = DiscretizedLogistic(loc, scale[2], self.levels).mean
        return (torch.stack([red, green, blue], -4) * torch.softmax(self.logits, -3).unsqueeze(-4)).sum(-3)
