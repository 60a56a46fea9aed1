r"""Steps of a flow, conditioned on features h of x: lazy transforms z_{t−1} ↦ z_t = f(z_{t−1} | h) as zuko's.

A step is called with h [B, C] and returns a `torch.distributions.Transform` whose `call_and_ladj` gives z_t and
log |det ∂f/∂z|. Most are zuko's with names, sizes and a way to be saved; planar, radial and Sylvester steps are what
zuko lacks. `Autoregressive` and `Coupling` take a `Univariate`: what is done with one dimension given the others.
"""

from elbox.flows.autoregressive import Autoregressive, Inverse
from elbox.flows.basis import Basis, Householder, Orthogonal, Triangular
from elbox.flows.continuous import Continuous
from elbox.flows.coupling import Coupling
from elbox.flows.elementwise import Affine, Gate, Shift
from elbox.flows.linear import Linear
from elbox.flows.monotone import Neural, Spline
from elbox.flows.planar import Planar
from elbox.flows.radial import Radial
from elbox.flows.sylvester import Sylvester
from elbox.flows.univariate import Univariate

__all__ = [
    "Affine",
    "Autoregressive",
    "Basis",
    "Continuous",
    "Coupling",
    "Gate",
    "Householder",
    "Inverse",
    "Linear",
    "Neural",
    "Orthogonal",
    "Planar",
    "Radial",
    "Shift",
    "Spline",
    "Sylvester",
    "Triangular",
    "Univariate",
]
