r"""How posterior samples are drawn and scored: the choice by which gradient estimators differ.

A draw takes a posterior, its context and a number of samples K, and returns z ~ q(z|x), [K, B, D], with log q(z|x),
[K, B]. The three draws give the same values; they differ in which gradients flow:

| draw | z carries gradients | parameters of q in log q(z|x) carry gradients |
|---|---|---|
| `reparameterized` | yes | yes |
| `path` | yes | no |
| `score` | no | yes |
"""

from __future__ import annotations

__all__ = ["Draw", "DrawFunction", "again", "path", "reparameterized", "same_context", "sample", "score"]

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.func import functional_call

from elbox.distributions import Code, Delta, Elliptical, Quantized
from elbox.distributions.families import FAMILIES
from elbox.distributions.support import family, moves
from elbox.errors import IncompatibleError


class Draw(NamedTuple):
    """Samples z [K, B, D] of a posterior, their log-density [K, B] in nats, and the posterior itself."""

    z: Tensor
    log_qz: Tensor
    posterior: Distribution


DrawFunction = Callable[[nn.Module, Any, int], Draw]


def reparameterized(posterior: nn.Module, context: Any, samples: int) -> Draw:
    r"""z = g(ε, x) with ε independent of all parameters (Kingma & Welling, 2014, §2.4).

    Arguments:
        posterior: A module whose `forward(context)` returns a distribution with `rsample`.
        context: What it is conditioned on, batch shape [B].
        samples: K.

    Raises:
        IncompatibleError: if the posterior has no reparameterised sampler.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> draw = reparameterized(DiagonalNormal(MLP(5, [], (2, 2)), 2), torch.ones(3, 5), 4)
        >>> draw.z.shape, draw.log_qz.shape
        (torch.Size([4, 3, 2]), torch.Size([4, 3]))
    """
    q = _with_rsample(posterior(context))
    if hasattr(q, "rsample_and_log_prob"):  # the density of a draw of its own: no inversion
        z, log_qz = q.rsample_and_log_prob((samples,))
        return Draw(z, log_qz, q)
    z = q.rsample((samples,))
    return Draw(z, q.log_prob(z), q)


def path(posterior: nn.Module, context: Any, samples: int) -> Draw:
    r"""Reparameterised z, scored by q with its parameters held fixed: only the path z(φ) carries gradients to φ.

    Reference: Roeder, Wu & Duvenaud (2017), *Sticking the landing*, §3.

    Arguments: as `reparameterized`.

    Raises:
        IncompatibleError: if the posterior has no reparameterised sampler, or a support that moves.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> path(DiagonalNormal(MLP(5, [], (2, 2)), 2), torch.ones(3, 5), 4).log_qz.shape
        torch.Size([4, 3])
    """
    q = _with_rsample(posterior(context))
    _refuse_moving(q, "Path()")
    if isinstance(q, Elliptical) and not _requires_grad(context):
        y = q.noise((samples,))
        z = q.at(y)
        return Draw(z, q.detached().log_prob_of(z, y), q)
    z = q.rsample((samples,))
    return Draw(z, _log_prob_held_fixed(posterior, context, q, z), q)


def score(posterior: nn.Module, context: Any, samples: int) -> Draw:
    """Samples without gradients; log q(z|x) carries them (Williams, 1992). Works for discrete latents too.

    Arguments: as `reparameterized`; the posterior needs only `sample` and `log_prob`.

    Raises:
        IncompatibleError: if the posterior is deterministic, or its support moves.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> score(DiagonalNormal(MLP(5, [], (2, 2)), 2), torch.ones(3, 5), 4).z.requires_grad
        False
    """
    q = posterior(context)
    if isinstance(q, Delta):
        raise IncompatibleError("Score() needs a posterior with a density, and Delta has none; use Reparameterized()")
    if isinstance(q, Quantized):
        _refuse_quantized("a score")
    _refuse_moving(q, "Score()")
    if isinstance(q, Elliptical):
        y = q.noise((samples,))
        z = q.at(y).detach()
        return Draw(z, q.log_prob_of(z, y), q)
    z = q.sample((samples,)).detach()
    return Draw(z, q.log_prob(z), q)


def sample(posterior: nn.Module, context: Any, samples: int) -> Draw:
    """Samples and log-densities for evaluation: any posterior, gradients wherever the posterior has them.

    Arguments: as `reparameterized`; the posterior needs only `sample` and `log_prob`.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> sample(DiagonalNormal(MLP(5, [], (2, 2)), 2), torch.ones(3, 5), 4).z.shape
        torch.Size([4, 3, 2])
    """
    q = posterior(context)
    if hasattr(q, "rsample_and_log_prob"):
        z, log_qz = q.rsample_and_log_prob((samples,))
        return Draw(z, log_qz, q)
    z = q.sample((samples,))
    return Draw(z, q.log_prob(z), q)


def again(drawn: Iterable[Draw]) -> DrawFunction:
    """The same samples once more, as constants: for a second player's objective (`elbox.objectives.Split`).

    Arguments:
        drawn: What was drawn, one for each group of latent variables in the order in which the model asks for them.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> posterior, x = DiagonalNormal(MLP(5, [], (2, 2)), 2), torch.ones(3, 5)
        >>> first = reparameterized(posterior, x, 4)
        >>> second = again([first])(posterior, x, 4)
        >>> torch.equal(second.z, first.z), second.z.requires_grad, second.log_qz.requires_grad
        (True, False, False)
    """
    remaining = iter(drawn)

    def draw(posterior: nn.Module, context: Any, samples: int) -> Draw:
        z, log_qz, q = next(remaining)
        fixed = _detached(q)
        return Draw(z.detach(), log_qz.detach(), posterior(context) if fixed is None else fixed)

    return draw


def same_context(a: Any, b: Any) -> bool:
    """Whether two contexts are the same tensors: with a condition, each call of a model makes a tuple of its own.

    Example:
        >>> x, c = torch.ones(3, 5), torch.ones(3, 1)
        >>> same_context((x, c), (x, c)), same_context((x, c), x), same_context(x, x.clone())
        (True, False, False)
    """
    ones, others = _tensors(a), _tensors(b)
    return len(ones) == len(others) and all(one is other for one, other in zip(ones, others))


def _tensors(context: Any) -> tuple[Any, ...]:
    return context if isinstance(context, tuple) else (context,)


def _with_rsample(q: Distribution) -> Distribution:
    if isinstance(q, Quantized):
        _refuse_quantized("a reparameterised gradient")
    if not q.has_rsample:
        way_out = "Score() with ELBO(samples=2)" + (", or StraightThrough()" if isinstance(q, Code) else "")
        raise IncompatibleError(
            f"a reparameterised gradient needs a posterior with rsample, and {type(q).__name__} has none; use {way_out}"
        )
    return q


def _refuse_quantized(what: str) -> None:
    """A point mass has probability 1 whatever its parameters are."""
    raise IncompatibleError(
        f"{what} is that of a posterior whose density depends on its parameters, and Quantized has all its mass on one "
        "code, found by a search; use StraightThrough()"
    )


def _refuse_moving(q: Distribution, estimator: str) -> None:
    """The expectation of the score is not zero (uniform) or its variance infinite (triangular): see `moves`."""
    if moves(q):
        name = type(family(q)).__name__
        raise IncompatibleError(
            f"{estimator} needs a posterior whose support does not move with its parameters, and that of {name} does, "
            "so that its score has not mean zero or no finite variance; use Reparameterized()"
        )


def _log_prob_held_fixed(posterior: nn.Module, context: Any, q: Distribution, z: Tensor) -> Tensor:
    """log q(z|x) with the posterior's weights as constants, whatever its kind; a context stays differentiable."""
    if _requires_grad(context):  # from a group of latent variables above
        weights = {f"posterior.{n}": p.detach() for n, p in posterior.named_parameters()}
        return functional_call(_Density(posterior), weights, (context, z))
    fixed = _detached(q)
    return _density_along(q, z) if fixed is None else fixed.log_prob(z)


class _Density(nn.Module):
    """(context, z) ↦ log q(z|context), in one call: a flow may read its weights only when the density is asked for."""

    def __init__(self, posterior: nn.Module) -> None:
        super().__init__()
        self.posterior = posterior

    def forward(self, context: Any, z: Tensor) -> Tensor:
        return self.posterior(context).log_prob(z)


def _density_along(q: Distribution, z: Tensor) -> Tensor:
    """log q(z) with its derivative to z alone, from this very q: with dropout or corrupted input another differs."""
    if not z.requires_grad:
        return q.log_prob(z)
    with torch.enable_grad():
        at = z.detach().requires_grad_()
        value = q.log_prob(at)
        (slope,) = torch.autograd.grad(value.sum(), at, allow_unused=True, materialize_grads=True)
    return value.detach() + (slope * (z - z.detach())).sum(-1)


def _requires_grad(context: Any) -> bool:
    return any(t.requires_grad for t in _tensors(context) if isinstance(t, Tensor))


def _detached(q: Distribution) -> Distribution | None:
    """A copy with detached parameters for the families where that is cheap and certain, else None."""
    if type(q) in FAMILIES:
        return type(q)(**{name: getattr(q, name).detach() for name in FAMILIES[type(q)]})
    if isinstance(q, Elliptical | Quantized):
        return q.detached()
    if type(q) is Delta:
        return Delta(q.value.detach(), len(q.event_shape))
    if type(q) is Independent:
        base = _detached(q.base_dist)
        return base and Independent(base, q.reinterpreted_batch_ndims, validate_args=False)
    return None
