"""A run: a recipe trained on data, with everything that is needed to trust, repeat, resume and use it.

run.json            recipe with all settings, data and protocol, training settings, seed, versions, device, status
model.safetensors   the best weights by the held-out bound
metrics.jsonl       one row an epoch (train) and one a held-out evaluation (held_out), in nats
split.npz           row numbers of the splits
checkpoints/        everything that an exact resume needs
evaluation.json     the numbers of the last `evaluate`
gaps.json           the numbers of the last `gaps`, if any
report.html         the report
second_stage/       metrics and checkpoints of a prior that was trained after the model
"""

from __future__ import annotations

__all__ = ["Interrupted", "Run", "fit", "load_run", "resume"]

import copy
import io
import json
import platform
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from elbox import data as data_package
from elbox.data import Data
from elbox.errors import ElboxError, IncompatibleError, NonFiniteError, RunError
from elbox.evaluate import Evaluation, Gaps, MeanSE, clustered, held_out
from elbox.evaluate import evaluate as evaluate_model
from elbox.evaluate import gaps as measure_gaps
from elbox.evaluate.bounds import bounds
from elbox.evaluate.chunks import MEMORY
from elbox.evaluate.code_use import code_use
from elbox.evaluate.decomposition import decomposed
from elbox.evaluate.result import ACTIVE
from elbox.evaluate.scope import Examples
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.priors import ExemplarPrior
from elbox.recipes import Recipe
from elbox.second_stage import FITTED, begin, check_second_stage, fit_prior, mean_over, second_stage
from elbox.spec import DataSpec
from elbox.train import Training, TrainResult, checkpoint, train
from elbox.train.loop import check
from elbox.train.precision import no_denormals
from elbox.train.processes import join
from elbox.train.step import Step
from elbox.version import VERSION

SECOND = "second_stage"  # folder
SAMPLES, FEW = 1000, 10  # of an evaluation; and where the density of the prior takes long


class Interrupted(Exception):
    """Training was stopped by Ctrl-C or SIGTERM after a checkpoint; the message says how to resume."""


class Run:
    """A trained model with its record; `fit`, `resume` and `load_run` make it.

    Attributes:
        recipe: The recipe, whose model holds the best weights.
        folder: The run's folder, or None for a run that was not written.
        info: What run.json says.
        metrics: Rows of metrics.jsonl.

    Example:
        >>> import elbox
        >>> data = elbox.load("digits")
        >>> run = elbox.fit(elbox.recipes.vae(data.spec, latent=2), data, elbox.Training(epochs=1))
        >>> run.model.sample(4).shape
        torch.Size([4, 1, 8, 8])
    """

    def __init__(
        self,
        recipe: Recipe,
        info: dict[str, Any],
        metrics: list[dict[str, Any]],
        folder: Path | None = None,
        data: Data | None = None,
        data_dir: Path | None = None,
    ) -> None:
        self.recipe, self.info, self.metrics, self.folder = recipe, info, metrics, folder
        self._data, self._data_dir = data, data_dir

    @property
    def model(self) -> VAE:
        """The model with its best weights, in evaluation mode."""
        return self.recipe.model

    @cached_property
    def data(self) -> Data:
        """The data it was trained on, loaded again and checked if the run came from disk.

        Raises:
            DataError: if they are no longer there, or differ.
        """
        return self._data or data_package.reload(self.info["data"], data_dir=self._data_dir)

    @property
    def spec(self) -> DataSpec:
        """Shape and kind of one example, as the model sees it."""
        return DataSpec.from_json(self.info["spec"])

    @property
    def protocol(self) -> str:
        """How the data were binarised, or that they were not; it belongs beside every number."""
        return self.info["protocol"]

    def describe(self) -> str:
        """One line: recipe, data, status."""
        name = self.recipe.name or "a model of parts"
        return f"{name} on {self.info['description']} ({self.info['status']})"

    @property
    def samples(self) -> int:
        """Samples of an example in an evaluation that asks for no number: 1000, or 10 where log p(z) takes long."""
        return FEW if any(getattr(part, "slow", False) for part in self.model.modules()) else SAMPLES

    def evaluate(self, split: str = "test", samples: int | None = None, seed: int = 0, **options: Any) -> Evaluation:
        """Bounds and diagnostics on a split, kept in the folder as evaluation.json.

        Arguments:
            split: `"train"`, `"valid"` or `"test"`.
            samples: S of the importance-weighted log-likelihood; None takes 1000, or 10 where the prior is one whose
                density takes long (`Diffusion`).
            seed: Seed of the posterior samples.
            options: Handed on to `elbox.evaluate`.

        Example:
            >>> import elbox
            >>> data = elbox.load("digits")
            >>> run = elbox.fit(elbox.recipes.vae(data.spec, latent=2), data, elbox.Training(epochs=1))
            >>> run.evaluate(samples=10).n
            180
        """
        samples = self.samples if samples is None else samples
        x, y = self.data.stored(split), getattr(self.data, split).y
        result = _evaluate(self.model, x, samples=samples, seed=seed, **options)
        result = clustered(result, self.model, x, y, c=options.get("c"), seed=seed)
        folder, record = self.folder, {"split": split, "protocol": self.protocol, **result.to_json()}
        if folder:
            join(Training()).on_first(lambda: checkpoint.write_json(folder / "evaluation.json", record))
        return result

    def fit_prior(
        self,
        prior: nn.Module | None = None,
        training: Training | None = None,
        *,
        out: str | Path | None = None,
        observer: Any = None,
    ) -> Run:
        """Another run, of the same model with another prior, trained on its codes; this one stays as it is.

        `info["second_stage"]` of the new run has the held-out bound with the old prior and with the new one.

        Arguments:
            prior: The new prior; None takes `FittedMixture`.
            training: How it is trained; None takes the defaults.
            out: Folder for the new run, which must not exist; None keeps it in memory.
            observer: Shows progress; None is silent.

        Raises:
            RunError: if `out` exists.
            Interrupted: after Ctrl-C or SIGTERM; nothing is written.
            IncompatibleError, DataError, ShapeError: as `elbox.fit_prior`.

        Example:
            >>> import elbox
            >>> data = elbox.load("digits")
            >>> run = elbox.fit(elbox.recipes.vae(data.spec, latent=2), data, elbox.Training(epochs=1))
            >>> run.fit_prior().model.prior.components
            10
        """
        if out is not None and Path(out).exists():
            raise RunError(f"got the folder {out}, which exists; expected a new one")
        found = fit_prior(self.model, self.data, prior, training, observer=observer)
        if found.interrupted:
            raise Interrupted("stopped before the prior was trained; nothing was written")
        made = {"of": str(self.folder or ""), "training": (training or Training()).to_json()}
        info = self.info | {"second_stage": found.to_json() | made}
        info["best_bound"] = (found.after or {}).get("bound", info.get("best_bound"))
        new = Run(replace(self.recipe, model=found.model.eval()), info, self.metrics, None, self.data, self._data_dir)
        new.info["recipe"] = new.recipe.to_json()
        if out is not None:
            new.folder = new.save(out)
        return new

    def gaps(
        self, split: str = "test", examples: int = 100, samples: int | None = None, seed: int = 0, **options: Any
    ) -> Gaps:
        """What lies between the ELBO and log p(x), on the first examples of a split; kept in the folder as gaps.json.

        Arguments:
            split: `"train"`, `"valid"` or `"test"`.
            examples: Number of examples.
            samples: S of the encoder's posterior, and of each ELBO; None as in `evaluate`.
            seed: Seed of everything random.
            options: Handed on to `elbox.evaluate.gaps`.

        Example:
            >>> import elbox
            >>> data = elbox.load("digits")
            >>> run = elbox.fit(elbox.recipes.vae(data.spec, latent=2), data, elbox.Training(epochs=1))
            >>> run.gaps(examples=2, samples=25, temperatures=2, steps=2).n
            2
        """
        samples = self.samples if samples is None else samples
        found = measure_gaps(self.model, self.data.stored(split, examples), samples=samples, seed=seed, **options)
        if self.folder:
            record = {"split": split, "protocol": self.protocol, **found.to_json()}
            checkpoint.write_json(self.folder / "gaps.json", record)
        return found

    def save(self, folder: str | Path) -> Path:
        """Write run.json, the weights and the metrics to a new folder, from which `load_run` makes the same run.

        Raises:
            RunError: if the folder exists, or a part of the model cannot be described in JSON.
        """
        folder = Path(folder)
        if folder.exists():
            raise RunError(f"got the folder {folder}, which exists; expected a new one")
        description = self.info | {"recipe": self.recipe.to_json()}
        folder.mkdir(parents=True)
        checkpoint.write_json(folder / "run.json", description)
        checkpoint.write_tensors(folder / "model.safetensors", self.model.state_dict())
        checkpoint.write_text(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in self.metrics))
        return folder


def fit(
    recipe: Recipe,
    data: Data,
    training: Training | None = None,
    *,
    out: str | Path | None = None,
    observer: Any = None,
) -> Run:
    """Train a recipe on data.

    Arguments:
        recipe: Model, objective and estimator; it is copied, so that its own weights stay as they are.
        data: What `elbox.load` or `elbox.from_array` returned.
        training: Settings of training; None takes the defaults.
        out: Folder for the run, which must not exist; None keeps everything in memory.
        observer: Shows progress; None is silent.

    Returns:
        The run, its model with the best weights by the held-out bound.

    Raises:
        RunError: if `out` exists.
        NonFiniteError: on the first loss that is not finite.
        Interrupted: after Ctrl-C or SIGTERM, when a checkpoint was written.

    Example:
        >>> import elbox
        >>> data = elbox.load("digits")
        >>> run = elbox.fit(elbox.recipes.vae(data.spec, latent=2), data, elbox.Training(epochs=2))
        >>> [row["split"] for row in run.metrics]
        ['train', 'held_out', 'train', 'held_out']
    """
    training = training or Training()
    world = join(training)
    check(training, data.train.x)
    with no_denormals():  # threads inherit it from the first operation that starts them
        recipe = copy.deepcopy(recipe)
        _check_fit(recipe, data)
        info = _info(recipe, data, training)
        folder = Path(out) if out is not None else None
        if folder is not None:
            world.on_first(lambda: _write_beginning(folder, info, data))
        return _train(recipe, data, training, info, folder, observer, resuming=False)


def resume(
    folder: str | Path,
    *,
    data: Data | None = None,
    data_dir: Any = None,
    devices: int | None = None,
    allow: tuple[type, ...] = (),
    observer: Any = None,
) -> Run:
    """Go on with a run that was interrupted, to the bit as if it had not been.

    Arguments:
        folder: The run's folder.
        devices: Number of processes; None takes that of the run. Another number goes on with other noise.
        data: The data, where they came from an array in memory; None loads them again.
        data_dir: Where data files are.
        allow: Classes outside elbox that the run may name.
        observer: Shows progress; None is silent.

    Raises:
        RunError: if it is no run or is finished.
        DataError: if the data are not there or differ.
    """
    folder = Path(folder)
    info = load_info(folder)
    if info["status"] in ("finished", "stopped early"):
        raise RunError(
            f"got the run {folder}, which is {info['status']}; nothing is left to train: "
            f"elbox report {folder} evaluates it and writes its report"
        )
    training = training_of(folder, devices)
    join(training)
    recipe = _recipe(info, allow)
    data = data or data_package.reload(info["data"], data_dir=data_dir)
    with no_denormals():
        return _train(recipe, data, training, info, folder, observer, resuming=True)


def load_run(folder: str | Path, *, data_dir: Any = None, allow: tuple[type, ...] = ()) -> Run:
    """Load a run: JSON and safetensors, never a pickle.

    Arguments:
        folder: The run's folder.
        data_dir: Where data files are, if they are asked for.
        allow: Classes outside elbox that the run may name.

    Raises:
        RunError: if it is no run, is damaged, was never trained, or names a class that is not allowed.
    """
    folder = Path(folder)
    info = load_info(folder)
    recipe = _recipe(info, allow)
    weights = folder / "model.safetensors"
    if not weights.exists():
        raise RunError(f"got the run {folder} without trained weights; use: elbox resume {folder}")
    _load_weights(recipe.model, weights)
    recipe.model.eval()
    metrics = checkpoint.read_rows(folder / "metrics.jsonl")
    return Run(recipe, info, metrics, folder, data_dir=data_dir)


def _train(
    recipe: Recipe,
    data: Data,
    training: Training,
    info: dict[str, Any],
    folder: Path | None,
    observer: Any,
    *,
    resuming: bool,
) -> Run:
    if not (resuming and folder is not None and checkpoint.Checkpoints(folder / "checkpoints").paths()):
        _begin(recipe, data, training, info, folder, observer, resuming=resuming)
    elif isinstance(recipe.model.prior, ExemplarPrior):  # of data that it needs, and that no checkpoint holds
        recipe.model.prior.remember(data.stored("train", FITTED), training.seed)
    step, world = Step(recipe.model, recipe.objective, recipe.estimator, data.prepare), join(training)
    valid, bound = data.stored("valid"), recipe.objective.bound()
    own = world.share(valid)

    def evaluate_held_out() -> dict[str, float]:
        return mean_over(world.gather((len(own), held_out(recipe.model, own, bound))))

    info.pop("error", None)  # of a failure before this session
    try:
        result = train(
            step,
            data.train.x,
            training,
            held_out=evaluate_held_out if len(valid) else None,
            folder=folder,
            observer=observer,
            resume=resuming,
        )
    except NonFiniteError as error:  # the record says so, for `doctor` and whoever looks at it later
        info |= {"status": "failed", "error": str(error)}
        if folder is not None and world.first:
            checkpoint.write_json(folder / "run.json", info)
        raise
    info |= _outcome(result)
    recipe.model.eval()
    interrupted = result.interrupted
    if not interrupted:
        inside = None if folder is None else folder / SECOND
        found = second_stage(
            recipe.model, data, training, folder=inside, observer=observer, resume=resuming and inside is not None
        )
        if found is not None:
            interrupted = found.interrupted
            info |= {"second_stage": found.to_json()} | ({"status": "interrupted"} if interrupted else {})
    if folder is not None:
        world.on_first(lambda: _write_end(folder, info, recipe.model))
    if interrupted:
        raise _interrupted(result, folder)
    return Run(recipe, info, result.history, folder, data)


def _begin(
    recipe: Recipe,
    data: Data,
    training: Training,
    info: dict[str, Any],
    folder: Path | None,
    observer: Any,
    *,
    resuming: bool,
) -> None:
    """Pretrain, and let the prior start from the data, where the recipe says so."""
    first, aside = recipe.pretraining, None if folder is None else folder / "pretraining"
    if first is not None:
        passes = max(1, round(recipe.share * training.passes(len(data.train.x))))
        step = Step(first.model, first.objective, first.estimator, data.prepare)
        settings = replace(training, epochs=passes, patience=None)
        result = train(step, data.train.x, settings, folder=aside, observer=observer, resume=resuming and bool(aside))
        if result.interrupted:
            info |= {"status": "interrupted"}
            if folder is not None:
                join(training).on_first(lambda: checkpoint.write_json(folder / "run.json", info))
            raise _interrupted(result, folder)
        like = next(first.model.parameters())
        recipe.model.to(like.device, like.dtype)
    begin(recipe.model, data.stored("train", FITTED), seed=training.seed)


def _interrupted(result: TrainResult, folder: Path | None) -> Interrupted:
    where = f"; go on with: elbox resume {folder}" if folder else ""
    return Interrupted(f"stopped after step {result.steps}{where}")


def _write_beginning(folder: Path, info: dict[str, Any], data: Data) -> None:
    if folder.exists():
        raise RunError(
            f"got the folder {folder}, which exists; expected a new one; a run that was interrupted goes on with "
            f"elbox resume {folder}"
        )
    folder.mkdir(parents=True)
    checkpoint.write_json(folder / "run.json", info)
    _write_split(folder / "split.npz", data)


def _write_end(folder: Path, info: dict[str, Any], model: VAE) -> None:
    checkpoint.write_tensors(folder / "model.safetensors", model.state_dict())
    checkpoint.write_json(folder / "run.json", info)


def _evaluate(
    model: VAE, x: Examples, *, seed: int, memory: int = MEMORY, c: torch.Tensor | None = None, **options: Any
) -> Evaluation:
    """`elbox.evaluate`, of which each process of the run measures its share of the rows."""
    world = join(Training())
    if world.size == 1 or len(x) < 2 * world.size:
        return evaluate_model(model, x, seed=seed, memory=memory, c=c, **options)
    own, own_c = world.share(x), None if c is None else world.share(c)
    part = bounds(model, own, seed=world.seed(seed), memory=memory, c=own_c, **options)
    merged = replace(_merged(world.gather(part)), seed=seed)
    merged = decomposed(merged, model, x, seed=seed, memory=memory, c=c)
    return code_use(merged, model, x, memory=memory, c=c)  # of all together: each process finds the same


def _merged(parts: list[Evaluation]) -> Evaluation:
    """The evaluation of all rows, of which each part has some, in order."""
    first, rows = parts[0], np.array([part.n for part in parts])
    values = {name: np.concatenate([part.per_example[name] for part in parts]) for name in first.per_example}
    rates = np.array([part.rate_per_dimension for part in parts])
    within, centres = (np.array([getattr(p, f"{n}_of_means") for p in parts]) for n in ("variance", "mean"))
    centre = rows @ centres / rows.sum()
    variance = ((rows - 1) @ within + rows @ (centres - centre) ** 2) / (rows.sum() - 1)
    means: dict[str, Any] = {name: MeanSE.of(value) for name, value in values.items()}
    return replace(
        first,
        n=int(rows.sum()),
        **means,
        rate_per_dimension=tuple((rows @ rates / rows.sum()).tolist()),
        mean_of_means=tuple(centre.tolist()),
        variance_of_means=tuple(variance.tolist()),
        active_units=None if first.active_units is None else int((variance > ACTIVE).sum()),
        closed_form=all(part.closed_form for part in parts),
        precision=next((part.precision for part in parts if part.precision != "32"), "32"),
        per_example=values,
    )


def _check_fit(recipe: Recipe, data: Data) -> None:
    """Refuse a recipe made for other data, or whose parts do not fit each other, before anything is written."""
    likelihood, spec = recipe.model.likelihood, data.spec
    if isinstance(likelihood, Likelihood):
        likelihood.check(spec)
    levels = getattr(likelihood, "levels", spec.levels)
    if spec.kind == "levels" and levels != spec.levels:
        raise IncompatibleError(
            f"got a {type(likelihood).__name__} of {levels} levels for data of {spec.levels}; make the recipe with the "
            "data's own spec: recipe(data.spec)"
        )
    enough = getattr(recipe.model.prior, "check", None)
    if enough is not None:
        enough(len(data.train.x))
    with torch.random.fork_rng():
        for stage in (recipe, recipe.pretraining):
            tried = copy.deepcopy(stage)  # its parts may remember what they are shown
            if tried is not None:
                tried.estimator(tried.model, data.examples("train", 2), tried.objective)
        check_second_stage(recipe.model, data.examples("train", 2), len(data.train.x))


def _recipe(info: dict[str, Any], allow: tuple[type, ...]) -> Recipe:
    """The recipe that a run's record describes; whatever is wrong with the record is one sentence."""
    try:
        return Recipe.from_json(info["recipe"], DataSpec.from_json(info["spec"]), allow)
    except ElboxError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise RunError(f"got a damaged recipe in run.json ({error}); expected it as elbox wrote it") from error


def _info(recipe: Recipe, data: Data, training: Training) -> dict[str, Any]:
    versions = {"elbox": VERSION, "torch": torch.__version__, "python": platform.python_version()}
    likelihood = type(recipe.model.likelihood).__name__
    return {
        "format": 1,
        "status": "running",
        "recipe": recipe.to_json(),
        "spec": data.spec.to_json(),
        "data": data.source,
        "description": data.describe(),
        "columns": list(data.columns),
        "protocol": data.protocol,
        "training": training.to_json(),
        "seed": training.seed,
        "versions": versions,
        "machine": platform.platform(),
        "notes": [f"likelihood: {likelihood}, for {data.spec.kind} data"],
    }


def _outcome(result: TrainResult) -> dict[str, Any]:
    status = "interrupted" if result.interrupted else "stopped early" if result.stopped_early else "finished"
    return {
        "status": status,
        "steps": result.steps,
        "seconds": round(result.seconds, 3),
        "best_bound": result.best_bound,
        "choice": result.choice.to_json(),
    }


def training_of(folder: Path, devices: int | None = None) -> Training:
    """The training settings of a run, to go on with the given number of processes on one machine, if any."""
    training = Training.from_json(load_info(folder)["training"])
    return training if devices is None else replace(training, devices=devices, nodes=1)


def load_info(folder: Path) -> dict[str, Any]:
    if not (folder / "run.json").is_file():
        raise RunError(f"got {folder}, which holds no run.json; expected the folder of a run, such as runs/demo")
    info = checkpoint.read_json(folder / "run.json")
    missing = [k for k in ("recipe", "spec", "data", "training", "status", "protocol") if k not in info]
    if missing:
        raise RunError(f"got {folder / 'run.json'} without {', '.join(missing)}; expected the record of an elbox run")
    return info


def _write_split(path: Path, data: Data) -> None:
    buffer = io.BytesIO()
    rows: dict[str, Any] = {name: np.asarray(numbers) for name, numbers in data.indices.items()}
    np.savez_compressed(buffer, **rows)
    checkpoint.write_bytes(path, buffer.getvalue())


def _load_weights(model: VAE, path: Path) -> None:
    tensors, _ = checkpoint.read_tensors(path)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise RunError(
            f"got weights in {path} that do not fit the recipe in run.json ({first}); expected those of the run"
        ) from None
