"""Everything that a training step touches, in one module, so that compilation, precision and DDP wrap one object."""

from __future__ import annotations

__all__ = ["Step"]

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Step(nn.Module):
    r"""One forward pass of training: a raw batch in, the loss and the terms to log out.

    Arguments:
        model: The joint model.
        objective: What training maximises.
        estimator: Called as `estimator(model, x, objective, progress=...)`; returns (loss, objective [B], terms).
        prepare: Raw rows → model input, such as float conversion or dynamic binarisation.

    Shapes:
        batch [B, *event] → (loss [], logs of scalars in nats: objective, distortion, rate, elbo, rate/<group> for each
        of several groups, and what the estimator reports of itself).

    Example:
        >>> import elbox
        >>> r = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> loss, logs = Step(r.model, r.objective, r.estimator)(torch.ones(3, 5, dtype=torch.uint8))
        >>> sorted(logs)
        ['distortion', 'elbo', 'objective', 'rate']
    """

    progress: Tensor

    def __init__(
        self, model: nn.Module, objective: Any, estimator: Callable[..., Any], prepare: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.model, self.objective, self.estimator = model, objective, estimator
        self.prepare = prepare
        robust = bool(getattr(getattr(model, "likelihood", None), "robust", False))  # to rounding: see Likelihood
        self.robust = robust and bool(getattr(estimator, "robust", True))
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    def forward(self, batch: Tensor, c: Any = None) -> tuple[Tensor, dict[str, Tensor]]:
        x = (batch if self.prepare is None else self.prepare(batch)).to(self.progress.dtype)
        loss, objective, terms = self.estimator(self.model, x, self.objective, c=c, progress=self.progress)
        distortion, rate = terms.distortion.mean(), terms.rate.mean()
        logs = {"objective": objective.mean(), "distortion": distortion}
        if all(group.has_rate for group in terms.groups.values()):  # an autoencoder has no rate and no bound
            logs |= {"rate": rate, "elbo": -(distortion + rate)}
        if len(terms.groups) > 1:
            logs |= {f"rate/{name}": group.rate.mean() for name, group in terms.groups.items()}
        logs |= getattr(self.estimator, "logs", dict)()  # such as a rate of acceptance
        return loss, {name: value.detach() for name, value in logs.items()}
