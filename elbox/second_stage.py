r"""The second stage: a prior fitted to the codes of a trained model, likelihood and posterior as they are.

    ELBO = E_q(z|x)[log p(x|z)] − E_q(z|x)[log q(z|x)] + E_q(z|x)[log p(z)]

depends on the prior through its last term alone, so that maximum likelihood on draws of q(z|x) maximises the bound in
p(z). Draws are fresh in every step, and come from the training data as they stream by. What is kept is the best by the
bound on held-out data.

How a prior is fitted it says itself: by `fit(codes, seed)`, as a mixture by expectation–maximisation; else by gradient
steps on its `loss(z, c)`, or on −log p(z). One with `start(x, codes, seed)` is shown data before the first of these.
"""

from __future__ import annotations

__all__ = ["FittedPrior", "begin", "check_second_stage", "described", "fit_prior", "mean_over", "second_stage"]

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elbox import draws
from elbox.data import Data
from elbox.distributions.support import real
from elbox.errors import IncompatibleError, SettingError
from elbox.evaluate import held_out
from elbox.evaluate.chunks import MEMORY
from elbox.evaluate.latent import encode, in_chunks
from elbox.evaluate.scope import Examples, like_model, measuring, on_device
from elbox.model import VAE
from elbox.objectives import ELBO
from elbox.priors import FittedMixture, Staged, Standardized
from elbox.priors.learning import learning_loss
from elbox.train import Observer, Training, TrainResult, train
from elbox.train.processes import World, join

FITTED = 20_000  # training examples to whose codes a mixture is fitted, and from which a prior starts
HELD_OUT = 2000  # held-out examples, at most: a density may take long

Numbers = dict[str, float]


@dataclass(frozen=True)
class FittedPrior:
    """A model with another prior, and what that changed.

    Arguments:
        model: The model: the likelihood and posterior that were given, and the fitted prior.
        before: Means over held-out examples under the old prior, nats: `"bound"` (the ELBO), `"distortion"`, `"rate"`;
            of an autoencoder `"log_pz"` of its codes alone. None without held-out data, or without an old prior.
        after: The same under the new prior.
        examples: Number of held-out examples.
        training: How training went; None where nothing was trained by gradients.
    """

    model: VAE
    before: Numbers | None
    after: Numbers | None
    examples: int
    training: TrainResult | None = None

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended the training of the prior early."""
        return self.training is not None and self.training.interrupted

    def __str__(self) -> str:
        return described(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The numbers, as plain JSON values."""
        found: dict[str, Any] = {"prior": _name(self.model.prior), "examples": self.examples}
        found |= {"before": self.before, "after": self.after}
        if self.training is not None:
            found |= {"steps": self.training.steps, "seconds": round(self.training.seconds, 3)}
        return found


def described(found: dict[str, Any]) -> str:
    """The bound with the new prior beside that with the old one, in one line, from `FittedPrior.to_json`.

    Example:
        >>> described({"prior": "Flow", "examples": 9, "before": {"bound": -99.5}, "after": {"bound": -98.0}})
        'second stage: held-out bound -99.50 nats before, -98.00 with Flow (9 examples)'
    """
    before, after, name = found["before"], found["after"], found["prior"]
    if after is None:
        return f"second stage: {name} fitted to the codes; no held-out data to measure it on"
    what, label = ("bound", "held-out bound") if "bound" in after else ("log_pz", "log p(z) of held-out codes")
    old = "" if before is None else f"{before[what]:.2f} nats before, "
    unit = " nats" if before is None else ""
    return f"second stage: {label} {old}{after[what]:.2f}{unit} with {name} ({found['examples']} examples)"


def fit_prior(
    model: VAE,
    data: Data | Examples,
    prior: nn.Module | None = None,
    training: Training | None = None,
    *,
    valid: Examples | None = None,
    c: Tensor | None = None,
    memory: int = MEMORY,
    folder: Path | None = None,
    observer: Observer | None = None,
    resume: bool = False,
) -> FittedPrior:
    r"""The same model with another p(z), the one that maximises E_q(z|x)[log p(z)]: the bound, in p(z) alone.

    Likelihood, posterior and condition are those of the model given, not copies, and are not changed. An autoencoder
    can then be sampled, and a VAE whose aggregated posterior is not its prior samples better and has a better bound.

    Reference: Ghosh et al. (2020), *From variational to deterministic autoencoders*, §4 (ex-post density estimation);
    Dai & Wipf (2019), *Diagnosing and enhancing VAE models* (two stages); Hoffman & Johnson (2016), *ELBO surgery* (the
    best prior is the aggregated posterior).

    Arguments:
        model: A trained VAE or autoencoder.
        data: What `elbox.load` returned; or training examples [N, *event], of any type.
        prior: The new prior, trained in place; None takes `FittedMixture` of 10 components.
        training: How it is trained, if by gradients; its seed is that of all draws. None takes the defaults.
        valid: Held-out examples, where `data` are plain examples: without any, nothing is selected or measured.
        c: Condition [N, ...] of plain examples, for priors that are fitted at once; else `VAE(condition=)` computes it.
        memory: Budget in bytes for the tensors of one chunk.
        folder: Where metrics and checkpoints of the training are written; None writes nothing.
        observer: Shows progress; None is silent.
        resume: Go on from the newest checkpoint in `folder`.

    Returns:
        The model with its new prior, and its held-out bound with the old and the new one.

    Raises:
        IncompatibleError: if prior and posterior differ in their support.
        DataError: if there are too few examples for a mixture, or a code is not finite.
        ShapeError: if the data do not fit the model, or the prior its codes.

    Example:
        >>> import elbox
        >>> data = elbox.load("digits")
        >>> run = elbox.fit(elbox.recipes.vae(data.spec, latent=2), data, elbox.Training(epochs=5))
        >>> found = elbox.fit_prior(run.model, data, elbox.priors.LearnedNormal(2), elbox.Training(epochs=5))
        >>> found.after["distortion"] == found.before["distortion"], found.after["bound"] > found.before["bound"]
        (True, True)
    """
    training, world = training or Training(), join(training or Training())
    source = _source(data, valid)
    fitted = _with_prior(model, source.x, prior, c)
    if c is not None and not hasattr(fitted.prior, "fit"):
        raise IncompatibleError(
            f"got a condition c with {type(fitted.prior).__name__}, which is trained by gradients; expected a model "
            "that computes it from x, VAE(condition=...), or a FittedMixture prior"
        )
    _check_fits(fitted, source.x, c)
    measured = _measured(source.valid, training, memory, world)
    before = None if model.prior is None else measured(model)
    mode = model.training
    options = {"folder": folder, "observer": observer, "resume": resume}
    result = _fit(fitted, source, training, measured, c=c, memory=memory, **options)
    after = measured(fitted)
    fitted.train(mode)
    if model.prior is not None:  # training may have moved the parts that both models have
        model.prior.to(like_model(fitted, torch.empty(0)))
    return FittedPrior(fitted, before, after, 0 if source.valid is None else len(source.valid), result)


def _fit(
    model: VAE,
    source: _Source,
    training: Training,
    measured: Callable[[VAE], Numbers | None],
    *,
    c: Tensor | None,
    memory: int,
    **options: Any,
) -> TrainResult | None:
    """Fit the model's prior, in the way that it says."""
    prior: Any = model.prior
    if hasattr(prior, "fit"):
        prior.fit(_codes(model, source.all, c, memory, training.seed), training.seed)
        return None
    if not any(p.requires_grad for p in prior.parameters()):
        return None
    if hasattr(prior, "start"):
        some = source.all[:FITTED]
        prior.start(some, lambda: _codes(model, some, None, memory, training.seed), training.seed)
    held = None if source.valid is None else lambda: _selecting(measured(model))
    with _fixed(model):
        return train(_PriorStep(model, source.prepare), source.x, training, held_out=held, **options)


def begin(model: VAE, x: Examples, *, seed: int = 0, memory: int = MEMORY) -> None:
    """Let the model's prior start from data, if it is one that does: `NormalMixture(from_codes=True)`, for example.

    Such a prior has `start(x, codes, seed)`, where `codes()` encodes the examples; other priors stay as they are.

    Arguments:
        model: The model, as it is before training or after pretraining.
        x: Training examples [N, *event].
        seed: Seed of what the prior draws.
        memory: Budget in bytes for the tensors of one chunk.

    Example:
        >>> import elbox, torch
        >>> model = elbox.recipes.vade(elbox.DataSpec((5,), "real"), latent=2, components=3).model
        >>> before = model.prior.means.clone()
        >>> begin(model, torch.randn(100, 5))
        >>> torch.equal(model.prior.means, before)
        False
    """
    start = getattr(model.prior, "start", None)
    if start is not None:
        start(x[: len(x)], lambda: encode(model, x, memory=memory), seed)


def second_stage(model: VAE, data: Data, training: Training, **options: Any) -> FittedPrior | None:
    """Fit the model's own prior, if it is one to be fitted after training; None if it is not.

    Arguments:
        model: A trained model; a `Staged` prior is in its second stage afterwards.
        data, training, options: As `fit_prior`.

    Example:
        >>> import elbox
        >>> from elbox.priors import FittedMixture, StandardNormal
        >>> data = elbox.load("digits")
        >>> model = elbox.recipes.rae_l2(data.spec, latent=2, components=3).model
        >>> found = second_stage(model, data, elbox.Training())
        >>> bool(model.prior.means.any())
        True
    """
    prior = getattr(model.prior, "after_training", None)
    if prior is None:
        return None
    found = fit_prior(model, data, prior, training, **options)
    if isinstance(model.prior, Staged):
        model.prior.fitted = not found.interrupted
    return found


def check_second_stage(model: VAE, x: Tensor, examples: int) -> None:
    """Refuse, before the first stage, a second one that would fail.

    Arguments:
        model: A model.
        x: Two examples.
        examples: Number of training examples.

    Raises:
        IncompatibleError, ShapeError, DataError: as `fit_prior`.
    """
    prior = getattr(model.prior, "after_training", None)
    if prior is None:
        return None
    if isinstance(prior, FittedMixture):
        return prior.check(examples)
    fitted = VAE(prior, model.likelihood, model.posterior, model.condition)
    _check_fits(fitted, x, None)
    _PriorStep(fitted)(x)


def mean_over(parts: list[tuple[int, Numbers]]) -> Numbers:
    """Means over all rows, from the means over each part of n rows.

    Example:
        >>> mean_over([(1, {"bound": -4.0}), (3, {"bound": -8.0})])
        {'bound': -7.0}
    """
    rows = sum(n for n, _ in parts)
    return {name: sum(n * means[name] for n, means in parts) / rows for name in parts[0][1]}


class _PriorStep(nn.Module):
    """One step of a prior: codes of a batch are drawn, and its loss is taken of them."""

    progress: Tensor

    def __init__(self, model: VAE, prepare: nn.Module | None = None) -> None:
        super().__init__()
        self.model, self.prepare = model, prepare
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    def forward(self, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = (batch if self.prepare is None else self.prepare(batch)).to(self.progress.dtype)
        with torch.no_grad():
            c = self.model.given(x)
            z = self.model.encode(x, c=c).sample()
        return learning_loss(self.model.prior, z, c).mean(), {}  # type: ignore[arg-type]

    def train(self, mode: bool = True) -> _PriorStep:
        """The prior alone is trained: no dropout, and no corrupted input, for the others."""
        super().train(mode)
        for part in _others(self.model):
            part.eval()
        return self


@dataclass(frozen=True)
class _Source:
    """Examples: for steps, for a fit at once, and held out."""

    x: Any
    all: Any
    valid: Any
    prepare: nn.Module | None


def _source(data: Data | Examples, valid: Examples | None) -> _Source:
    if not isinstance(data, Data):
        return _Source(data, data, valid if valid is None or len(valid) else None, None)
    if valid is not None:
        raise SettingError("got valid= with data that have a validation split; leave it out, or give plain examples")
    held = data.stored("valid", HELD_OUT)
    return _Source(data.train.x, data.stored("train", FITTED), held if len(held) else None, data.prepare)


def _with_prior(model: VAE, x: Examples, prior: nn.Module | None, c: Tensor | None) -> VAE:
    first = like_model(model, x[:1])
    if prior is None:
        with measuring(model, 0):
            prior = FittedMixture(model.encode(first, c=on_device(model, c, slice(0, 1))).event_shape[0])
    return VAE(prior.to(first), model.likelihood, model.posterior, model.condition)


def _check_fits(model: VAE, x: Examples, c: Tensor | None) -> None:
    """Refuse a prior over other codes than the posterior's: a batch of one example tells."""
    with measuring(model, 0):
        first, given = like_model(model, x[:1]), on_device(model, c, slice(0, 1))
        group = model.terms(first, c=given, draw=draws.sample).groups["z"]
        if model.deterministic and not real(group.prior):  # type: ignore[arg-type]
            raise IncompatibleError(
                f"got codes of a {type(model.posterior).__name__} posterior, real numbers, with a "
                f"{type(model.prior).__name__} prior, which is not over these; use a FittedMixture prior"
            )


def _codes(model: VAE, x: Examples, c: Tensor | None, memory: int, seed: int) -> Tensor:
    """One draw of q(z|x) for each example."""
    return in_chunks(model, lambda part, given: model.encode(part, c=given).sample(), x, c, memory, seed)


def _measured(valid: Examples | None, training: Training, memory: int, world: World) -> Callable[[VAE], Numbers | None]:
    """What says how good a prior is on held-out data, in all processes together."""
    if valid is None:
        return lambda model: None
    own = world.share(valid)

    def measure(model: VAE) -> Numbers:
        return mean_over(world.gather((len(own), _numbers(model, own, training.seed, memory))))

    return measure


def _numbers(model: VAE, x: Examples, seed: int, memory: int) -> Numbers:
    if not model.deterministic:
        return held_out(model, x, ELBO(), seed=seed, memory=memory)

    def log_pz(part: Tensor, c: Tensor | None) -> Tensor:
        assert model.prior is not None
        return model.prior(model.given(part, c)).log_prob(model.encode(part, c=c).sample())

    return {"log_pz": float(in_chunks(model, log_pz, x, None, memory, seed).double().mean())}


def _selecting(found: Numbers | None) -> Numbers:
    """With the number by which weights are chosen under the name that training knows."""
    assert found is not None
    return {"bound": found["log_pz"]} | found if "log_pz" in found else found


def _name(prior: Any) -> str:
    own = type(prior).__name__
    return f"{own}({_name(prior.prior)})" if isinstance(prior, Standardized) else own


def _others(model: VAE) -> list[nn.Module]:
    return [part for part in (model.likelihood, model.posterior, model.condition) if part is not None]


@contextmanager
def _fixed(model: VAE) -> Iterator[None]:
    """Within it, all parameters but the prior's own are constants: those of a posterior that it holds are not its."""
    held = [p for part in _others(model) for p in part.parameters() if p.requires_grad]
    for p in held:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in held:
            p.requires_grad_(True)
