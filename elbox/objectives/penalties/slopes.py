r"""Squared Frobenius norms of Jacobians: how fast the code moves with x, and the mean of p(x|z) with the code.

Exactly, a norm takes one pass for each of the D latent dimensions, ‖J‖² = Σ_d ‖J e_d‖² (or ‖Jᵀ e_d‖²), all of them in
one batch. With n random vectors v of independent signs it takes n passes, (1/n) Σ ‖J v‖², whose mean is ‖J‖² since
E[v vᵀ] = I.

Reference: Hutchinson (1990), *A stochastic estimator of the trace of the influence matrix for Laplacian smoothing
splines*.
"""

from __future__ import annotations

__all__ = ["Contractive", "DecoderSlope"]

import torch
from torch import Tensor
from torch.distributions import Distribution

from elbox.distributions.support import family, mean
from elbox.errors import IncompatibleError, check_number, check_whole
from elbox.objectives.penalized import Penalty
from elbox.parts import part
from elbox.schedules import Schedule
from elbox.terms import Terms


@part
class Contractive(Penalty):
    r"""‖∂f(x)/∂(x/s)‖²_F, with f(x) = E[z|x] the code and s the scale of the data.

    A code that merely shrinks lowers it for nothing; the paper binds the decoder's weights to the encoder's
    (`elbox.nn.Transposed`), a `WeightNorm` of the decoder helps too.

    Reference: Rifai et al. (2011), *Contractive auto-encoders: explicit invariance during feature extraction*, §2.

    Arguments:
        weight: Factor ≥ 0, a number or a `Schedule`.
        scale: s, the unit in which x moves, so that the penalty does not depend on the unit of the data.
        probes: Number n of random vectors; None for the exact norm.

    Raises:
        SettingError: if the scale is not positive, or there are no probes.
        IncompatibleError: if there is no mean of q(z|x) (Cauchy) or no formula for it, as for flows, or no slope
            (`LocalNormal`).

    Example:
        >>> import torch, elbox
        >>> terms = elbox.recipes.ae(elbox.DataSpec((5,), "binary"), latent=2).model.terms(torch.ones(3, 5))
        >>> Contractive()(terms).shape
        torch.Size([3])
    """

    def __init__(self, weight: float | Schedule = 1.0, scale: float = 1.0, probes: int | None = None) -> None:
        _check(scale, probes)
        self.weight, self.scale, self.probes = weight, scale, probes

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        assert terms.encode is not None
        encode = terms.encode
        try:
            codes, pull = torch.func.vjp(lambda x: _mean(encode(x)), terms.x)[:2]
        except RuntimeError as error:  # functorch's word for an optimisation inside
            raise IncompatibleError(
                "Contractive needs a posterior whose mean is differentiable in x, and this one is found by "
                "optimisation; use a DiagonalNormal posterior"
            ) from error
        (rows,) = torch.vmap(pull)(_probes(codes, self.probes))  # Jᵀ v of each v, [n, B, *event]
        return _squared(rows * self.scale, exact=self.probes is None)


@part
class DecoderSlope(Penalty):
    r"""‖∂g(z)/∂z‖²_F / s² at the codes, with g(z) = E[x|z] the decoder's mean and s the scale of the data.

    The gradient penalty of a regularised autoencoder. It moves the decoder, and the codes to where it is flat.

    Reference: Ghosh et al. (2020), *From variational to deterministic autoencoders*, §3 (RAE-GP).

    Arguments:
        weight: Factor ≥ 0, a number or a `Schedule`.
        scale: s, the unit in which x̂ moves, so that the penalty does not depend on the unit of the data.
        probes: Number n of random vectors; None for the exact norm.

    Raises:
        SettingError: if the scale is not positive, or there are no probes.

    Example:
        >>> import torch, elbox
        >>> terms = elbox.recipes.ae(elbox.DataSpec((5,), "binary"), latent=2).model.terms(torch.ones(3, 5))
        >>> DecoderSlope()(terms).shape
        torch.Size([3])
    """

    def __init__(self, weight: float | Schedule = 1.0, scale: float = 1.0, probes: int | None = None) -> None:
        _check(scale, probes)
        self.weight, self.scale, self.probes = weight, scale, probes

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        assert terms.decode is not None
        (group,) = terms.groups.values()
        v = _probes(group.z, self.probes)  # [n, K, B, D]
        with torch.enable_grad():
            codes = group.z.repeat(len(v), 1, 1).requires_grad_()
            made = terms.decode(codes).mean
            along = torch.zeros_like(made).requires_grad_()
            (pulled,) = torch.autograd.grad(made, codes, along, create_graph=True)  # Jᵀ u, whose slope in u along v
            (columns,) = torch.autograd.grad(
                pulled, along, v.flatten(0, 1), create_graph=True
            )  # is J v, [n K, B, *event]
        columns = columns.unflatten(0, v.shape[:2]).flatten(1, 2) / self.scale
        return _squared(columns, exact=self.probes is None).unflatten(0, v.shape[1:3]).mean(0)


def _probes(z: Tensor, n: int | None) -> Tensor:
    """The unit vectors, or n vectors of random signs, for each code [..., D]: [D or n, ..., D]."""
    if n is None:
        units = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
        return units.reshape(-1, *[1] * (z.dim() - 1), z.shape[-1]).expand(-1, *z.shape)
    return 2 * torch.randint(2, (n, *z.shape), device=z.device).to(z.dtype) - 1


def _squared(vectors: Tensor, *, exact: bool) -> Tensor:
    """Σ_n ‖v_n‖², or its mean, of vectors [n, B, *event]: [B]."""
    squares = vectors.square().flatten(2).sum(-1)
    return squares.sum(0) if exact else squares.mean(0)


def _mean(q: Distribution) -> Tensor:
    found = mean(q)
    if found is None:
        raise IncompatibleError(
            f"Contractive needs the mean of the posterior, and {type(family(q)).__name__} has none or no formula for "
            "it; use a DiagonalNormal posterior"
        )
    return found


def _check(scale: float, probes: int | None) -> None:
    check_number("scale", scale, positive=True)
    if probes is not None:
        check_whole("probes", probes, hint=", or None for the exact norm")
