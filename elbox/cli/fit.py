"""`elbox fit` and `elbox resume`."""

from __future__ import annotations

__all__ = ["finish", "fit", "fresh", "resume"]

import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from elbox import data as data_package
from elbox import runs
from elbox.cli.output import print_json, print_table, say
from elbox.cli.settings import split
from elbox.cli.shared import fit_in
from elbox.errors import RunError
from elbox.evaluate import Evaluation
from elbox.recipes.base import named
from elbox.runs import Run
from elbox.second_stage import described
from elbox.train import Training, progress
from elbox.train.launch import launch
from elbox.train.processes import World, join, launched

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of data files; default: $ELBOX_DATA.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

DONE = ("finished", "stopped early")
LARGE = 100_000_000  # bytes of a file that takes seconds to read


def fit(
    data: Annotated[
        str,
        typer.Argument(
            help="In `elbox data`; or a .npy, .npz, .csv, .parquet file; or a folder of .npy, .parquet or image files."
        ),
    ],
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Name in `elbox recipes`.")] = "vae",
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="A setting; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run; default: runs/DATA-RECIPE.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training data; default: as many as make 5000 steps, 1 to 400.")
    ] = Training.epochs,
    batch_size: Annotated[int, typer.Option(help="Examples a step.")] = Training.batch_size,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = Training.lr,
    optimizer: Annotated[str, typer.Option(help="adam, adamw, adamax, adagrad or sgd.")] = Training.optimizer,
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and samples; splits stay.")] = Training.seed,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = Training.device,
    devices: Annotated[
        str, typer.Option(help="Processes that share each batch, with a device each; or a name, as --device.")
    ] = str(Training.devices),
    nodes: Annotated[int, typer.Option(help="Machines with so many processes each.")] = Training.nodes,
    strategy: Annotated[
        str, typer.Option(help="auto, ddp or fsdp: how several processes share the work.")
    ] = Training.strategy,
    precision: Annotated[str, typer.Option(help="auto, 32, tf32, bf16, 16 or 64.")] = Training.precision,
    compile: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Compile the step; default: if the run is long enough."),
    ] = Training.compile,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many evaluations without improvement.")
    ] = Training.patience,
    binarise: Annotated[str | None, typer.Option(help="static, dynamic or threshold, for grey levels.")] = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a model, evaluate it in nats and write a report.

    Example: `elbox fit digits --recipe vae --set latent=10 --out runs/demo`
    """
    given, start = dict(locals()), time.perf_counter()
    make = named(recipe)
    of_recipe, of_training, of_data = split(settings or [], make)
    training = Training(
        epochs, batch_size, lr, optimizer, seed=seed, precision=precision, compile=compile, patience=patience,
        device=device if devices.isdigit() else devices, devices=int(devices) if devices.isdigit() else 1,
        nodes=nodes, strategy=strategy, **of_training,
    )  # fmt: skip
    if out is not None and out.exists():
        _check_existing(out, data, recipe, training)
    folder = Path("runs") / f"{Path(data).stem}-{recipe}"
    if not launched(training):
        return launch(fit, given | {"out": out or fresh(folder)}, training, out or fresh(folder))
    world = join(training)
    target = world.on_first(lambda: out or fresh(folder))
    # One split for all seeds, and one for all processes.
    silent = quiet or as_json or not world.first
    _say_reading(data, quiet=silent)
    loaded = data_package.load(data, data_dir=data_dir, binarise=binarise, fits=fit_in(world), **of_data)
    model = make(loaded.spec, seed=seed, **of_recipe)
    say(loaded.describe(), quiet=silent)
    say(f"{recipe} with {type(model.model.likelihood).__name__} likelihood; {loaded.protocol}", quiet=silent)
    observer = progress(quiet=silent)
    if world.on_first(lambda: _resumable(target, model.to_json(), training, loaded.source)):
        run = runs.resume(target, data=loaded, observer=observer)
    else:
        run = runs.fit(model, loaded, training, out=target, observer=observer)
    finish(run, time.perf_counter() - start, world, quiet=quiet, as_json=as_json)


def resume(
    run: Annotated[Path, typer.Argument(help="Folder of a run that was interrupted.")],
    devices: Annotated[int | None, typer.Option(min=1, help="Processes; default: as many as the run had.")] = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Go on with an interrupted run, to the bit as if it had not been interrupted.

    Example: `elbox resume runs/demo`
    """
    given, start = dict(locals()), time.perf_counter()
    training = runs.training_of(run, devices)
    if not launched(training):
        return launch(resume, given, training, run)
    world = join(training)
    silent = quiet or as_json or not world.first
    observer = progress(quiet=silent)
    _say_reading(runs.load_info(run)["data"].get("path", ""), quiet=silent)
    resumed = runs.resume(run, data_dir=data_dir, devices=devices, observer=observer)
    finish(resumed, time.perf_counter() - start, world, quiet=quiet, as_json=as_json)


def finish(run: Run, seconds: float, world: World, *, quiet: bool, as_json: bool) -> None:
    """Evaluate, write the report and print the result."""
    silent = quiet or as_json or not world.first
    if "second_stage" in run.info:
        say(described(run.info["second_stage"]), quiet=silent)
    say(
        f"evaluating on the test split with {run.samples} samples an example; later: elbox report {run.folder}",
        quiet=silent,
    )
    evaluation = run.evaluate(progress=counter(silent))
    if world.first:
        _print_result(run, evaluation, seconds, quiet=quiet, as_json=as_json)


def _print_result(run: Run, evaluation: Evaluation, seconds: float, *, quiet: bool, as_json: bool) -> None:
    from elbox import report

    page = report.write(run, evaluation)
    if as_json:
        return print_json(
            {
                "run": str(run.folder),
                "report": str(page),
                "protocol": run.protocol,
                "split": "test",
                **evaluation.to_json(),
            }
        )
    print_evaluation(run, evaluation)
    say(f"trained in {seconds:.0f} s: {run.folder}", quiet=quiet)
    say(f"report: {page}", quiet=False)


def print_evaluation(run: Run, evaluation: Evaluation, split: str = "test") -> None:
    """The table of results, with the protocol."""
    print_table(f"{run.describe()}: {split}", ["", "mean ± s.e.", "unit"], evaluation.rows())
    say(f"protocol: {run.protocol}")


def counter(quiet: bool) -> Callable[[int, int], None] | None:
    """Examples done and time left on standard error: a line that is written over on a terminal, else one a quarter."""
    if quiet:
        return None
    start, shown = time.perf_counter(), [0]

    def show(done: int, total: int) -> None:
        tty, passed = sys.stderr.isatty(), time.perf_counter() - start
        if tty or (4 * done // total > shown[0] and passed > 5):
            shown[0] = 4 * done // total
            left = passed * (total - done) / done
            ending = "\n" if done >= total or not tty else ""
            sys.stderr.write(f"{chr(13) if tty else ''}{done} of {total} examples, {left:.0f} s left  {ending}")
            sys.stderr.flush()

    return show


def _say_reading(data: str, *, quiet: bool) -> None:
    """A line on standard error before a folder or a large file is read."""
    path = Path(data).expanduser()
    if not quiet and (path.is_dir() or (path.is_file() and path.stat().st_size >= LARGE)):
        sys.stderr.write(f"reading {data} …\n")
        sys.stderr.flush()


def _check_existing(folder: Path, data: str, recipe: str, training: Training) -> None:
    """Refuse a folder that cannot be the unfinished run of this call, before the data are read."""
    if not (folder / "run.json").is_file():
        raise RunError(f"got --out {folder}, which exists and is no run; expected a new folder")
    info = runs.load_info(folder)
    if info["status"] in DONE:
        raise RunError(f"got --out {folder}, which exists: a run that is {info['status']}; expected a new folder")
    found = info["data"].get("name"), info["recipe"].get("recipe"), Training.from_json(info["training"])
    if found != (data, recipe, training):
        raise RunError(
            f"got --out {folder}, which exists: a run of other data or settings; expected a new folder; that run goes "
            f"on with: elbox resume {folder}"
        )


def fresh(path: Path) -> Path:
    """`path`, or the first of path-2, path-3, … that does not exist."""
    return next(p for p in (path if n == 1 else path.with_name(f"{path.name}-{n}") for n in count(1)) if not p.exists())


def _resumable(folder: Path, recipe: dict, training: Training, source: dict) -> bool:
    """Whether the folder is an unfinished run of just this call."""
    if not (folder / "run.json").is_file():
        return False
    info = runs.load_info(folder)
    same = (info["recipe"], Training.from_json(info["training"]), info["data"]) == (recipe, training, source)
    return same and info["status"] not in DONE
