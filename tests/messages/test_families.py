"""What is said of families, supports and angles that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.distributions import (
    Beta,
    Cauchy,
    Dirichlet,
    Distribution,
    Exponential,
    FisherSnedecor,
    Gamma,
    Gumbel,
    Kumaraswamy,
    Laplace,
    LogNormal,
    Normal,
    Pareto,
    StudentT,
)
from torch.distributions import Uniform as TorchUniform
from torch.distributions import VonMises as TorchVonMises

from elbox import ELBO, IWAE, VAE, Path, Reparameterized, Score
from elbox.distributions import Logistic, Triangular, Uniform, VonMises, Weibull
from elbox.errors import ElboxError, IncompatibleError, RunError, SettingError, ShapeError
from elbox.likelihoods import Bernoulli
from elbox.nn import MLP, Angles
from elbox.parts import from_tree, to_tree
from elbox.posteriors import DiagonalNormal, Factorized, FullStudentT
from elbox.priors import Factorized as Prior
from elbox.priors import NormalMixture, StandardNormal

X = torch.rand(4, 5).round()


def posterior(family: type[Distribution], latent: int = 2) -> Factorized:
    return Factorized(MLP(5, [], Factorized.output_shape(latent, family)), latent, family)


def meet(q: Any, p: Any) -> Callable[[], Any]:
    """A step with a posterior and a prior, families or parts."""
    q = posterior(q) if isinstance(q, type) else q
    p = Prior(2, p) if isinstance(p, type) else p
    angles = getattr(q, "family", None) is VonMises
    net = Angles(MLP(4, [], 5)) if angles else MLP(2, [], 5)
    return lambda: Reparameterized()(VAE(p, Bernoulli(net), q), X, ELBO())


CASES: dict[str, tuple[Callable[[], Any], type[ElboxError], str]] = {
    "positive codes with a normal prior": (
        meet(Gamma, StandardNormal(2)),
        IncompatibleError,
        r"got a Gamma posterior over positive numbers with a Normal prior over the real line; expected the same "
        r"support for both; use priors.Factorized\(latent, Gamma\)",
    ),
    "real codes with a positive prior": (
        meet(DiagonalNormal(MLP(5, [], (2, 2)), 2), Gamma),
        IncompatibleError,
        r"got a Normal posterior over the real line with a Gamma prior over positive numbers.*Factorized\(latent, Stud",
    ),
    "codes in the unit interval with a mixture": (
        meet(Beta, NormalMixture(2)),
        IncompatibleError,
        r"got a Beta posterior over \(0.0, 1.0\) with a Normal prior .*use priors.Factorized\(latent, Beta\)",
    ),
    "codes on the simplex with independent ones": (
        meet(Dirichlet, Beta),
        IncompatibleError,
        r"got a Dirichlet posterior over the simplex with a Beta prior .*use priors.Factorized\(latent, Dirichlet\)",
    ),
    "angles with a normal prior": (
        meet(VonMises, StandardNormal(2)),
        IncompatibleError,
        r"got a VonMises posterior over \(-3.14.*, 3.14.*\) with a Normal prior .*Factorized\(latent, VonMises\)",
    ),
    "a prior that moves": (
        meet(Uniform, Uniform),
        IncompatibleError,
        r"with a Uniform prior over an interval of the real line that moves; expected a prior whose support does",
    ),
    "a positive prior that moves": (
        meet(Pareto, Pareto),
        IncompatibleError,
        r"expected a prior whose support does not move; use priors.Factorized\(latent, Gamma\)",
    ),
    "a moving posterior with a positive prior": (
        meet(Uniform, Gamma),
        IncompatibleError,
        r"got a Uniform posterior over an interval of the real line that moves with a Gamma prior.*same support",
    ),
    "path through a support that moves": (
        lambda: Path()(VAE(StandardNormal(2), Bernoulli(MLP(2, [], 5)), posterior(Uniform)), X, ELBO()),
        IncompatibleError,
        r"Path\(\) needs a posterior whose support does not move .* that of Uniform does.*; use Reparameterized\(\)",
    ),
    "DReG through a support that moves": (
        lambda: Path()(VAE(StandardNormal(2), Bernoulli(MLP(2, [], 5)), posterior(Triangular)), X, IWAE(3)),
        IncompatibleError,
        r"that of Triangular does.*; use Reparameterized\(\)$",
    ),
    "score of a support that moves": (
        lambda: Score()(VAE(Prior(2, Gamma), Bernoulli(MLP(2, [], 5)), posterior(Pareto)), X, ELBO(samples=2)),
        IncompatibleError,
        r"Score\(\) needs a posterior whose support does not move .* that of Pareto does",
    ),
    "angles read as numbers": (
        lambda: VAE(Prior(2, VonMises), Bernoulli(MLP(2, [], 5)), posterior(VonMises)).terms(X),
        IncompatibleError,
        r"got a VonMises posterior, over angles, with a Bernoulli likelihood .*; use elbox.nn.Angles\(net\)",
    ),
    "unknown family": (
        lambda: posterior(Kumaraswamy),
        SettingError,
        "got the family torch.distributions.kumaraswamy.Kumaraswamy; expected one of Normal, Laplace, Logistic",
    ),
    "torch's uniform": (
        lambda: posterior(TorchUniform),
        SettingError,
        "got the family torch.distributions.uniform.Uniform; expected one of .*Uniform",
    ),
    "torch's von Mises": (
        lambda: Prior(2, TorchVonMises),
        SettingError,
        "got the family torch.distributions.von_mises.VonMises; expected one of .*VonMises",
    ),
    "another network": (
        lambda: Factorized(MLP(5, [], (3, 2)), 2, Gamma)(X),
        ShapeError,
        r"got a network output of shape \(4, 3, 2\) for Factorized; .* \(2, 2\): .*Factorized.output_shape\(2, Gamma\)",
    ),
    "another network for the elliptical posterior": (
        lambda: FullStudentT(MLP(5, [], (3, 2)), 2)(X),
        ShapeError,
        r"got a network output of shape \(4, 3, 2\) for FullStudentT; .* \(4, 2\)",
    ),
    "no variance": (
        lambda: FullStudentT(MLP(5, [], (4, 2)), 2, df=2.0),
        SettingError,
        "got df=2.0; expected more than 2 degrees of freedom",
    ),
    "no such parameter": (
        lambda: Prior(2, Gamma, scale=1.0),
        SettingError,
        "got scale=… for Gamma; expected some of concentration, rate",
    ),
    "values for other dimensions": (
        lambda: Prior(2, Gamma, rate=(1.0, 2.0, 3.0)),
        SettingError,
        "got 3 values of rate; expected 1 or 2, one for each dimension",
    ),
    "negative rate": (
        lambda: Prior(2, Gamma, rate=-1.0),
        SettingError,
        "got rate=-1.0 for Gamma; expected values in ",
    ),
    "out of the range that is learned": (
        lambda: Prior(2, Dirichlet, learned=True, concentration=0.02),
        SettingError,
        r"got concentration=.*0.02.* to learn; expected values between 0.3 and 1e\+03",
    ),
    "a family of one's own in a file": (
        lambda: from_tree({"family": "os.system"}),
        RunError,
        "got the class 'os.system' in a saved model; expected a part of elbox",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    action, kind, pattern = CASES[name]
    with pytest.raises(kind, match=pattern) as error:
        action()
    assert "\n" not in str(error.value), "one sentence"


HEAVY = [(Cauchy, p) for p in (Normal, Laplace, Logistic, Gumbel)] + [
    (StudentT, Gumbel),
    (Laplace, Gumbel),
    (Logistic, Gumbel),
    (Pareto, Weibull),
    (FisherSnedecor, Weibull),
]


@pytest.mark.parametrize(("q", "p"), HEAVY)
def test_tails_that_are_too_heavy(q: type[Distribution], p: type[Distribution]) -> None:
    pattern = rf"got a {q.__name__} posterior .* {p.__name__} prior .*KL\(posterior ‖ prior\) is infinite.*; use priors"
    with pytest.raises(IncompatibleError, match=pattern):
        meet(q, p)()


def test_tails_of_a_mixture() -> None:
    with pytest.raises(IncompatibleError, match=r"got a Cauchy posterior .* with a Normal prior .* is infinite"):
        meet(Cauchy, NormalMixture(2))()


@pytest.mark.parametrize(
    ("q", "p"),
    [(Cauchy, StudentT), (Normal, Gumbel), (Pareto, Gamma), (LogNormal, Exponential), (Gamma, Weibull), (Beta, Beta)],
)
def test_way_out_works(q: type[Distribution], p: type[Distribution]) -> None:
    assert meet(q, p)().loss.isfinite()


def test_a_family_is_saved_by_its_name() -> None:
    part = Prior(2, VonMises, concentration=0.0)
    tree = to_tree(part)
    assert tree["arguments"] == {
        "latent": 2,
        "family": {"family": "VonMises"},
        "learned": False,
        "concentration": 0.0,
    }
    assert from_tree(tree).family is VonMises
    with pytest.raises(RunError, match=r"got the class torch.distributions.von_mises.VonMises as a setting to save"):
        to_tree(TorchVonMises)
