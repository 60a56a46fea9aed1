"""`python -m benchmarks speed|growth|nats|speedrun|page|all`: measure, keep results.json, write RESULTS.md."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.workloads import TRAINING, binary_images
from elbox.train import Training

LETTERS = "ABCDEF"


def main() -> None:
    options = _arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    _COMMANDS[options.command](options)
    report.write(options.folder)


def _speed(options: argparse.Namespace) -> None:
    data, name = binary_images()
    for letter in options.workloads:
        print(f"workload {letter}", flush=True)
        report.keep("speed", letter, _measure(letter, data, options) | {"data": name}, options.folder)


def _measure(letter: str, data: Any, options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks import command, likelihood, speed

    times: dict[str, Any] = {"rounds": options.rounds, "seconds": options.seconds}
    if letter in TRAINING:
        return speed.measure(TRAINING[letter], data, **times, steps=options.steps)
    if letter == "E":
        return likelihood.measure(data, **times, images=options.images, full=options.full)
    return command.measure(rounds=options.rounds)


def _growth(options: argparse.Namespace) -> None:
    from benchmarks import figures, growth

    known = report.read(options.folder).get("growth", {}).get("growth", {"panels": {}})["panels"]
    found = known | growth.measure(options.only, largest=options.largest)
    panels = {name: found[name] for name in growth.PANELS if name in found}
    figures.growth(panels, options.folder / "figures" / "growth.png")
    report.keep("growth", "growth", {"panels": panels}, options.folder)


def _nats(options: argparse.Namespace) -> None:
    from benchmarks import nats

    settings, schedule = dict(_setting(text) for text in options.set), f"passes={max(options.at)}"
    log = options.folder / "nats.jsonl"
    for name in options.contenders:
        own = settings if name == "elbox" else {}
        found = nats.measure(name, options.at, own, log, samples=options.samples, images=options.images)
        report.keep(
            "nats", " ".join([name, *([*options.set, schedule] if name == "elbox" else [])]), found, options.folder
        )


def _speedrun(options: argparse.Namespace) -> None:
    from benchmarks import speedrun

    names = ("epochs", "batch_size", "lr", "optimizer", "precision", "seed")
    given = {name: getattr(options, name) for name in names}
    asked = {"data": options.data, "samples": options.samples, "images": options.images}
    found = speedrun.measure(options.recipe, options.set, given, **asked)
    words = [options.recipe, *options.set, *(f"{k}={v}" for k, v in given.items()), options.data]
    words.append(f"({found['images']} × {found['samples']})")
    report.keep("speedrun", " ".join(words), found, options.folder)


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _all(options: argparse.Namespace) -> None:
    for name in ("speed", "growth", "nats"):
        _COMMANDS[name](_arguments(["--folder", str(options.folder), name]))


_COMMANDS = {
    "speed": _speed,
    "growth": _growth,
    "nats": _nats,
    "speedrun": _speedrun,
    "page": lambda options: None,
    "all": _all,
}


def _arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--folder", type=Path, default=report.HERE, help="where results.json and RESULTS.md are kept")
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("speed", help="time of a step, of an evaluation, of a command")
    speed.add_argument("--workloads", nargs="+", default=list(LETTERS), choices=list(LETTERS))
    speed.add_argument("--rounds", type=int, default=5)
    speed.add_argument("--seconds", type=float, default=1.0, help="least length of a contender's turn")
    speed.add_argument("--steps", type=int, help="steps of a pass, to try things out")
    speed.add_argument("--images", type=int, default=100, help="test images of the subset of workload E")
    speed.add_argument(
        "--full", action=argparse.BooleanOptionalAction, default=True, help="workload E: elbox on all 10 000 images"
    )
    growth = commands.add_parser("growth", help="time and memory against size, with a figure")
    growth.add_argument("--only", nargs="*", default=[], help="some of the curves; the others stay")
    growth.add_argument("--largest", type=float, default=float("inf"), help="leave out larger sizes")
    nats = commands.add_parser("nats", help="seconds of training to a test NLL")
    nats.add_argument("--contenders", nargs="+", default=["jax", "elbox"], choices=["jax", "elbox"])
    nats.add_argument("--at", nargs="+", type=int, default=[40, 121, 364], help="passes after which NLL is measured")
    nats.add_argument(
        "--set", nargs="*", action="extend", default=[], metavar="NAME=VALUE", help="settings of elbox.Training"
    )
    nats.add_argument("--samples", type=int, default=5000)
    nats.add_argument("--images", type=int, default=2000)
    run = commands.add_parser("speedrun", help="one try at reaching a test NLL soonest")
    run.add_argument("--recipe", default="vae")
    run.add_argument(
        "--set", nargs="*", action="extend", default=[], metavar="NAME=VALUE", help="as those of elbox fit"
    )
    run.add_argument("--epochs", type=int, required=True)
    run.add_argument("--batch-size", type=int, default=Training.batch_size)
    run.add_argument("--lr", type=float, default=Training.lr)
    run.add_argument("--optimizer", default=Training.optimizer)
    run.add_argument("--precision", default=Training.precision)
    run.add_argument("--seed", type=int, default=Training.seed)
    run.add_argument("--data", default="mnist")
    run.add_argument("--samples", type=int, default=5000)
    run.add_argument("--images", type=int, help="test images of the NLL; default: all")
    commands.add_parser("page", help="write RESULTS.md from results.json")
    commands.add_parser("all", help="speed, growth and nats")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
