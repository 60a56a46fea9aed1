"""Variational autoencoders with learned priors."""

from __future__ import annotations

__all__ = ["exemplar_vae", "flow_prior_vae", "vamp_vae"]

from collections.abc import Sequence

from torch import nn

from elbox.estimators import Path
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import GatedMLP
from elbox.objectives import ELBO
from elbox.posteriors import DiagonalNormal
from elbox.priors import ExemplarPrior, Flow, VampPrior
from elbox.recipes.base import Recipe, default_likelihood, recipe
from elbox.schedules import Linear
from elbox.spec import DataSpec

MOST_EXEMPLARS = 10_000  # of an exemplar VAE, unless it is told otherwise


@recipe
def vamp_vae(
    data: DataSpec,
    latent: int = 40,
    components: int = 500,
    hidden: Sequence[int] = (300, 300),
    likelihood: type[Likelihood] | None = None,
    warmup: float = 0.1,
    *,
    from_data: bool = False,
) -> Recipe:
    r"""A VAE with a VampPrior (Tomczak & Welling, 2018), one level of z, with their networks: 784-300-300-40, gated.

    p(z) = 1/K Σ_k q(z|u_k) with K learned pseudo-inputs. They train by Adam at 0.0005, 100 examples a step, and warm
    the rate up over 100 of at most 2000 passes.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        components: Number K of pseudo-inputs.
        hidden: Widths of the encoder's hidden layers, gated; the decoder mirrors them.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.
        from_data: Start the pseudo-inputs at training examples instead of noise.

    Example:
        >>> import elbox
        >>> elbox.recipes.vamp_vae(elbox.DataSpec((5,), "binary"), components=20).model.sample(3).shape
        torch.Size([3, 5])
    """
    posterior, decoder = _gated(data, latent, hidden, likelihood)
    prior = VampPrior(posterior, data.event_shape, components, data.offset, data.scale, from_data=from_data)
    return Recipe(VAE(prior, decoder, posterior), ELBO(beta=Linear(over=warmup) if warmup else 1.0), Path())


@recipe
def exemplar_vae(
    data: DataSpec,
    latent: int = 40,
    components: int = 500,
    examples: int | None = None,
    hidden: Sequence[int] = (300, 300),
    likelihood: type[Likelihood] | None = None,
    warmup: float = 0.1,
) -> Recipe:
    r"""An exemplar VAE (Norouzi, Fleet & Norouzi, 2020): z near the code of a training example, networks as `vamp_vae`.

    Theirs takes all training examples as exemplars, half of them in a step, or those nearest to z; see `ExemplarPrior`
    for what is done here. Held-out bounds cost a distance to each exemplar for each sample.

    Arguments:
        data: Shape and kind of the data, with its number of examples.
        latent: Dimension of z.
        components: Exemplars in a step.
        examples: Number of exemplars; None for all training examples, 10 000 at most.
        hidden: Widths of the encoder's hidden layers, gated; the decoder mirrors them.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox
        >>> elbox.recipes.exemplar_vae(elbox.DataSpec((5,), "binary"), examples=20).model.sample(3).shape
        torch.Size([3, 5])
    """
    posterior, decoder = _gated(data, latent, hidden, likelihood)
    number = min(data.examples, MOST_EXEMPLARS) if examples is None else examples
    prior = ExemplarPrior(posterior, latent, data.event_shape, number, components)
    return Recipe(VAE(prior, decoder, posterior), ELBO(beta=Linear(over=warmup) if warmup else 1.0), Path())


@recipe
def flow_prior_vae(
    data: DataSpec,
    latent: int = 40,
    hidden: Sequence[int] = (300, 300),
    likelihood: type[Likelihood] | None = None,
    warmup: float = 0.1,
    steps: int = 4,
    widths: Sequence[int] = (128, 128),
) -> Recipe:
    r"""A VAE with an autoregressive flow as prior, p(z) = N(f(z); 0, I) |det ∂f/∂z| (Chen et al., 2017).

    Their autoregressive flow (AF) prior makes a bound as tight as an inverse autoregressive posterior of the same size
    would, and a decoder that is deeper by the flow. Here f is a masked autoregressive flow (Papamakarios et al., 2017),
    whose density takes one pass; networks as those of `vamp_vae`.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers, gated; the decoder mirrors them.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.
        steps: Number of autoregressive transformations.
        widths: Widths of the hidden layers of each.

    Example:
        >>> import elbox
        >>> elbox.recipes.flow_prior_vae(elbox.DataSpec((5,), "binary"), latent=3).model.sample(3).shape
        torch.Size([3, 5])
    """
    posterior, decoder = _gated(data, latent, hidden, likelihood)
    prior = Flow(latent, steps=steps, hidden=widths)
    return Recipe(VAE(prior, decoder, posterior), ELBO(beta=Linear(over=warmup) if warmup else 1.0), Path())


def _gated(
    data: DataSpec, latent: int, hidden: Sequence[int], likelihood: type[Likelihood] | None
) -> tuple[DiagonalNormal, nn.Module]:
    """Posterior and likelihood with gated networks."""
    shape = DiagonalNormal.output_shape(latent)
    encoder = GatedMLP(data.event_shape, hidden, shape, offset=data.offset, scale=data.scale)
    cls = default_likelihood(data, likelihood)
    decoder = GatedMLP(latent, list(hidden)[::-1], cls.output_shape(data))
    return DiagonalNormal(encoder, latent), cls.for_data(decoder, data)
