"""Variational autoencoders with discrete latent variables."""

from __future__ import annotations

__all__ = ["gumbel_vae", "nvil", "rebar", "relax", "vimco"]

from collections.abc import Sequence

from torch import nn

from elbox.estimators import NVIL, REBAR, RELAX, VIMCO, Relaxed
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import MLP
from elbox.objectives import ELBO, IWAE
from elbox.posteriors import BernoulliCode, CategoricalCode
from elbox.priors import BernoulliPrior, CategoricalPrior
from elbox.recipes.base import Recipe, default_likelihood, recipe
from elbox.schedules import Exponential, Schedule
from elbox.spec import DataSpec


@recipe
def nvil(
    data: DataSpec,
    latent: int = 200,
    hidden: Sequence[int] = (),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
    baseline: int = 100,
) -> Recipe:
    r"""NVIL (Mnih & Gregor, 2014): a sigmoid belief network of one layer, REINFORCE with C(x) + c as baseline.

    p(z) = Π Bernoulli(σ(l_d)), learned; q(z|x) and p(x|z) are linear in x and in z = ±1 without hidden layers. The
    signal is centred by a moving average and divided by its running standard deviation, both with decay 0.8.

    Arguments:
        data: Shape and kind of the data.
        latent: Number of bits.
        hidden: Widths of the encoder's hidden layers, none for a linear model; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        baseline: Width of the one hidden layer (tanh) of the network C.

    Example:
        >>> import elbox
        >>> elbox.recipes.nvil(elbox.DataSpec((784,), "binary")).estimator.baseline.decay
        0.8
    """
    model = _sigmoid_belief_network(data, latent, hidden, activation, likelihood)
    return Recipe(model, ELBO(), NVIL(_scalar(data, baseline), decay=0.8, normalize=True))


@recipe
def vimco(
    data: DataSpec,
    latent: int = 200,
    samples: int = 5,
    hidden: Sequence[int] = (),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""VIMCO (Mnih & Rezende, 2016): L_K = log 1/K Σ_k w_k of a sigmoid belief network of one layer.

    Arguments:
        data: Shape and kind of the data.
        latent: Number of bits.
        samples: Number K ≥ 2 of importance samples.
        hidden: Widths of the encoder's hidden layers, none for a linear model; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.vimco(elbox.DataSpec((784,), "binary"), samples=10).objective.samples
        10
    """
    return Recipe(_sigmoid_belief_network(data, latent, hidden, activation, likelihood), IWAE(samples), VIMCO())


@recipe
def rebar(
    data: DataSpec,
    latent: int = 200,
    hidden: Sequence[int] = (),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
    baseline: int = 100,
    temperature: float = 0.5,
) -> Recipe:
    r"""REBAR (Tucker et al., 2017): ∇E[f(b)] with the relaxed f as control variate, on their 200H–784V network.

    `hidden=(200, 200)` is their nonlinear network.

    Arguments:
        data: Shape and kind of the data.
        latent: Number of bits.
        hidden: Widths of the encoder's hidden layers, none for a linear model; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        baseline: Width of the one hidden layer (tanh) of the baseline C(x).
        temperature: λ > 0 at the start.

    Example:
        >>> import elbox
        >>> elbox.recipes.rebar(elbox.DataSpec((784,), "binary")).estimator.scale.item()
        1.0
    """
    model = _sigmoid_belief_network(data, latent, hidden, activation, likelihood)
    return Recipe(model, ELBO(), REBAR(_scalar(data, baseline), temperature))


@recipe
def relax(
    data: DataSpec,
    latent: int = 200,
    hidden: Sequence[int] = (),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
    surrogate: int = 200,
    temperature: float = 0.5,
) -> Recipe:
    r"""RELAX (Grathwohl et al., 2018, §3.3): REBAR with c(ζ) = η f(σ_λ(ζ)) + r(σ_λ(ζ), x), r a network.

    In the paper r sees ζ itself; in the authors' code ζ and x, through two ReLU layers, and η multiplies it too.

    Arguments:
        data: Shape and kind of the data.
        latent: Number of bits.
        hidden: Widths of the encoder's hidden layers, none for a linear model; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        surrogate: Width of the one hidden layer (tanh) of the network r.
        temperature: λ > 0 at the start.

    Example:
        >>> import elbox
        >>> elbox.recipes.relax(elbox.DataSpec((784,), "binary"), surrogate=50).estimator.surrogate.outputs
        (1,)
    """
    model = _sigmoid_belief_network(data, latent, hidden, activation, likelihood)
    return Recipe(model, ELBO(), RELAX(MLP(latent, [surrogate], 1, nn.Tanh, data.dims), None, temperature))


@recipe
def gumbel_vae(
    data: DataSpec,
    latent: int = 20,
    categories: int = 10,
    hidden: Sequence[int] = (200,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    temperature: float | Schedule | None = None,
) -> Recipe:
    r"""The Gumbel-softmax VAE (Jang, Gu & Poole, 2017): categorical codes, trained as softmax((l + noise)/λ).

    p(z) is learned (§4.2), the KL in closed form. The gradient is biased, that of the relaxed model. The temperature
    falls exponentially, as theirs does.

    Arguments:
        data: Shape and kind of the data.
        latent: Number of categorical variables.
        categories: Number of categories of each.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        temperature: λ > 0, a number or a schedule; None falls from 1 to 0.5 over the run.

    Example:
        >>> import elbox
        >>> elbox.recipes.gumbel_vae(elbox.DataSpec((784,), "binary")).model.sample(3).shape
        torch.Size([3, 784])
    """
    cls = default_likelihood(data, likelihood)
    shape = CategoricalCode.output_shape(latent, categories)
    encoder = MLP(data.event_shape, hidden, shape, activation, offset=data.offset, scale=data.scale)
    decoder = MLP(latent * categories, list(hidden)[::-1], cls.output_shape(data), activation)
    posterior = CategoricalCode(encoder, latent, categories)
    model = VAE(CategoricalPrior(latent, categories, learned=True), cls.for_data(decoder, data), posterior)
    return Recipe(model, ELBO(), Relaxed(Exponential(1.0, 0.5) if temperature is None else temperature))


def _sigmoid_belief_network(
    data: DataSpec,
    latent: int,
    hidden: Sequence[int],
    activation: type[nn.Module],
    likelihood: type[Likelihood] | None,
) -> VAE:
    """One layer of bits, seen by the decoder as ±1, with a learned prior."""
    cls = default_likelihood(data, likelihood)
    encoder = MLP(data.event_shape, hidden, latent, activation, offset=data.offset, scale=data.scale)
    decoder = MLP(latent, list(hidden)[::-1], cls.output_shape(data), activation, offset=0.5, scale=0.5)
    return VAE(BernoulliPrior(latent, learned=True), cls.for_data(decoder, data), BernoulliCode(encoder, latent))


def _scalar(data: DataSpec, width: int) -> MLP:
    """A network from the data to one number."""
    return MLP(data.event_shape, [width], 1, nn.Tanh, offset=data.offset, scale=data.scale)
