"""A mixture of normals that is fitted to the codes after training."""

from __future__ import annotations

__all__ = ["FittedMixture", "check_enough", "fitted"]

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, MultivariateNormal
from zuko.lazy import LazyDistribution

from elbox.errors import DataError, check_whole
from elbox.parts import part


@part
class FittedMixture(LazyDistribution):
    r"""p(z) = Σ_m π_m N(z; μ_m, Σ_m), fitted to codes by expectation–maximisation; N(0, I) until then.

    It has nothing for the gradient to train. `elbox.fit` fits it to the codes of the training data when the model is
    trained, so that an autoencoder can be sampled; `elbox.fit_prior` does so for any model.

    Reference: Ghosh et al. (2020), *From variational to deterministic autoencoders*, §4 (ex-post density estimation,
    with 10 components of full covariance).

    Arguments:
        latent: Dimension D of z.
        components: Number of components M.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Example:
        >>> prior = FittedMixture(2, components=3)
        >>> prior.fit(torch.randn(100, 2) + 5.0)
        >>> prior().mean.round()
        tensor([5., 5.])
    """

    logits: Tensor
    means: Tensor
    cholesky: Tensor

    def __init__(self, latent: int, components: int = 10) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_whole("components", components)
        self.components = components
        self.register_buffer("logits", torch.zeros(components))
        self.register_buffer("means", torch.zeros(components, latent))
        self.register_buffer("cholesky", torch.eye(latent).repeat(components, 1, 1))

    @property
    def after_training(self) -> FittedMixture:
        """The part that is fitted when the model is trained: itself."""
        return self

    def forward(self, c: Any = None) -> Distribution:
        weights = Categorical(logits=self.logits, validate_args=False)
        normals = MultivariateNormal(self.means, scale_tril=self.cholesky, validate_args=False)
        return MixtureSameFamily(weights, normals, validate_args=False)

    @torch.no_grad()
    def fit(self, z: Tensor, seed: int = 0) -> None:
        """Fit the mixture to codes, with scikit-learn's `GaussianMixture`.

        Arguments:
            z: Codes [N, D] with N ≥ M.
            seed: Seed of where it starts.

        Raises:
            DataError: if there are too few codes, or some are not finite.
        """
        found = fitted(z, self.components, "full", seed)
        self.logits.copy_(torch.as_tensor(found.weights_).clamp(min=1e-300).log())
        self.means.copy_(torch.as_tensor(found.means_))
        self.cholesky.copy_(torch.linalg.cholesky(torch.as_tensor(found.covariances_)))

    def check(self, codes: int) -> None:
        """Refuse fewer codes than components.

        Raises:
            DataError: if there are too few.
        """
        check_enough(codes, self.components)


def fitted(z: Tensor, components: int, covariance: str, seed: int, starts: int = 1) -> Any:
    """scikit-learn's `GaussianMixture` of codes [N, D].

    Arguments:
        z: Codes [N, D] with N ≥ M.
        components: Number of components M.
        covariance: `"full"` or `"diag"`.
        seed: Seed of where it starts.
        starts: How often it starts; the best fit is taken.

    Raises:
        DataError: if there are too few codes, or some are not finite.
    """
    from sklearn.mixture import GaussianMixture

    check_enough(len(z), components)
    if not z.isfinite().all():
        raise DataError(
            "got codes that are not all finite; expected finite ones: train again with a lower lr, or clip=1"
        )
    made = GaussianMixture(components, covariance_type=covariance, random_state=seed, n_init=starts)
    return made.fit(z.double().cpu().numpy())


def check_enough(codes: int, components: int) -> None:
    """Refuse fewer codes than components.

    Raises:
        DataError: if there are too few.
    """
    least = max(2, components)
    if codes < least:
        raise DataError(
            f"got {codes} codes for a mixture of {components} components; expected at least {least}: use fewer "
            "components, or more data"
        )
