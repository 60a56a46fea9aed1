"""A posterior made richer by auxiliary latent variables."""

from __future__ import annotations

__all__ = ["Auxiliary"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.types import _size
from zuko.lazy import LazyDistribution

from elbox.distributions.own_draws import OwnDraws
from elbox.draws import Draw, DrawFunction
from elbox.errors import check_whole
from elbox.parts import part
from elbox.terms import Group


@part
class Auxiliary(LazyDistribution):
    r"""q(z|x) = ∫ q(a|x) q(z|a, x) da, a mixture of ever so many, with the bound

        log p(x) ≥ E_{q(a|x) q(z|a,x)}[ log p(x, z) + log r(a|x, z) − log q(a|x) − log q(z|a, x) ],

    below the ELBO of q(z|x) by E KL(q(a|x, z) ‖ r(a|x, z)), what not knowing q(z|x) costs. The auxiliary variables are
    a group "a" of latent variables beside z, with r as their prior; neither prior nor likelihood see them. The rates
    of the two belong together: that of a alone is E KL(q(a|x, z) ‖ r) less the information between a and z, and may
    well be negative. It has no closed form: r is conditioned on z, which was drawn given a.

    Estimators that score z and a jointly are unbiased: `Reparameterized`, `Score`, and `Path` with the ELBO.

    Reference: Maaløe et al. (2016), *Auxiliary deep generative models*, §2.2; Ranganath et al. (2016), *Hierarchical
    variational models*, §2.

    Arguments:
        auxiliary: q(a|x).
        posterior: q(z|a, x), of contexts (x, a), such as `DiagonalNormal(MLP(..., context=A), latent)`.
        reverse: r(a|x, z), of contexts (x, z), likewise.
        latent: Dimension D of z.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D], whose density is known of its own draws alone.

    With a condition c [B, C] the contexts are (x, [c, a]) and (x, [c, z]), side by side.

    Example:
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> q = Auxiliary(DiagonalNormal(MLP(5, [8], (2, 3)), 3), DiagonalNormal(MLP(5, [8], (2, 2), context=3), 2),
        ...               DiagonalNormal(MLP(5, [8], (2, 3), context=2), 3), 2)
        >>> q(torch.ones(4, 5)).sample((7,)).shape
        torch.Size([7, 4, 2])
    """

    def __init__(self, auxiliary: nn.Module, posterior: nn.Module, reverse: nn.Module, latent: int) -> None:
        super().__init__()
        check_whole("latent", latent)
        self.auxiliary, self.posterior, self.reverse, self.latent = auxiliary, posterior, reverse, latent

    def forward(self, c: Any = None) -> Distribution:
        return _Margin(self, c)

    def drawn(self, context: Any, samples: int, draw: DrawFunction) -> tuple[Draw, dict[str, Group]]:
        """The draw of z, and the group "a" of the auxiliary variables that it was drawn with.

        Arguments:
            context: x [B, *event], or (x, c).
            samples: K.
            draw: How both are drawn and scored (`elbox.draws`).
        """
        a, log_qa, qa = draw(self.auxiliary, context, samples)
        x, *condition = (t.expand(samples, *t.shape) for t in _tensors(context))
        z, log_qz, qz = draw(self.posterior, (x, torch.cat([*condition, a], -1)), 1)
        z, log_qz = z.reshape(*a.shape[:2], -1), log_qz.reshape(a.shape[:2])
        r = self.reverse((x, torch.cat([*condition, z], -1)))
        return Draw(z, log_qz, qz), {"a": Group(a, r.log_prob(a), log_qa, r, qa, below=True)}


class _Margin(OwnDraws):
    """q(z|x) of a batch of contexts."""

    def __init__(self, posterior: Auxiliary, context: Any) -> None:
        super().__init__("Auxiliary", _tensors(context)[0].shape[:1], torch.Size([posterior.latent]))
        self.posterior, self.context = posterior, context

    def rsample_and_log_prob(self, sample_shape: _size = torch.Size()) -> tuple[Tensor, Tensor]:  # noqa: B008
        (z, log_qz, _), groups = self.posterior.drawn(self.context, torch.Size(sample_shape).numel(), _freely)
        log_q = log_qz + groups["a"].log_qz - groups["a"].log_pz
        shape = self._extended_shape(sample_shape)
        return z.reshape(shape), log_q.reshape(shape[:-1])


def _tensors(context: Any) -> tuple[Tensor, ...]:
    return context if isinstance(context, tuple) else (context,)


def _freely(posterior: nn.Module, context: Any, samples: int) -> Draw:
    """A draw with gradients wherever there are any; discrete codes have none."""
    q: Distribution = posterior(context)
    if hasattr(q, "rsample_and_log_prob"):
        z, log_qz = q.rsample_and_log_prob((samples,))
    else:
        z = (q.rsample if q.has_rsample else q.sample)(torch.Size([samples]))
        log_qz = q.log_prob(z)
    return Draw(z, log_qz, q)
