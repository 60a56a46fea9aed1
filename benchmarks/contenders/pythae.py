"""Pythae: its own models, its own trainer with its defaults, batch size and learning rate aside."""

from __future__ import annotations

__all__ = ["score", "train"]

import tempfile
from typing import Any

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import IWAE, VAE, IWAEConfig, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor

from benchmarks.contenders.nets import Nets
from benchmarks.worker import Gate
from benchmarks.workloads import Problem


class _Encoder(BaseEncoder):
    def __init__(self, nets: Nets) -> None:
        super().__init__()
        self.nets = nets

    def forward(self, x: Tensor) -> ModelOutput:
        mu, log_std = self.nets.encode(x)
        return ModelOutput(embedding=mu, log_covariance=2 * log_std)


class _Decoder(BaseDecoder):
    def __init__(self, nets: Nets) -> None:
        super().__init__()
        self.nets = nets

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.nets.decode(z)))


class _AtEpochs(TrainingCallback):
    def __init__(self, gate: Gate, nets: Nets) -> None:
        self.gate, self.nets = gate, nets

    def on_epoch_end(self, training_config: Any, **kwargs: Any) -> None:
        self.gate(self.nets.export)


def _model(problem: Problem) -> tuple[Any, Nets]:
    nets, samples = Nets(problem), problem.workload.samples
    shared: dict[str, Any] = {"input_dim": (784,), "latent_dim": nets.latent, "reconstruction_loss": "bce"}
    if samples == 1:
        return VAE(VAEConfig(**shared), _Encoder(nets), _Decoder(nets)), nets
    return IWAE(IWAEConfig(**shared, number_samples=samples), _Encoder(nets), _Decoder(nets)), nets


def train(problem: Problem, gate: Gate) -> None:
    """Train with Pythae's trainer, without held-out data and without checkpoints."""
    model, nets = _model(problem)
    x = torch.from_numpy(problem.x).flatten(1).float()
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=problem.workload.batch,
            num_epochs=1_000_000,
            learning_rate=1e-3,
            seed=problem.seed,
            no_cuda=True,
        )
        callbacks = [_AtEpochs(gate, nets)]
        BaseTrainer(model, BaseDataset(x, torch.zeros(len(x))), training_config=config, callbacks=callbacks).train()


@torch.no_grad()
def score(problem: Problem, gate: Gate, samples: int = 5000) -> None:
    """`get_nll` with its default chunks of 100 samples, image by image to have each one's number."""
    model, _ = _model(problem)
    x = torch.from_numpy(problem.x).flatten(1).float()
    while True:
        found = np.array([model.get_nll(row, n_samples=samples) for row in x[:, None]])
        gate(lambda found=found: {"log_likelihood": found})  # type: ignore[misc]
