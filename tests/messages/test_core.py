"""What is said of parts, settings and tensors that do not fit: what was got, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli as Coin
from torch.distributions import Independent

from elbox import (
    ELBO,
    IWAE,
    VAE,
    AnalyticKL,
    DataSpec,
    Path,
    Recipe,
    Renyi,
    Reparameterized,
    Score,
    Terms,
    draws,
    recipes,
)
from elbox.errors import DataError, ElboxError, IncompatibleError, RunError, SettingError, ShapeError
from elbox.likelihoods import (
    Bernoulli,
    Beta,
    Binomial,
    ContinuousBernoulli,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    FixedGaussian,
    Gaussian,
    Poisson,
)
from elbox.nn import MLP, ConvDecoder, ConvEncoder, Layer
from elbox.objectives import VAEGAN, Distortion, Rate
from elbox.parts import from_tree, to_tree
from elbox.posteriors import Corrupted, Deterministic, DiagonalNormal, FullNormal
from elbox.priors import NormalMixture, StandardNormal
from elbox.schedules import Capacity, Cyclical, Linear

X = torch.rand(4, 5).round()


class CoinPosterior(nn.Module):
    def forward(self, c: Any) -> Independent:
        return Independent(Coin(logits=torch.zeros(len(c), 2)), 1)


def diagonal() -> DiagonalNormal:
    return DiagonalNormal(MLP(5, [], (2, 2)), 2)


def vae(posterior: nn.Module | None = None, prior: nn.Module | None = None) -> VAE:
    return VAE(prior or StandardNormal(2), Bernoulli(MLP(2, [], 5)), posterior or diagonal())


def autoencoder() -> VAE:
    return VAE(None, Bernoulli(MLP(2, [], 5)), Deterministic(MLP(5, [], 2), 2))


def two_groups() -> Terms:
    terms = vae().terms(X, samples=2)
    return Terms(terms.log_px, {"top": terms.groups["z"], "bottom": terms.groups["z"]})


def spec(kind: str = "real", **more: Any) -> DataSpec:
    return DataSpec(more.pop("shape", (5,)), kind, **more)


CASES: dict[str, tuple[Callable[[], Any], type[ElboxError], str]] = {
    # parts that do not meet
    "VAE without prior": (
        lambda: VAE(None, Bernoulli(MLP(2, [], 5)), diagonal()),
        IncompatibleError,
        "got no prior with a DiagonalNormal posterior; expected a prior such as StandardNormal .* prior=None with a D",
    ),
    "bound of an autoencoder": (
        lambda: Reparameterized()(autoencoder(), X, ELBO()),
        IncompatibleError,
        r"ELBO needs log q\(z\|x\), and a deterministic posterior has no density; use Distortion\(\)",
    ),
    "rate of a deterministic code with a prior": (
        lambda: AnalyticKL()(vae(Deterministic(MLP(5, [], 2), 2)), X, ELBO()),
        IncompatibleError,
        r"ELBO needs log q\(z\|x\), and a deterministic posterior has no density; use Distortion\(\)",
    ),
    "no closed-form KL": (
        lambda: AnalyticKL()(vae(prior=NormalMixture(2)), X, ELBO()),
        IncompatibleError,
        r"AnalyticKL needs a closed-form KL\(posterior ‖ prior\).* \(Independent, NormalMixture\); use Repar",
    ),
    "analytic KL for importance weights": (
        lambda: AnalyticKL()(vae(), X, IWAE(3)),
        IncompatibleError,
        r"AnalyticKL needs an objective of the rate, and Renyi is none; use Reparameterized\(\), or AnalyticKL",
    ),
    "path with free bits": (
        lambda: Path()(vae(), X, ELBO(free_bits=0.1)),
        IncompatibleError,
        r"Path needs an objective that is smooth .* this ELBO is not; use Reparameterized\(\)",
    ),
    "path through two groups of latent variables": (
        lambda: Path().estimate(IWAE(2), two_groups(), 1.0),
        IncompatibleError,
        r"Path scales the gradient of one group .* got 2 groups with Renyi; use Reparameterized",
    ),
    "score with a capacity": (
        lambda: Score()(vae(), X, ELBO(capacity=1.0, samples=2)),
        IncompatibleError,
        r"Score needs an objective of each example alone, and this ELBO is not; use Reparameterized\(\), or St",
    ),
    "score with one sample": (
        lambda: Score()(vae(), X, ELBO()),
        IncompatibleError,
        r"Score takes the other samples as its baseline, got ELBO with samples=1; use samples=2 or more",
    ),
    "reparameterised discrete codes": (
        lambda: Reparameterized()(vae(CoinPosterior()), X, ELBO()),
        IncompatibleError,
        r"reparameterised gradient needs a posterior with rsample, and Independent has none; use Score\(\)",
    ),
    "path through discrete codes": (
        lambda: Path()(vae(CoinPosterior()), X, IWAE(2)),
        IncompatibleError,
        r"reparameterised gradient needs a posterior with rsample, and Independent has none; use Score\(\)",
    ),
    "score of a deterministic code": (
        lambda: Score()(autoencoder(), X, Distortion(samples=2)),
        IncompatibleError,
        r"Score needs log q\(z\|x\), and a deterministic posterior has no density; use Reparameterized\(\)",
    ),
    "importance weights of an autoencoder": (
        lambda: Reparameterized()(autoencoder(), X, IWAE(2)),
        IncompatibleError,
        r"Renyi needs log q\(z\|x\), and a deterministic posterior has no density; use Distortion\(\)",
    ),
    "free bits per dimension of a full posterior": (
        lambda: AnalyticKL()(vae(FullNormal(MLP(5, [], (4, 2)), 2)), X, ELBO(free_bits=0.1, per_dimension=True)),
        IncompatibleError,
        r"factorise, got \(MultivariateNormal, Independent\); use a DiagonalNormal posterior with a StandardNormal",
    ),
    "sampling an autoencoder": (
        lambda: autoencoder().sample(3),
        IncompatibleError,
        r"got sample on an autoencoder, which has no prior and no density; fit one .* or train a VAE instead",
    ),
    "likelihood of an autoencoder": (
        lambda: autoencoder().log_prob(X),
        IncompatibleError,
        "got log_prob on an autoencoder, whose deterministic code has no density; train a VAE instead",
    ),
    "Bernoulli for grey levels": (
        lambda: Bernoulli.for_data(MLP(2, [], 5), spec("levels", levels=17)),
        IncompatibleError,
        "Bernoulli describes binary data, got levels data; use DiscretizedLogistic, or binarise the data",
    ),
    "Poisson for real numbers": (
        lambda: Poisson.for_data(MLP(2, [], 5), spec("real")),
        IncompatibleError,
        "Poisson describes count data, got real data; use Gaussian",
    ),
    "Gaussian for bits": (
        lambda: recipes.vae(spec("binary"), likelihood=Gaussian),
        IncompatibleError,
        "Gaussian describes real or levels or count or unit or positive data, got binary data; use Bernoulli",
    ),
    "continuous Bernoulli for bytes": (
        lambda: ContinuousBernoulli.for_data(MLP(2, [], 5), spec("levels", levels=256)),
        IncompatibleError,
        "ContinuousBernoulli describes unit data, got levels data; use DiscretizedLogistic",
    ),
    "size factors that are missing": (
        lambda: VAE(*list(recipes.count_vae(spec("count"), library=True).model.children())[:3]).terms(X),
        ShapeError,
        "got a condition of 0 features; expected 1: give the model the condition c=",
    ),
    "topics of real numbers": (
        lambda: recipes.topic_vae(spec()),
        IncompatibleError,
        "Multinomial describes count data, got real data; use Gaussian",
    ),
    "zeros for a beta distribution": (
        lambda: VAE(StandardNormal(2), Beta(MLP(2, [], (2, 5))), diagonal()).check(X),
        DataError,
        "got values in row 0 that Beta gives no probability; expected values strictly between 0 and 1: use Continuous",
    ),
    # shapes
    "images for a table's encoder": (
        lambda: vae().terms(torch.rand(4, 1, 8, 8)),
        ShapeError,
        r"got an input of shape \(4, 1, 8, 8\); expected its last dimensions to be \(5,\): reshape the data",
    ),
    "data that the likelihood does not make": (
        lambda: VAE(StandardNormal(2), Bernoulli(MLP(2, [], 7)), diagonal()).terms(X),
        ShapeError,
        r"got data of event shape \(5,\); expected \(7,\) as in p\(x\|z\)",
    ),
    "no batch dimension": (lambda: vae().terms(X[0]), ShapeError, r"got data of event shape \(\); expected \(5,\)"),
    "diagonal posterior with another network": (
        lambda: DiagonalNormal(MLP(5, [], (2, 3)), 2)(X),
        ShapeError,
        r"got a network output of shape \(4, 2, 3\) for DiagonalNormal; .* \(2, 2\): .*output_shape\(2\)",
    ),
    "full posterior with another network": (
        lambda: FullNormal(MLP(5, [], (2, 2)), 2)(X),
        ShapeError,
        r"got a network output of shape \(4, 2, 2\) for FullNormal; .* \(4, 2\): .* FullNormal.output_shape\(2\)",
    ),
    "deterministic code of another size": (
        lambda: Deterministic(MLP(5, [], 3), 2)(X),
        ShapeError,
        r"got a network output of shape \(4, 3\) for Deterministic; .* to be 2: .* Deterministic.output_shape\(2\)",
    ),
    "images for a table's layer": (
        lambda: Layer(5, 2)(torch.rand(4, 1, 8, 8)),
        ShapeError,
        r"got an input of shape \(4, 1, 8, 8\); expected its last dimensions to be \(5,\): reshape the data",
    ),
    "image too small for convolutions": (
        lambda: ConvEncoder((1, 7, 8), 2),
        ShapeError,
        r"got an event of shape \(1, 7, 8\); expected an image \(C, H, W\) with 1 to 4 channels and H, W ≥ 8: use",
    ),
    "table for convolutions": (
        lambda: recipes.conv_vae(spec("binary")),
        ShapeError,
        r"got an event of shape \(5,\); expected an image \(C, H, W\)",
    ),
    "five channels": (
        lambda: ConvDecoder(2, (5, 8, 8)),
        ShapeError,
        r"got an event of shape \(5, 8, 8\); expected an image",
    ),
    "another image": (
        lambda: ConvEncoder((1, 8, 8), 2)(torch.zeros(2, 1, 9, 8)),
        ShapeError,
        r"got an input of shape \(2, 1, 9, 8\); expected images \(1, 8, 8\): resize the data",
    ),
    # settings
    "negative beta": (lambda: ELBO(beta=-1.0), SettingError, "got beta=-1.0; expected a number ≥ 0, or a schedule"),
    "beta that is not a number": (lambda: ELBO(beta=float("nan")), SettingError, "got beta=nan; expected a number ≥ 0"),
    "negative free bits": (lambda: ELBO(free_bits=-0.1), SettingError, "got free_bits=-0.1; expected a number ≥ 0"),
    "free bits and capacity": (
        lambda: ELBO(free_bits=0.1, capacity=1.0),
        SettingError,
        "got both free_bits and capacity; expected one of them",
    ),
    "no samples": (lambda: ELBO(samples=0), SettingError, "got samples=0; expected a whole number ≥ 1"),
    "rate with a negative weight": (
        lambda: Rate(-1.0),
        SettingError,
        "got beta=-1.0; expected a number ≥ 0, or a schedule",
    ),
    "rate without samples": (lambda: Rate(samples=0), SettingError, "got samples=0; expected a whole number ≥ 1"),
    "negative weight of features": (
        lambda: VAEGAN(MLP(5, [], 2), MLP(2, [], ()), gamma=-1.0),
        SettingError,
        "got gamma=-1.0; expected a number ≥ 0",
    ),
    "no importance samples": (lambda: IWAE(0), SettingError, "got samples=0; expected a whole number ≥ 1"),
    "no samples of a model": (
        lambda: vae().log_prob(X, samples=0),
        SettingError,
        "got samples=0; expected a whole number ≥ 1",
    ),
    "no channels": (lambda: ConvDecoder(2, (1, 8, 8), ()), SettingError, r"got channels=\(\); expected at least one"),
    "alpha 1": (lambda: Renyi(1.0), SettingError, r"got alpha=1, where the Rényi bound is the ELBO; use ELBO\(\)"),
    "warm-up longer than the run": (
        lambda: Linear(over=1.5),
        SettingError,
        r"got over=1.5; expected a fraction of the run in \(0, 1\]",
    ),
    "no ramp": (lambda: Cyclical(ramp=0.0), SettingError, r"got ramp=0.0; expected a fraction of the run in \(0, 1\]"),
    "no cycle": (lambda: Cyclical(cycles=0), SettingError, "got cycles=0; expected a whole number ≥ 1"),
    "capacity in epochs": (lambda: Capacity(over=20), SettingError, "got over=20; expected a fraction of the run"),
    "all masked": (
        lambda: Corrupted(diagonal(), masking=1.0),
        SettingError,
        "got masking=1.0, noise=0.0; expected 0 ≤ masking < 1 and noise ≥ 0",
    ),
    "no noise level": (
        lambda: FixedGaussian(MLP(2, [], 5), sigma=0.0),
        SettingError,
        "got sigma=0.0; expected a positive",
    ),
    "one level": (
        lambda: DiscretizedLogistic(MLP(2, [], (2, 5)), levels=1),
        SettingError,
        "got levels=1; expected a whole number ≥ 2",
    ),
    "one level for a mixture": (
        lambda: DiscretizedLogisticMixture(MLP(2, [], (30, 5)), levels=1),
        SettingError,
        "got levels=1; expected a whole number ≥ 2",
    ),
    "no trials": (lambda: Binomial(MLP(2, [], 5), levels=1), SettingError, "got levels=1; expected a whole number ≥ 2"),
    "unknown setting": (
        lambda: recipes.vae(spec(), latents=3),
        SettingError,
        "got the setting 'latents' for the recipe vae; expected one of latent=20, hidden=400, activation=SiLU",
    ),
    "unknown recipe": (
        lambda: Recipe.from_json({"recipe": "no_vae", "settings": {}}, spec()),
        SettingError,
        "got the recipe 'no_vae'; expected one of .*ae, .*beta_vae",
    ),
    # data specifications
    "unknown kind": (
        lambda: spec("grey"),
        DataError,
        "got data of kind 'grey'; expected one of binary, levels, real, count, unit, positive, complex",
    ),
    "empty shape": (lambda: spec(shape=()), DataError, r"got event shape \(\); expected at least one dimension"),
    "empty dimension": (lambda: spec(shape=(0,)), DataError, r"got event shape \(0,\); expected .* each of size ≥ 1"),
    "levels without their number": (
        lambda: spec("levels"),
        DataError,
        "got kind 'levels' with levels=0; expected levels ≥ 2",
    ),
    "complex data without two parts": (
        lambda: spec("complex"),
        DataError,
        r"got complex data of event shape \(5,\); expected \(2, ...\), the real and then the imaginary parts: give",
    ),
    "levels of real numbers": (lambda: spec(levels=4), DataError, "got kind 'real' with levels=4; expected .* else 0"),
    "constant column": (
        lambda: spec(scale=(1.0, 0.0, 1.0, 1.0, 1.0)),
        DataError,
        "got a scale that is not positive: a column is constant; drop it",
    ),
    "offsets of another shape": (
        lambda: spec(offset=(1.0, 2.0)),
        DataError,
        "got 2 values of offset; expected 1 or 5, one for each dimension",
    ),
    # saving
    "not a part": (
        lambda: to_tree(nn.Linear(2, 2)),
        RunError,
        r"got a torch.nn.modules.linear.Linear inside a model to save; expected a part: decorate .* @elbox.part",
    ),
    "a class that is not allowed": (
        lambda: from_tree({"part": "os.system", "id": 0, "arguments": {}}),
        RunError,
        r"got the class 'os.system' in a saved model; expected a part of elbox: .* allow=\[...\]",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    action, kind, pattern = CASES[name]
    with pytest.raises(kind, match=pattern) as error:
        action()
    message = str(error.value)
    assert isinstance(error.value, ValueError)
    assert "\n" not in message, "one sentence"
    assert any(word in message for word in ("expected", "use ", "train ", "drop ")), "what to do"


def test_draws_ask_for_rsample() -> None:
    for draw in (draws.reparameterized, draws.path):
        with pytest.raises(IncompatibleError, match=r"use Score\(\)"):
            draw(CoinPosterior(), X, 2)
    assert draws.score(CoinPosterior(), X, 2).z.shape == (2, 4, 2)
