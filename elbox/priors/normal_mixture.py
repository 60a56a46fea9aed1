"""A mixture of diagonal normals as prior."""

from __future__ import annotations

__all__ = ["NormalMixture"]

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import NormalMixture as Mixture
from elbox.distributions import soft_clip
from elbox.distributions.normal import LOG_SCALE_BOUND
from elbox.errors import check_whole
from elbox.parts import part
from elbox.priors.fitted_mixture import check_enough, fitted

STARTS = 5  # of expectation–maximisation, the best of which is taken


@part
class NormalMixture(LazyDistribution):
    r"""p(z) = Σ_m π_m N(z; μ_m, diag σ_m²) with learned π, μ, σ; means start as draws of N(0, I), scales at 1.

    Its components are clusters: `elbox.assignments` gives q(m|x) = E_q(z|x)[p(m|z)], and `elbox evaluate`
    compares them with labels.

    Reference: Tomczak & Welling (2018), *VAE with a VampPrior*, §2 (the mixture-of-Gaussians prior of its experiments);
    Jiang et al. (2017), *Variational deep embedding* (as clusters, started by a mixture fitted to codes).

    Arguments:
        latent: Dimension D of z.
        components: Number of components M.
        from_codes: Start at a mixture that `elbox.fit` fits to the codes of training examples (`start`).

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Example:
        >>> NormalMixture(2, components=5)().sample((3,)).shape
        torch.Size([3, 2])
    """

    def __init__(self, latent: int, components: int = 10, *, from_codes: bool = False) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_whole("components", components)
        self.from_codes = from_codes
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(torch.randn(components, latent))
        self.log_scales = nn.Parameter(torch.zeros(components, latent))

    def forward(self, c: Any = None) -> Distribution:
        return Mixture(self.logits, self.means, soft_clip(self.log_scales).exp())

    @torch.no_grad()
    def start(self, x: Tensor, codes: Callable[[], Tensor], seed: int = 0) -> None:
        """Start at a mixture fitted to codes by scikit-learn's `GaussianMixture`, if `from_codes` says so.

        Arguments:
            x: Training examples [N, *event]; not looked at.
            codes: Returns their codes [N, D], N ≥ M.
            seed: Seed of where the fit starts.

        Raises:
            DataError: if there are too few codes, or some are not finite.
        """
        if not self.from_codes:
            return
        found = fitted(codes(), len(self.logits), "diag", seed, STARTS)
        log_scales = 0.5 * torch.as_tensor(found.covariances_).log()
        bound = 0.99 * LOG_SCALE_BOUND
        log_scales = log_scales.clamp(-bound, bound)
        self.logits.copy_(torch.as_tensor(found.weights_).clamp(min=1e-6).log())
        self.means.copy_(torch.as_tensor(found.means_))
        self.log_scales.copy_(log_scales / (1 - log_scales.abs() / LOG_SCALE_BOUND))  # which soft_clip undoes

    def check(self, examples: int) -> None:
        """Refuse fewer examples than components, if these are to start at codes.

        Raises:
            DataError: if there are too few.
        """
        if self.from_codes:
            check_enough(examples, len(self.logits))
