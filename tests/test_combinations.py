"""Every combination of the axes: a training step, or an error with a way out."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
import torch

from elbox import ELBO, VAE, IncompatibleError, Renyi
from elbox.estimators import (
    RELAX,
    AnalyticKL,
    BayesianWeights,
    Covariance,
    Enumerated,
    MonteCarloEM,
    Path,
    Relaxed,
    Reparameterized,
    Score,
    StraightThrough,
    WakeSleep,
)
from elbox.estimators.base import Estimator
from elbox.objectives import (
    CIWAE,
    MIWAE,
    TVO,
    VAEGAN,
    Commitment,
    Contractive,
    InferredPrior,
    MutualInformation,
    Objective,
    TotalCorrelation,
)
from elbox.train.step import Step
from tests.advice import Advice, advised
from tests.components import FEATURES, LATENT, event_of, make, of
from tests.components import objective as make_objective

OBJECTIVES = {
    "plain": lambda: ELBO(samples=2),
    "free bits": lambda: ELBO(free_bits=0.1),
    "free bits per dimension": lambda: ELBO(free_bits=0.1, per_dimension=True),
    "capacity": lambda: ELBO(capacity=1.0),
} | {n: (lambda n=n: make_objective(n)) for n in of("objectives") if n != "objectives.MSSSIM"}  # of images alone
LIKELIHOODS = [n for n in of("likelihoods") if event_of(n) == (FEATURES,)]  # of what the posteriors encode
FACTORISED = (
    "posteriors.DiagonalNormal",
    "posteriors.Corrupted",
    "posteriors.Factorized",
    "posteriors.FromPrior",
    "posteriors.LocalNormal",
    "posteriors.ProductOfExperts",
    "posteriors.SpikeSlab",
    "posteriors.BatchNormalized",
    "posteriors.CommittedNormal",
    "posteriors.Refined",
)
OWN_DRAWS = ("posteriors.Hamiltonian", "posteriors.RiemannianHamiltonian")  # which score their own draws alone
DETERMINISTIC = ("posteriors.Deterministic", "posteriors.Centre")
MIXTURES = (
    "priors.NormalMixture",
    "priors.FittedMixture",
    "priors.VampPrior",
    "priors.ExemplarPrior",
    "priors.Flow",
    "priors.Diffusion",
    "priors.SecondStage",
    "priors.Standardized",
)  # that do not factorise
NO_CLOSED_FORM = (
    *MIXTURES,
    "priors.Factorized",
    "priors.SpikeSlab",
    "posteriors.Flow",
    "posteriors.NormalMixture",
    "posteriors.MixtureOfExperts",
    "posteriors.SpikeSlab",
    "priors.WrappedNormal",
    "priors.RiemannianNormal",
    "posteriors.WrappedNormal",
    "posteriors.RiemannianNormal",
)
TOGETHER_IN_TIME = ("priors.AR1", "posteriors.Factorized"), ("priors.AR1", "posteriors.FullStudentT")  # nor these pairs
PAIRED = (*FACTORISED, "posteriors.BernoulliCode")  # whose log q(z_d|x_n) is known
CODES = {
    "posteriors.BernoulliCode": "bits",
    "priors.BernoulliPrior": "bits",
    "posteriors.CategoricalCode": "categories",
    "priors.CategoricalPrior": "categories",
    "posteriors.QuantizedCode": "vectors",
    "priors.CodePrior": "vectors",
}
SPHERES = ("posteriors.VonMisesFisher", "posteriors.PowerSpherical")
BALL = tuple(f"{axis}.{name}Normal" for axis in ("posteriors", "priors") for name in ("Wrapped", "Riemannian"))
CURVED = {
    **dict.fromkeys((*SPHERES, "priors.SphericalUniform"), "sphere"),
    **dict.fromkeys(BALL, "ball"),
}  # the rest: flat, or codes
FITS = {
    "posteriors.BernoulliCode": "priors.BernoulliPrior",
    "posteriors.CategoricalCode": "priors.CategoricalPrior",
    "posteriors.QuantizedCode": "priors.CodePrior",
    "posteriors.VonMisesFisher": "priors.SphericalUniform",
    "posteriors.PowerSpherical": "priors.SphericalUniform",
    "posteriors.WrappedNormal": "priors.WrappedNormal",
    "posteriors.RiemannianNormal": "priors.RiemannianNormal",
}  # a prior over the same space; of the rest: StandardNormal
SORTS = tuple(f"estimators.{name}" for name in ("Reparameterized", "AnalyticKL", "Path", "Score", "StraightThrough"))
FEW = (
    "plain",
    "objectives.IWAE",
    "objectives.Distortion",
    "objectives.VAEGAN",
    "objectives.GAN",
    "objectives.TotalCorrelation",
)  # of every sort
TOGETHER = (Reparameterized, AnalyticKL, Path)  # look at all samples of a batch at once, or do not mind
OF_CODES = (Enumerated, Relaxed, StraightThrough, RELAX)


def data_for(likelihood: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return likelihood(torch.randn(3, LATENT)).sample()


class Combination(NamedTuple):
    """The parts of the model by name, the objective and the estimator."""

    prior: str | None
    posterior: str
    likelihood: str
    objective: Objective
    estimator: Estimator

    def after(self, advice: Advice) -> Combination:
        """With the advice followed."""
        return self._replace(**{axis: part for axis, part in advice._asdict().items() if part is not None})


def step_or_refusal(c: Combination, which: object) -> None:
    """Finite loss and gradients, or `IncompatibleError` whose advice breaks fewer of the rules, and no other."""
    model = VAE(c.prior and make(c.prior), make(c.likelihood), make(c.posterior))
    step, x, broken = Step(model, c.objective, c.estimator), data_for(model.likelihood), faults(c)
    if broken:
        with pytest.raises(IncompatibleError) as error:
            step(x)
        message = str(error.value)
        assert "\n" not in message
        got = {type(part).__name__ for part in (c.objective, c.estimator, *getattr(c.objective, "penalties", ()))}
        got |= {"posterior", "prior"}
        assert any(name in message for name in got), (which, message)
        alternatives = advised(message, c.objective, codes=c.posterior in CODES)
        assert alternatives, (which, message)
        for advice in alternatives:
            assert faults(c.after(advice)) < broken, (which, message, faults(c.after(advice)))
        return
    loss, _ = step(x)
    if loss.requires_grad:  # the rate of a posterior without parameters under a fixed prior has nothing to train
        loss.backward()
    assert loss.isfinite(), which
    assert all(p.grad is None or p.grad.isfinite().all() for p in step.parameters()), which


@pytest.mark.parametrize("posterior", of("posteriors"))
def test_every_posterior(posterior: str) -> None:
    """With a prior that fits it, each objective and each estimator: a step, or a refusal with a way out."""
    prior = FITS.get(posterior, "priors.StandardNormal")
    for goal, how in itertools.product(OBJECTIVES, of("estimators")):
        step_or_refusal(
            Combination(prior, posterior, "likelihoods.Gaussian", OBJECTIVES[goal](), make(how)), (goal, how)
        )


@pytest.mark.slow
@pytest.mark.parametrize("prior", [p for p in of("priors") if p not in FITS.values()])
def test_every_prior(prior: str) -> None:
    """The same of each prior with a diagonal normal posterior."""
    for goal, how in itertools.product(OBJECTIVES, of("estimators")):
        c = Combination(prior, "posteriors.DiagonalNormal", "likelihoods.Gaussian", OBJECTIVES[goal](), make(how))
        step_or_refusal(c, (goal, how))


@pytest.mark.parametrize("posterior", of("posteriors"))
@pytest.mark.parametrize("prior", [*of("priors"), None])
def test_every_pair(prior: str | None, posterior: str) -> None:
    """Each prior with each posterior: a step or a refusal for an objective and an estimator of each sort."""
    if prior is None and posterior not in DETERMINISTIC:
        with pytest.raises(
            IncompatibleError, match=r"expected a prior such as .*, or prior=None with a Deterministic posterior"
        ):
            VAE(None, make("likelihoods.Gaussian"), make(posterior))
        return
    for goal, how in itertools.product(("plain", "objectives.IWAE", "objectives.Distortion"), SORTS):
        step_or_refusal(
            Combination(prior, posterior, "likelihoods.Gaussian", OBJECTIVES[goal](), make(how)), (goal, how)
        )


@pytest.mark.slow
@pytest.mark.parametrize("prior", [*of("priors"), None])
def test_every_pair_with_more(prior: str | None) -> None:
    """Each prior with each posterior, an objective of each sort and every estimator."""
    for posterior, goal, how in itertools.product(of("posteriors"), FEW, of("estimators")):
        if prior is not None or posterior in DETERMINISTIC:
            c = Combination(prior, posterior, "likelihoods.Gaussian", OBJECTIVES[goal](), make(how))
            step_or_refusal(c, (posterior, goal, how))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood(likelihood: str) -> None:
    """What a pair may do does not depend on the likelihood: each with a posterior of every sort."""
    pairs = [
        ("priors.StandardNormal", "posteriors.DiagonalNormal"),
        ("priors.BernoulliPrior", "posteriors.BernoulliCode"),
        (None, "posteriors.Deterministic"),
    ]
    for (prior, posterior), goal, how in itertools.product(pairs, FEW, of("estimators")):
        c = Combination(prior, posterior, likelihood, OBJECTIVES[goal](), make(how))
        if not faults(c._replace(likelihood="likelihoods.Gaussian")):
            step_or_refusal(c, (prior, goal, how))


def faults(c: Combination) -> set[str]:
    """The rules of the documentation that a combination breaks, in one place."""
    prior, posterior, objective, estimator = c.prior, c.posterior, c.objective, within(c.estimator)
    codes, deterministic = CODES.get(posterior), posterior in DETERMINISTIC
    penalties, per_dimension = getattr(objective, "penalties", ()), getattr(objective, "per_dimension", False)
    generative, inference = objective.pair
    alone, together = objective.separable, isinstance(estimator, TOGETHER)
    several, alone_scored = posterior == "posteriors.Auxiliary", posterior in OWN_DRAWS
    full_weight = isinstance(objective, Renyi | MIWAE | CIWAE | TVO) or (
        isinstance(objective, ELBO) and alone and objective.beta == 1.0
    )
    rules = {
        "random weights": isinstance(c.estimator, BayesianWeights),  # no model here has any
        "a lower bound for the model": not objective.fits_model,
        "codes of one kind": codes != CODES.get(prior or "") and not deterministic,
        "one geometry": CURVED.get(posterior) != CURVED.get(prior or "") and not deterministic and prior not in CODES,
        "a density for its samples": deterministic and not together,
        "a density for log q": deterministic and objective.needs_density,
        "codes that are reparameterised": codes in ("bits", "categories") and together,
        "no score, no noise": codes == "vectors" and not isinstance(estimator, StraightThrough),
        "a codebook": codes != "vectors" and any(isinstance(p, Commitment) for p in penalties),
        "codes to be summed or relaxed": not codes and isinstance(estimator, OF_CODES),
        "real numbers for chains": bool(codes or CURVED.get(posterior) or CURVED.get(prior or ""))
        and isinstance(estimator, MonteCarloEM),
        "one player": isinstance(estimator, RELAX | Enumerated)
        and (generative is not inference or not objective.fits_model),
        "each example alone": isinstance(estimator, Path | Score | RELAX) and not alone,
        "its own objective": isinstance(estimator, Covariance)
        and not all(isinstance(player, TVO) for player in objective.pair),
        "a bound for two players": isinstance(estimator, WakeSleep) and not (alone and objective.needs_density),
        "a density for chains": prior == "priors.SecondStage"
        and not deterministic
        and isinstance(estimator, MonteCarloEM),
        "a bound to be climbed": isinstance(estimator, MonteCarloEM) and not full_weight,
        "samples to be compared": objective.samples < samples_of(estimator),
        "a rate": isinstance(estimator, AnalyticKL) and not objective.uses_rate,
        "a rate in closed form": isinstance(estimator, AnalyticKL)
        and not deterministic
        and (
            not {prior, posterior}.isdisjoint(NO_CLOSED_FORM)
            or (prior, posterior) in TOGETHER_IN_TIME
            or several
            or alone_scored
        ),
        "more than its own draws": alone_scored and not isinstance(estimator, Reparameterized),
        "one group": several
        and (
            isinstance(estimator, MonteCarloEM)
            or (isinstance(estimator, WakeSleep) and estimator.sleep > 0)
            or (isinstance(estimator, Path) and not objective.uses_rate)
            or any(p.of_latents for p in penalties)
            or isinstance(objective, VAEGAN)
        ),
        "parameters of its own": posterior == "posteriors.Refined" and isinstance(estimator, WakeSleep | MonteCarloEM),
        "sums of distortion and rate": isinstance(estimator, Enumerated)
        and (not objective.uses_rate or objective.sees_samples),
        "a likelihood of each example": c.likelihood == "likelihoods.OptimalGaussian"
        and not (together and (objective.uses_rate or not objective.needs_density)),
        "a slope": posterior in ("posteriors.LocalNormal", "posteriors.Flow")
        and any(isinstance(p, Contractive) for p in penalties),
        "known factors": posterior not in PAIRED and any(isinstance(p, TotalCorrelation) for p in penalties),
        "known moments": (posterior in ("posteriors.FullStudentT", "posteriors.Flow", *CURVED) or alone_scored)
        and any(isinstance(p, InferredPrior) for p in penalties),
        "a known mean": alone_scored and any(isinstance(p, Contractive) for p in penalties),
        "known pairs": alone_scored and any(isinstance(p, MutualInformation) for p in penalties),
        "a rate per dimension": per_dimension
        and not (
            codes in ("bits", "categories")
            or (posterior in (*FACTORISED, *SPHERES, "posteriors.Auxiliary") and prior not in (*MIXTURES, "priors.AR1"))
        ),
    }
    return {rule for rule, broken in rules.items() if broken}


def samples_of(estimator: Estimator) -> int:
    """How many samples it needs."""
    if isinstance(estimator, Score):
        return estimator.baseline.samples
    return 2 if isinstance(estimator, Covariance) or (isinstance(estimator, WakeSleep) and estimator.wake) else 1


def within(estimator: Estimator) -> Estimator:
    """The estimator that MAP is around."""
    return getattr(estimator, "estimator", estimator)
