"""The path-derivative estimator: sticking the landing and the doubly reparameterised gradient in one."""

from __future__ import annotations

__all__ = ["Path"]

import torch
from torch import Tensor

from elbox import draws
from elbox.errors import IncompatibleError
from elbox.estimators.base import Estimate, Estimator
from elbox.objectives import Objective
from elbox.parts import part
from elbox.terms import Terms


def scale_gradient(value: Tensor, z: Tensor, scale: Tensor) -> Tensor:
    """`value` as it is, but any gradient that reaches z, [K, B, ...], is multiplied by `scale`, [K, B].

    A hook, because the scale is known only after z was used. Dynamo cannot trace hooks on intermediate tensors; as one
    opaque call in the graph it reaches the tracer of the backward pass, which follows the hook like any operation.
    """
    if type(z.grad_fn).__name__ == "Error":  # torch's mark of what enters a graph from outside: a hook there is lost
        raise IncompatibleError(
            "Path() got samples that were drawn outside the compiled graph, where their gradient cannot be scaled; "
            "compile with fullgraph=True, or use Reparameterized()"
        )
    if z.requires_grad:
        factor = scale.detach().reshape(*scale.shape, *(1 for _ in range(z.dim() - scale.dim())))
        z.register_hook(lambda gradient: gradient * factor)
    return value.view_as(value)


@part
class Path(Estimator):
    r"""Only the path z(φ) carries gradients to the posterior's parameters φ; the score of q is dropped, or
    reparameterised again.

    log q(z|x) is evaluated with φ held fixed, and the gradient that reaches sample z_k of example b is multiplied by
    the objective's `path_scale`: 1 for the ELBO (*sticking the landing*: no variance at the optimum), α + (1 − α) ŵ_kb
    for the Rényi bounds (DReG for IWAE: the signal-to-noise ratio does not fall with K). Parameters of prior and
    likelihood are not affected.

    Reference: Roeder, Wu & Duvenaud (2017), *Sticking the landing*, §3; Tucker et al. (2019), *Doubly
    reparameterized gradient estimators*, §3.

    Raises:
        IncompatibleError: if the objective is not separable, or the posterior has no reparameterised sampler.

    Example:
        >>> import torch, elbox
        >>> recipe = elbox.recipes.iwae(elbox.DataSpec((5,), "binary"), latent=2, samples=10)
        >>> Path()(recipe.model, torch.ones(3, 5), recipe.objective).objective.shape
        torch.Size([3])
    """

    def __init__(self) -> None:
        torch.compiler.allow_in_graph(scale_gradient)  # here, because it loads the compiler, a second that others save

    @property
    def draw(self) -> draws.DrawFunction:
        return draws.path

    def check(self, objective: Objective) -> None:
        if not objective.separable:
            raise IncompatibleError(
                "Path needs an objective that is smooth in each example's log-densities, and "
                f"this {type(objective).__name__} is not; use Reparameterized()"
            )

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        if len(terms.groups) > 1 and not objective.uses_rate:
            raise IncompatibleError(
                f"Path scales the gradient of one group of latent variables, got {len(terms.groups)} groups with "
                f"{type(objective).__name__}; use Reparameterized(), or Path() with ELBO()"
            )
        value = objective(terms, progress)
        loss, scale = -value.mean(), objective.path_scale(terms)
        for group in terms.groups.values():
            loss = scale_gradient(loss, group.z, scale)
        return Estimate(loss, value, terms)
