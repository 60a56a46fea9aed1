"""The latent space: codes of examples, decoded codes, and walks between and around them."""

from __future__ import annotations

__all__ = ["decode", "encode", "in_chunks", "interpolate", "manifold", "most_active", "traverse"]

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from elbox.errors import IncompatibleError, SettingError, ShapeError, check_whole
from elbox.evaluate.chunks import MEMORY, bytes_written, rows_within
from elbox.evaluate.scope import Examples, like_model, measuring, on_device
from elbox.evaluate.weights import posterior_mean
from elbox.model import VAE

DRAWS = 100  # for the mean of a posterior without a formula for it
PRIOR_DRAWS = 2**16  # for the quantiles of a prior without a formula for them


def encode(model: VAE, x: Examples, *, c: Tensor | None = None, memory: int = MEMORY) -> Tensor:
    """Posterior means E_q[z] of examples; where there is no formula for the mean, as for flows, of 100 draws (seed 0).

    Arguments:
        model: A VAE or an autoencoder.
        x: Data [N, *event], of any type.
        c: Condition [N, ...], or None.
        memory: Budget in bytes for the tensors of one chunk.

    Returns:
        [N, D] on the CPU.

    Raises:
        ShapeError: if the data do not fit the model.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> encode(model, torch.ones(3, 5)).shape
        torch.Size([3, 2])
    """

    def means(x: Tensor, c: Tensor | None) -> Tensor:
        return _mean(model.encode(x, c=c))

    return in_chunks(model, means, x, c, memory)


def decode(model: VAE, z: Tensor, *, c: Tensor | None = None, memory: int = MEMORY) -> Tensor:
    """Means of p(x|z) of codes.

    Arguments:
        model: A VAE or an autoencoder.
        z: Codes [N, D].
        c: Condition [N, ...], or None.
        memory: Budget in bytes for the tensors of one chunk.

    Returns:
        [N, *event] on the CPU.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> decode(model, torch.zeros(3, 2)).shape
        torch.Size([3, 5])
    """

    def means(z: Tensor, c: Tensor | None) -> Tensor:
        return model.decode(z, c=c).mean

    return in_chunks(model, means, z, c, memory)


def interpolate(model: VAE, a: Tensor, b: Tensor, steps: int = 10, *, spherical: bool = False) -> Tensor:
    r"""Means of p(x|z) along the way from one example's posterior mean to another's, ends included.

    The way is the straight line (1 − t) z_a + t z_b or, if `spherical`, [sin((1 − t)θ) z_a + sin(tθ) z_b] / sin θ with
    θ the angle between the two, which keeps to lengths that are typical of a normal prior in many dimensions.

    Reference: White (2016), *Sampling generative networks*, §2.1 (the spherical way).

    Arguments:
        model: A VAE or an autoencoder.
        a: One example [*event].
        b: Another [*event].
        steps: Number of points ≥ 2.
        spherical: Go along the great circle.

    Returns:
        [steps, *event].

    Raises:
        SettingError: if there are fewer than 2 steps.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> interpolate(model, torch.zeros(5), torch.ones(5), steps=7).shape
        torch.Size([7, 5])
    """
    check_whole("steps", steps, 2, hint=": both ends are included")
    start, end = encode(model, torch.stack([a, b]))
    t = torch.linspace(0, 1, steps, dtype=start.dtype)[:, None]
    return decode(model, _great_circle(start, end, t) if spherical else torch.lerp(start, end, t))


def traverse(model: VAE, x: Tensor, dimension: int, values: Sequence[float] | Tensor) -> Tensor:
    """Means of p(x|z) of an example's posterior mean with one latent dimension set to each of the values.

    Arguments:
        model: A VAE or an autoencoder.
        x: One example [*event].
        dimension: Which latent dimension, 0 … D − 1.
        values: V values for it.

    Returns:
        [V, *event].

    Raises:
        SettingError: if there is no such dimension.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> traverse(model, torch.ones(5), 1, [-2.0, 0.0, 2.0]).shape
        torch.Size([3, 5])
    """
    code = encode(model, x[None])
    if not 0 <= dimension < code.shape[1]:
        raise SettingError(f"got dimension={dimension}; expected a latent dimension from 0 to {code.shape[1] - 1}")
    values = torch.as_tensor(values, dtype=code.dtype)
    codes = code.repeat(len(values), 1)
    codes[:, dimension] = values
    return decode(model, codes)


def manifold(model: VAE, n: int = 20) -> Tensor:
    r"""Means of p(x|z) on a grid of the prior's quantiles, for 2-D latent variables.

    z = (F_1^{-1}(u), F_2^{-1}(v)) for u, v = 1/2n, 3/2n, …, with F_d the distribution function of z_d under the prior
    (where there is no formula for it, the quantiles of 65 536 draws).

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, figure 4.

    Arguments:
        model: A VAE with 2 latent dimensions.
        n: Points along each axis.

    Returns:
        [n, n, *event]; z_1 grows to the right, along the second axis, and z_2 upwards, against the first: as in a plot.

    Raises:
        IncompatibleError: if the model is an autoencoder or has not 2 latent dimensions.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> manifold(model, 4).shape
        torch.Size([4, 4, 5])
    """
    if model.prior is None:
        raise IncompatibleError("got manifold on an autoencoder, which has no prior; train a VAE, e.g. the recipe vae")
    with measuring(model, 0):
        prior = model.prior(None)
        if tuple(prior.event_shape) != (2,):
            raise IncompatibleError(
                f"got a model with latent variables of shape {tuple(prior.event_shape)}; expected 2 latent dimensions: "
                "use traverse or interpolate, or train with latent=2"
            )
        grid = _quantiles(prior, (torch.arange(n) + 0.5) / n).cpu()  # [n, 2]
    up, right = torch.meshgrid(grid[:, 1].flip(0), grid[:, 0], indexing="ij")
    return decode(model, torch.stack([right, up], -1).flatten(0, 1)).unflatten(0, (n, n))


def most_active(model: VAE, x: Tensor, count: int | None = None) -> list[int]:
    """Latent dimensions by falling variance of the posterior means over the examples, Var_x(E_q[z_d]).

    Arguments:
        model: A VAE or an autoencoder.
        x: At least two examples [N, *event].
        count: How many at most; None for all.

    Raises:
        ShapeError: if there are fewer than two examples.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=3).model
        >>> len(most_active(model, torch.eye(5), 2))
        2
    """
    if len(x) < 2:
        raise ShapeError(f"got data of shape {tuple(x.shape)}; expected at least two examples, to see what varies")
    return encode(model, x).var(0).argsort(descending=True)[:count].tolist()


def in_chunks(
    model: VAE,
    function: Callable[[Tensor, Tensor | None], Tensor],
    rows: Examples,
    c: Tensor | None,
    memory: int,
    seed: int = 0,
) -> Tensor:
    """What a function of rows and conditions returns for all rows, on the CPU, in chunks of bounded memory."""
    if len(rows) == 0:
        raise ShapeError(f"got a tensor of shape {tuple(rows.shape)}; expected at least one row")

    def apply(part: slice) -> Tensor:
        return function(like_model(model, rows[part]), on_device(model, c, part))

    with measuring(model, seed):
        size = rows_within(memory, bytes_written(lambda: apply(slice(0, 1))), like_model(model, rows[:1]).device)
        first = apply(slice(0, size))
        found = torch.empty(len(rows), *first.shape[1:], dtype=first.dtype)
        found[:size] = first.cpu()
        for i in range(size, len(rows), size):
            found[i : i + size] = apply(slice(i, i + size)).cpu()
    return found


def _mean(q: Distribution) -> Tensor:
    mean = posterior_mean(q)
    return q.sample(torch.Size([DRAWS])).mean(0) if mean is None else mean


def _great_circle(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=0).clamp(-1, 1)
    angle = math.acos(float(cosine))
    if math.sin(angle) < 1e-4 or not (a.any() and b.any()):  # on one line: there is no one great circle
        return torch.lerp(a, b, t)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / math.sin(angle)


def _quantiles(prior: Distribution, u: Tensor) -> Tensor:
    """Marginal quantiles [n, D] of the prior."""
    if isinstance(prior, Independent):
        try:
            return prior.base_dist.icdf(u.to(prior.mean)[:, None])
        except NotImplementedError:
            pass
    z = prior.sample(torch.Size([PRIOR_DRAWS]))
    return torch.quantile(z, u.to(z), dim=0)
