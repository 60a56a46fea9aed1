"""Encoders that are improved upon: by auxiliary variables, or by the model's own gradients for each example."""

from __future__ import annotations

__all__ = ["auxiliary_vae", "hamiltonian_vae", "riemannian_hamiltonian_vae", "semi_amortised_vae"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.estimators import Path, Reparameterized
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import MLP, RadialMetric
from elbox.posteriors import Auxiliary, DiagonalNormal, Hamiltonian, Refined, RiemannianHamiltonian
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def auxiliary_vae(
    data: DataSpec,
    latent: int = 100,
    auxiliary: int = 100,
    hidden: Sequence[int] = (500, 500),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    warmup: float = 0.1,
) -> Recipe:
    r"""Auxiliary deep generative model without labels (Maaløe et al., 2016): q(a|x) q(z|a, x) and r(a|x, z).

    Sizes are those of their code for MNIST.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        auxiliary: Dimension of a.
        hidden: Widths of the hidden layers of q(a|x), q(z|a, x) and r(a|x, z); the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox, torch
        >>> r = elbox.recipes.auxiliary_vae(elbox.DataSpec((5,), "binary"), latent=2, auxiliary=3)
        >>> sorted(r.model.terms(torch.ones(4, 5)).groups)
        ['a', 'z']
    """

    def normal(dimensions: int, given: int) -> DiagonalNormal:
        outputs, scale = DiagonalNormal.output_shape(dimensions), {"offset": data.offset, "scale": data.scale}
        return DiagonalNormal(MLP(data.event_shape, hidden, outputs, activation, given, **scale), dimensions)

    base = vae(data, latent, hidden, activation, likelihood, warmup)
    parts = normal(auxiliary, 0), normal(latent, auxiliary), normal(auxiliary, latent)
    model = VAE(base.model.prior, base.model.likelihood, Auxiliary(*parts, latent))
    return replace(base, model=model, estimator=Path())


@recipe
def semi_amortised_vae(
    data: DataSpec,
    latent: int = 32,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 20,
    lr: float = 0.02,
    warmup: float = 0.1,
) -> Recipe:
    r"""Semi-amortised VAE (Kim et al., 2018): the encoder's posterior is refined in `steps` steps on each example.

    Latent dimensions and steps are those of their code for OMNIGLOT, where the networks are convolutional and the
    decoder is autoregressive; here the networks are those of `vae`. Its price is `steps` times the work.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        steps: Number of gradient steps.
        lr: Size of a step for one example.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox, torch
        >>> r = elbox.recipes.semi_amortised_vae(elbox.DataSpec((5,), "binary"), latent=2, steps=3)
        >>> r.model.encode(torch.ones(4, 5)).mean.shape
        torch.Size([4, 2])
    """
    base = vae(data, latent, hidden, activation, likelihood, warmup)
    prior, decoder, posterior = _parts(base)
    return replace(base, model=VAE(prior, decoder, Refined(posterior, prior, decoder, latent, steps, lr)))


@recipe
def hamiltonian_vae(
    data: DataSpec,
    latent: int = 64,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.Softplus,
    likelihood: type[Likelihood] | None = None,
    steps: int = 5,
    temperature: float = 1.5,
) -> Recipe:
    r"""Hamiltonian VAE (Caterini et al., 2018): draws of the encoder follow `steps` leapfrog steps.

    Settings are those of their code for MNIST, where K is 1, 5, 10, 15 or 20 and the networks are convolutional.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity, a smooth one: its second derivative is needed.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        steps: Number of leapfrog steps K.
        temperature: Temperature of the momenta at the start, learned from there; 1 for no tempering.

    Example:
        >>> import elbox
        >>> elbox.recipes.hamiltonian_vae(elbox.DataSpec((784,), "binary")).model.posterior.steps
        5
    """
    base = vae(data, latent, hidden, activation, likelihood, 0.0)
    prior, decoder, posterior = _parts(base)
    flow = Hamiltonian(posterior, prior, decoder, latent, steps, temperature=temperature)
    return replace(base, model=VAE(prior, decoder, flow), estimator=Reparameterized())


@recipe
def riemannian_hamiltonian_vae(
    data: DataSpec,
    latent: int = 2,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    centroids: int = 20,
    steps: int = 3,
    step: float = 0.01,
) -> Recipe:
    r"""Riemannian Hamiltonian VAE (Chadebec et al., 2020, 2022): a `hamiltonian_vae` whose latent space has a metric.

    Settings are those of their code but for the metric, whose centroids are learned and not the codes of the training
    data (`elbox.nn.RadialMetric`), and the step size, theirs 0.001.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z; the metric reaches 1.5 units around its centroids, which fill few dimensions only.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity, a smooth one: its second derivative is needed.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        centroids: Number of centroids of the metric.
        steps: Number of steps K.
        step: Size of a step.

    Example:
        >>> import elbox
        >>> elbox.recipes.riemannian_hamiltonian_vae(elbox.DataSpec((784,), "binary")).model.posterior.steps
        3
    """
    base = vae(data, latent, hidden, activation, likelihood, 0.0)
    prior, decoder, posterior = _parts(base)
    flow = RiemannianHamiltonian(posterior, prior, decoder, RadialMetric(latent, centroids), steps, step)
    return replace(base, model=VAE(prior, decoder, flow), estimator=Reparameterized())


def _parts(base: Recipe) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Prior, likelihood and posterior."""
    assert base.model.prior is not None
    return base.model.prior, base.model.likelihood, base.model.posterior
