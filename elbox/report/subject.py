"""What a report is about: a run and its evaluation, with what several sections need computed once."""

from __future__ import annotations

__all__ = ["Subject"]

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Distribution

from elbox.data import Data
from elbox.evaluate import Evaluation, decode, encode
from elbox.evaluate.chunks import MEMORY
from elbox.evaluate.latent import in_chunks
from elbox.evaluate.result import ACTIVE
from elbox.evaluate.scope import measuring
from elbox.model import VAE
from elbox.posteriors import FromPrior
from elbox.priors import StandardNormal
from elbox.runs import Run
from elbox.spec import DataSpec

SHOWN = 10_000  # examples at most that are encoded and drawn


@dataclass(frozen=True, eq=False)
class Subject:
    """A run with its evaluation, as the sections of a report see it.

    Arguments:
        run: The run.
        evaluation: Its evaluation.
        split: The split whose examples are shown.
    """

    run: Run
    evaluation: Evaluation
    split: str = "test"

    @property
    def model(self) -> VAE:
        """The trained model."""
        return self.run.model

    @property
    def data(self) -> Data:
        """The data it was trained on."""
        return self.run.data

    @property
    def spec(self) -> DataSpec:
        """Shape and kind of one example."""
        return self.run.spec

    @property
    def autoencoder(self) -> bool:
        """Whether the code is deterministic, so that there is no rate and no density."""
        return self.model.deterministic

    @property
    def encoderless(self) -> bool:
        """Whether codes are draws of the prior, so that they say nothing of an example."""
        return isinstance(self.model.posterior, FromPrior)

    @property
    def standard(self) -> bool:
        """Whether the prior is N(0, I)."""
        return isinstance(self.model.prior, StandardNormal)

    @cached_property
    def x(self) -> Tensor:
        """Examples as the model sees them, [n, *event] float32."""
        return self.data.examples(self.split, SHOWN)

    @cached_property
    def y(self) -> Tensor | None:
        """Their classes [n], or None."""
        y = getattr(self.data, self.split).y
        return None if y is None else y[:SHOWN]

    @cached_property
    def codes(self) -> Tensor:
        """Their posterior means [n, D]."""
        return encode(self.model, self.x).float()

    @cached_property
    def variances(self) -> tuple[float, ...]:
        """Variance of the posterior means of each latent dimension."""
        known = self.evaluation.variance_of_means  # of all groups of latent variables, the codes are of one
        return known if len(known) == self.codes.shape[1] else tuple(self.codes.var(0, unbiased=False).tolist())

    @cached_property
    def rates(self) -> tuple[float, ...]:
        """Rate of each latent dimension, where it is known of those of the codes."""
        known = self.evaluation.rate_per_dimension
        return known if len(known) == self.codes.shape[1] else ()

    @cached_property
    def active(self) -> list[bool]:
        """Which latent dimensions are active; all of an autoencoder, or without an encoder."""
        return [self.autoencoder or self.encoderless or v > ACTIVE for v in self.variances]

    @cached_property
    def units(self) -> list[int]:
        """The active latent dimensions, the highest rate first; without rates, the most variable ones."""
        measure = self.rates or self.variances
        return [d for d in sorted(range(len(measure)), key=lambda d: -measure[d]) if self.active[d]]

    @cached_property
    def columns(self) -> list[str]:
        """Names of the flattened dimensions."""
        names = list(self.data.columns)
        return names if len(names) == self.spec.dims else [f"x{i}" for i in range(self.spec.dims)]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Means of p(x|z) at the posterior's mean, on the CPU."""
        return in_chunks(self.model, lambda part, c: self.model.reconstruct(part, c=c), x, None, MEMORY).float()

    def decode(self, z: Tensor) -> Tensor:
        """Means of p(x|z) of codes [N, D], on the CPU."""
        return decode(self.model, z).float()

    def moved(self, index: int, unit: int, values: Tensor) -> Tensor:
        """The code of an example with one latent dimension set to each of the values, [V, D]."""
        z = self.codes[index].repeat(len(values), 1)
        z[:, unit] = values
        return z

    @cached_property
    def ordinary(self) -> int:
        """The example whose code is nearest to the middle of all codes."""
        return int((self.codes - self.codes.median(0).values).norm(dim=1).argmin())

    def sample(self, n: int, *, mean: bool) -> Tensor:
        """Samples of the model, on the CPU; the same n codes with and without `mean`."""
        with measuring(self.model, seed=0):
            return self.model.sample(n, mean=mean).cpu().float()

    def reach(self, unit: int, deviations: float) -> tuple[float, float]:
        """Mean ± some standard deviations of the prior of a latent dimension; of the codes of an autoencoder."""
        centre, spread = (float(t[unit]) for t in self._moments)
        return centre - deviations * spread, centre + deviations * spread

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        if self.model.prior is None:
            return self.codes.mean(0), self.codes.std(0, unbiased=False)
        with measuring(self.model, seed=0):
            p: Distribution = self.model.prior(None)
            try:
                return p.mean.cpu(), p.stddev.cpu()
            except NotImplementedError:  # flows know no moments
                z = p.sample(torch.Size([2000])).cpu()
                return z.mean(0), z.std(0)
