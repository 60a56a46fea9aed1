"""A normalising flow as prior, one that can be saved."""

from __future__ import annotations

__all__ = ["FLOWS", "Flow"]

from collections.abc import Sequence
from typing import Any

import zuko
from torch import nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox import parts
from elbox.errors import SettingError, check_whole
from elbox.parts import part

FLOWS = (
    zuko.flows.MAF,
    zuko.flows.NSF,
    zuko.flows.NICE,
    zuko.flows.RealNVP,
    zuko.flows.NAF,
    zuko.flows.UNAF,
    zuko.flows.SOSPF,
    zuko.flows.BPF,
)

parts.FAMILIES.update({kind.__name__: kind for kind in FLOWS})


@part
class Flow(LazyDistribution):
    r"""p(z) = N(f(z); 0, I) |det ∂f/∂z|, with f = f_L ∘ … ∘ f_1 a flow of zuko: any zuko flow is a prior as it stands,
    this one can be saved too.

    An autoregressive f takes one pass for a density, which training needs, and D passes for a sample; couplings (NICE,
    RealNVP) take one for both. `zuko.flows.NSF`'s splines bend [−5, 5] alone, in each dimension.

    Reference: Rezende & Mohamed (2015), *Variational inference with normalizing flows*; Chen et al. (2017),
    *Variational lossy autoencoder* (an autoregressive flow as prior); Papamakarios et al. (2017), *Masked
    autoregressive flow for density estimation*.

    Arguments:
        latent: Dimension D of z.
        kind: Class of the flow, one of `elbox.priors.flow.FLOWS`: MAF, NSF, NICE, RealNVP, NAF, UNAF, SOSPF, BPF.
        steps: Number L of transformations.
        hidden: Widths of the hidden layers of each one's network.
        activation: Non-linearity of these networks.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Raises:
        SettingError: if the kind is none of these.

    Example:
        >>> import zuko
        >>> Flow(3, zuko.flows.NSF, steps=2)().sample((4,)).shape
        torch.Size([4, 3])
    """

    def __init__(
        self,
        latent: int,
        kind: type[LazyDistribution] = zuko.flows.MAF,
        steps: int = 4,
        hidden: Sequence[int] = (128, 128),
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_whole("steps", steps)
        if kind not in FLOWS:
            known = ", ".join(f.__name__ for f in FLOWS)
            raise SettingError(
                f"got the flow {getattr(kind, '__name__', kind)}; expected one of {known} of zuko.flows: another flow "
                "is a prior as it stands"
            )
        self.flow = kind(latent, transforms=steps, hidden_features=tuple(hidden), activation=activation)

    def forward(self, c: Any = None) -> Distribution:
        return self.flow()
