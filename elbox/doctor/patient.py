"""A run as the checks see it: its record, and measurements on a few hundred examples, each taken once."""

from __future__ import annotations

__all__ = ["Patient"]

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from elbox.errors import DataError
from elbox.evaluate import Evaluation, evaluate
from elbox.evaluate.bounds import bounds
from elbox.evaluate.scope import like_model, measuring
from elbox.model import VAE
from elbox.posteriors import FromPrior
from elbox.runs import Run
from elbox.train import Training

EXAMPLES, LOOKED_AT, SAMPLES = 500, 200, 100


@dataclass(frozen=True, eq=False)
class Patient:
    """A run.

    Arguments:
        info: What run.json says.
        metrics: Rows of metrics.jsonl.
        run: The run with its weights; None if it was never trained to an end.
        folder: Its folder, or None.
        seed: Seed of everything random.
    """

    info: dict[str, Any]
    metrics: list[dict[str, Any]]
    run: Run | None
    folder: Path | None
    seed: int = 0

    # The record

    @property
    def name(self) -> str:
        """What commands call the run."""
        return str(self.folder or "RUN")

    @cached_property
    def training(self) -> Training:
        """Its settings of training."""
        return Training.from_json(self.info["training"])

    @cached_property
    def total(self) -> int:
        """Steps of the whole run; 0 where the record does not say how many examples there are."""
        examples = int(self.info["spec"].get("examples", 0))
        return self.training.steps(examples) if examples else 0

    @cached_property
    def done(self) -> int:
        """Steps that were done."""
        return max([int(self.info.get("steps", 0)), *(int(row["step"]) for row in self.metrics)])

    def rows(self, split: str) -> list[dict[str, Any]]:
        """Rows of metrics of a split."""
        return [row for row in self.metrics if row["split"] == split]

    @cached_property
    def kept(self) -> int | None:
        """The step whose weights were kept, if any were chosen."""
        return next((int(row["step"]) for row in reversed(self.rows("held_out")) if row.get("best")), None)

    # Measurements

    @property
    def model(self) -> VAE:
        """The trained model."""
        assert self.run is not None
        return self.run.model

    @cached_property
    def x(self) -> Any:
        """Held-out examples as they are stored: of the test split, or of the first that has two or more."""
        assert self.run is not None
        parts = (self.run.data.stored(split, EXAMPLES) for split in ("test", "valid", "train"))
        found = next((x for x in parts if len(x) > 1), None)
        if found is None:
            raise DataError("got a run whose splits have fewer than two examples; expected some to measure it on")
        return found

    @cached_property
    def held(self) -> Evaluation:
        """Bounds on held-out examples."""
        return evaluate(self.model, self.x, samples=SAMPLES, seed=self.seed, precision="32")

    @cached_property
    def trained(self) -> Evaluation:
        """Bounds on training examples."""
        assert self.run is not None
        x = self.run.data.stored("train", EXAMPLES)
        return bounds(self.model, x, samples=10, seed=self.seed, precision="32")

    @cached_property
    def seen(self) -> Seen:
        """One code of each of a few held-out examples, with all that follows from it."""
        with measuring(self.model, self.seed):
            x = like_model(self.model, self.x[:LOOKED_AT])
            c = self.model.given(x)
            q = self.model.encode(x, c=c)
            z = q.sample(torch.Size([1]))
            return Seen(self.model, x, c, q, z, self.model.decode(z, c=c), self.seed)

    @property
    def autoencoder(self) -> bool:
        """Whether there is no rate and no bound."""
        return self.model.deterministic

    @property
    def encoderless(self) -> bool:
        """Whether codes are draws of the prior, which say nothing of an example."""
        return isinstance(self.model.posterior, FromPrior)


@dataclass(frozen=True, eq=False)
class Seen:
    """Codes z [1, B, D] of examples x [B, *event], drawn from q(z|x), and p(x|z)."""

    model: VAE
    x: Tensor
    c: Any
    q: Distribution
    z: Tensor
    px: Distribution
    seed: int

    def cost(self, z: Tensor) -> tuple[float, float]:
        """How much higher the distortion is with other codes, in nats, with its standard error over examples."""
        with measuring(self.model, self.seed):
            other = self.model.decode(z, c=self.c).log_prob(self.x)
            more = (self.px.log_prob(self.x) - other).double().flatten()
        return float(more.mean()), float(more.std() / math.sqrt(len(more)))

    def prior(self) -> Tensor:
        """Draws of the prior, in the shape of the codes."""
        with measuring(self.model, self.seed):
            assert self.model.prior is not None
            p = self.model.prior(self.c)
            return p.sample(torch.Size([1] if p.batch_shape else self.z.shape[:2]))
