"""A prior that looks at the data: before training, to start there, or after it, to fit the codes."""

from __future__ import annotations

__all__ = ["begin", "fit_prior", "refit"]

from torch import Tensor

from elbox.evaluate.chunks import MEMORY
from elbox.evaluate.latent import encode, in_chunks
from elbox.evaluate.scope import Examples, like_model, measuring, on_device
from elbox.model import VAE
from elbox.priors import FittedMixture


def fit_prior(
    model: VAE, x: Examples, components: int = 10, *, seed: int = 0, c: Tensor | None = None, memory: int = MEMORY
) -> VAE:
    r"""The same model with p(z) = Σ_m π_m N(z; μ_m, Σ_m) fitted to one draw of q(z|x) for each example.

    An autoencoder can then be sampled, and a VAE whose aggregated posterior is not its prior samples better.
    Likelihood, posterior and condition are those of the model given, not copies. Of a VAE the bounds change with the
    prior.

    Reference: Ghosh et al. (2020), *From variational to deterministic autoencoders*, §4 (ex-post density estimation).

    Arguments:
        model: A trained VAE or autoencoder.
        x: Training examples [N, *event], of any type.
        components: Number of components M, of full covariance.
        seed: Seed of the draws, and of where the fit starts.
        c: Condition [N, ...], or None.
        memory: Budget in bytes for the tensors of one chunk.

    Raises:
        DataError: if there are fewer examples than components, or a code is not finite.
        ShapeError: if the data do not fit the model.

    Example:
        >>> import elbox
        >>> data = elbox.load("digits")
        >>> run = elbox.fit(elbox.recipes.ae(data.spec, latent=2), data, elbox.Training(epochs=1))
        >>> elbox.fit_prior(run.model, data.examples("train")).sample(4).shape
        torch.Size([4, 1, 8, 8])
    """
    first = like_model(model, x[:1])
    with measuring(model, seed):
        latent = model.encode(first, c=on_device(model, c, slice(0, 1))).event_shape[0]
    fitted = VAE(FittedMixture(latent, components).to(first), model.likelihood, model.posterior, model.condition)
    refit(fitted, x, seed=seed, c=c, memory=memory)
    return fitted.train(model.training)


def begin(model: VAE, x: Examples, *, seed: int = 0, memory: int = MEMORY) -> None:
    """Let the model's prior start from data, if it is one that does: `NormalMixture(from_codes=True)`, for example.

    Such a prior has `start(x, codes, seed)`, where `codes()` encodes the examples; other priors stay as they are.

    Arguments:
        model: The model, as it is before training or after pretraining.
        x: Training examples [N, *event].
        seed: Seed of what the prior draws.
        memory: Budget in bytes for the tensors of one chunk.

    Example:
        >>> import elbox, torch
        >>> model = elbox.recipes.vade(elbox.DataSpec((5,), "real"), latent=2, components=3).model
        >>> before = model.prior.means.clone()
        >>> begin(model, torch.randn(100, 5))
        >>> torch.equal(model.prior.means, before)
        False
    """
    start = getattr(model.prior, "start", None)
    if start is not None:
        start(x[: len(x)], lambda: encode(model, x, memory=memory), seed)


def refit(model: VAE, x: Examples, *, seed: int = 0, c: Tensor | None = None, memory: int = MEMORY) -> None:
    """Fit the model's own `FittedMixture` prior to its codes of examples; other priors stay as they are.

    Arguments: as `fit_prior`.

    Example:
        >>> import elbox, torch
        >>> model = elbox.recipes.rae_l2(elbox.DataSpec((5,), "real"), latent=2, components=3).model
        >>> refit(model, torch.randn(100, 5))
        >>> bool(model.prior.means.any())
        True
    """
    if isinstance(model.prior, FittedMixture):
        codes = in_chunks(model, lambda part, given: model.encode(part, c=given).sample(), x, c, memory, seed)
        model.prior.fit(codes, seed)
