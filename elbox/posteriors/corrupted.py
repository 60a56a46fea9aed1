"""A posterior that sees a corrupted input while it is trained."""

from __future__ import annotations

__all__ = ["Corrupted"]

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.errors import SettingError
from elbox.parts import part


@part
class Corrupted(LazyDistribution):
    r"""q(z|x̃) with x̃ = m ⊙ x + (1 − m) · blank + noise · ε, where m ~ Bernoulli(1 − masking) and ε ~ N(0, I).

    Around `Deterministic` it makes a denoising autoencoder; around a stochastic posterior a denoising VAE. The input is
    corrupted in training mode only; `eval()` sees it clean.

    Reference: Vincent et al. (2008), *Extracting and composing robust features with denoising autoencoders*, §2.3
    (masking); Im et al. (2017), *Denoising criterion for variational auto-encoding framework* (Gaussian noise).

    Arguments:
        posterior: The posterior to feed.
        masking: Probability with which a dimension is replaced by `blank`, in [0, 1).
        noise: Standard deviation of the added noise, in units of the data, ≥ 0.
        blank: What a masked dimension becomes, in units of the data.

    Shapes:
        as the posterior inside.

    Raises:
        SettingError: if `masking` or `noise` is out of range.

    Example:
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import Deterministic
        >>> q = Corrupted(Deterministic(MLP(5, [8], 2), 2), masking=0.3)
        >>> q(torch.ones(3, 5)).mean.shape
        torch.Size([3, 2])
    """

    def __init__(
        self, posterior: LazyDistribution, masking: float = 0.0, noise: float = 0.0, blank: float = 0.0
    ) -> None:
        super().__init__()
        if not 0 <= masking < 1 or noise < 0:
            raise SettingError(f"got masking={masking}, noise={noise}; expected 0 ≤ masking < 1 and noise ≥ 0")
        self.posterior, self.masking, self.noise, self.blank = posterior, masking, noise, blank
        self.deterministic = getattr(posterior, "deterministic", False)

    def forward(self, c: Any = None) -> Distribution:
        if not self.training:
            return self.posterior(c)
        return self.posterior((self._corrupt(c[0]), *c[1:]) if isinstance(c, tuple) else self._corrupt(c))

    def _corrupt(self, x: Tensor) -> Tensor:
        kept = torch.rand_like(x) >= self.masking
        return torch.where(kept, x, torch.full_like(x, self.blank)) + self.noise * torch.randn_like(x)
