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

__all__ = ["Draw", "DrawFunction", "path", "reparameterized", "sample", "score"]

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal
from torch.func import functional_call

from elbox.distributions import Delta
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
    if hasattr(q, "rsample_and_log_prob"):  # flows: the density of a flow's own sample needs no inversion
        z, log_qz = q.rsample_and_log_prob((samples,))
        return Draw(z, log_qz, q)
    z = q.rsample((samples,))
    return Draw(z, q.log_prob(z), q)


def path(posterior: nn.Module, context: Any, samples: int) -> Draw:
    r"""Reparameterised z, scored by q with its parameters held fixed: only the path z(φ) carries gradients to φ.

    Reference: Roeder, Wu & Duvenaud (2017), *Sticking the landing*, eq. 6.

    Arguments: as `reparameterized`.

    Raises:
        IncompatibleError: if the posterior has no reparameterised sampler.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> path(DiagonalNormal(MLP(5, [], (2, 2)), 2), torch.ones(3, 5), 4).log_qz.shape
        torch.Size([4, 3])
    """
    q = _with_rsample(posterior(context))
    z = q.rsample((samples,))
    return Draw(z, _held_fixed(posterior, context, q).log_prob(z), q)


def score(posterior: nn.Module, context: Any, samples: int) -> Draw:
    """Samples without gradients; log q(z|x) carries them (Williams, 1992). Works for discrete latents too.

    Arguments: as `reparameterized`; the posterior needs only `sample` and `log_prob`.

    Raises:
        IncompatibleError: if the posterior is deterministic.

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


def _with_rsample(q: Distribution) -> Distribution:
    if not q.has_rsample:
        raise IncompatibleError(
            f"a reparameterised gradient needs a posterior with rsample, and {type(q).__name__} has none; use Score()"
        )
    return q


def _held_fixed(posterior: nn.Module, context: Any, q: Distribution) -> Distribution:
    """q with its parameters as constants, whatever kind of distribution it is."""
    fixed = _detached(q) if not _requires_grad(context) else None
    if fixed is None:  # evaluate the posterior once more, with constant weights; a differentiable context stays so
        if posterior.training and any(_is_random(m) for m in posterior.modules()):
            raise IncompatibleError(
                f"Path() evaluates a posterior such as {type(q).__name__} twice, and this one draws random numbers of its "
                "own (corruption, dropout), others each time; use Reparameterized()"
            )
        constants = {n: p.detach() for n, p in posterior.named_parameters()}
        fixed = functional_call(posterior, constants, (context,))
    return fixed


def _is_random(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.dropout._DropoutNd) or getattr(module, "draws_noise", False)


def _requires_grad(context: Any) -> bool:
    tensors = context if isinstance(context, tuple) else (context,)
    return any(t.requires_grad for t in tensors if isinstance(t, Tensor))


def _detached(q: Distribution) -> Distribution | None:
    """A copy with detached parameters for the families where that is cheap and certain, else None."""
    if type(q) is Normal:
        return Normal(q.loc.detach(), q.scale.detach(), validate_args=False)
    if type(q) is MultivariateNormal:
        return MultivariateNormal(q.loc.detach(), scale_tril=q.scale_tril.detach(), validate_args=False)
    if type(q) is Independent:
        base = _detached(q.base_dist)
        return base and Independent(base, q.reinterpreted_batch_ndims, validate_args=False)
    return None
