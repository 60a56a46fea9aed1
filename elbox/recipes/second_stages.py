"""Models whose prior is trained after them, on their codes."""

from __future__ import annotations

__all__ = [
    "code_prior",
    "diffusion_prior",
    "flow_prior",
    "latent_diffusion",
    "mixture_prior",
    "two_stage_vae",
    "vae_prior",
]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.errors import IncompatibleError
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import CausalTransformer, PixelCNN
from elbox.objectives import ELBO
from elbox.priors import CodePrior, Diffusion, FittedMixture, Flow, SecondStage, Staged, Standardized
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def two_stage_vae(
    data: DataSpec,
    latent: int = 64,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    second: Sequence[int] = (1024, 1024, 1024),
) -> Recipe:
    r"""The two-stage VAE (Dai & Wipf, 2019): a VAE, then a second one of its codes, with p(z) = ∫ p(u) p(z|u) du.

    The second stage is that of the authors' code: as many dimensions as the first has, three hidden layers of 1024
    units, and a Gaussian p(z|u) with one learned variance. Their first stage is convolutional, with a learned variance
    too: `likelihood=Gaussian` for grey levels. log p(z) is then a lower bound (`SecondStage`).

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z, and of u.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        second: Widths of the hidden layers of the second stage.

    Example:
        >>> import elbox
        >>> recipe = elbox.recipes.two_stage_vae(elbox.DataSpec((5,), "binary"), latent=3, second=(8,))
        >>> recipe.model.prior.second.prior.latent
        3
    """
    first = vae(data, latent, hidden, activation, likelihood)
    return replace(first, model=_staged(first.model, vae_prior(latent, second)))


@recipe
def latent_diffusion(
    data: DataSpec,
    latent: int = 16,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    beta: float = 0.1,
    second: Sequence[int] = (256, 256, 256),
) -> Recipe:
    r"""Latent diffusion (Rombach et al., 2022): a VAE whose rate weighs little, then a diffusion model of its codes.

    Their first stage is convolutional and nearly an autoencoder (a weight of 10⁻⁶, beside perceptual and adversarial
    losses), and their codes are images for a U-Net; here codes are vectors for an MLP. What the small weight adds to
    the rate under N(0, I), the diffusion prior, trained for just these codes, takes off again.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        beta: Weight of the rate in the first stage.
        second: Widths of the hidden layers of the denoising network.

    Example:
        >>> import elbox
        >>> elbox.recipes.latent_diffusion(elbox.DataSpec((5,), "binary")).model.prior.fitted
        False
    """
    first = vae(data, latent, hidden, activation, likelihood)
    return replace(first, model=_staged(first.model, diffusion_prior(latent, second)), objective=ELBO(beta=beta))


def mixture_prior(latent: int, components: int = 10) -> nn.Module:
    """A mixture of normals, fitted by expectation–maximisation.

    Example:
        >>> mixture_prior(2, 3)().event_shape
        torch.Size([2])
    """
    return FittedMixture(latent, components)


def flow_prior(latent: int, steps: int = 4, hidden: Sequence[int] = (128, 128)) -> nn.Module:
    """A masked autoregressive flow of standardised codes.

    Example:
        >>> flow_prior(2)().event_shape
        torch.Size([2])
    """
    return Standardized(Flow(latent, steps=steps, hidden=hidden), latent)


def code_prior(model: VAE, width: int = 64) -> nn.Module:
    """An autoregressive network over a model's quantised codes: a PixelCNN where these are a map, else a transformer.

    Raises:
        IncompatibleError: if the model has no such codes.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vq_vae(elbox.DataSpec((1, 28, 28), "binary"), latent=8, codes=16).model
        >>> type(code_prior(model, width=8).net).__name__
        'PixelCNN'
    """
    if not isinstance(model.prior, CodePrior):
        raise IncompatibleError(
            f"got a {type(model.posterior).__name__} posterior, which has no quantised codes; use a FittedMixture "
            "prior, or a model such as vq_vae"
        )
    codebook, positions = model.prior.codebook, model.prior.positions
    size, depth, map = codebook.size, codebook.depth, getattr(model.posterior.net, "map", None)
    if map is None:
        return CodePrior(codebook, positions, CausalTransformer(positions, size, depth, width))
    return CodePrior(codebook, positions, PixelCNN(map, size, depth, width))


def diffusion_prior(latent: int, hidden: Sequence[int] = (256, 256, 256)) -> nn.Module:
    """A diffusion model of standardised codes.

    Example:
        >>> diffusion_prior(2)().event_shape
        torch.Size([2])
    """
    return Standardized(Diffusion(latent, hidden), latent)


def vae_prior(latent: int, hidden: Sequence[int] = (1024, 1024, 1024)) -> nn.Module:
    """A VAE of standardised codes, with as many dimensions as they have.

    Example:
        >>> vae_prior(2)().event_shape
        torch.Size([2])
    """
    return Standardized(SecondStage(vae(DataSpec((latent,), "real"), latent, hidden).model, latent), latent)


def _staged(model: VAE, second: nn.Module) -> VAE:
    assert model.prior is not None
    return VAE(Staged(model.prior, second), model.likelihood, model.posterior)
