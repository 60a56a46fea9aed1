"""results.json holds what was measured, section by section; RESULTS.md is made from it."""

from __future__ import annotations

__all__ = ["keep", "page", "read", "table", "write"]

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.rounds import Spread, ratios

HERE = Path(__file__).parent


def keep(section: str, name: str, values: dict[str, Any], folder: Path = HERE) -> None:
    """Put the numbers of a part into results.json, in place of older ones of that part."""
    known = read(folder)
    known.setdefault(section, {})[name] = values | {"machine": machine.describe()}
    (folder / "results.json").write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path = HERE) -> dict[str, Any]:
    """What was measured: section → part → numbers."""
    path = folder / "results.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(folder: Path = HERE) -> None:
    """RESULTS.md from results.json; also printed."""
    text = page(read(folder))
    (folder / "RESULTS.md").write_text(text, encoding="utf-8")
    print(text)


def page(results: dict[str, Any]) -> str:
    """The page."""
    parts = ["# Benchmarks", INTRODUCTION]
    for letter, measured in sorted(results.get("speed", {}).items()):
        parts += [f"## {letter}: {measured['title']}", _commands(measured) if letter == "F" else workload(measured)]
    if results.get("nats"):
        parts += ["## Time to nats", _nats(results["nats"])]
    if results.get("speedrun"):
        parts += ["## Speedrun", _speedrun(results["speedrun"])]
    for measured in results.get("growth", {}).values():
        parts += ["## Growth", _growth(measured)]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """`make bench` measures, keeps the numbers in results.json and writes this page. Contenders train the
same model on the same data from the same weights, each in its own process, in interleaved rounds. Times are medians
(range) over rounds; ratios are medians of the ratios of each round: quote them, because machines are shared and their
times drift. "Of the limit" is the time of the step's matrix products alone, with the best kernel found here, in the
same rounds and precision, over the time of the step. Imports, compilation and the first pass are not in the times;
"ready after" is how long they take."""


def workload(measured: dict[str, Any]) -> str:
    """The table of one workload."""
    found = {k: v for k, v in measured["contenders"].items() if v.get("times")}
    limits = {v["precision"]: v["times"] for v in found.values() if v["limit"]}
    unit = measured.get("unit", "ms a step")
    rows = [_row(about, found, limits) for about in found.values()]
    learned = "NLL, nats" if "images" in measured else "ELBO after a pass"
    head = ["contender", unit, "elbox is faster by", "of the limit", "ready after, s", learned]
    lines = [table(head, rows), f"{measured['rounds']} rounds, {_data(measured)}."]
    seeds = measured.get("seeds")
    if seeds:
        lines.append(
            f"ELBO on 1000 held-out images, nats; over three seeds of the plain loop {Spread.of(seeds).text()}; "
            "a contender marked **!** differs by more than that explains."
        )
    if measured.get("full"):
        lines.append("elbox on all images, compilation included in each round, because that is what it compiles for.")
    if measured.get("samples", 1) > 1:
        lines.append("elbox's own gradient for IWAE is DReG, the peers' is not: hence the line with their gradient.")
    lines += [f"{v['title']}: {v['note']}." for v in found.values() if v.get("note")]
    lines += [f"{v['title']}: left out, {v['failed']}." for v in measured["contenders"].values() if "failed" in v]
    return "\n\n".join([lines[0], "\n".join(f"- {line}" for line in [*lines[1:], _machine(measured)])])


def _row(about: dict[str, Any], found: dict[str, Any], limits: dict[str, list[float]]) -> list[str]:
    times, ours = about["times"], found.get("elbox", {}).get("times")
    faster = "" if ours is None or ours is times else f"{statistics.median(ratios(times, ours)):.2f} ×"
    limit = limits.get(precision_of(about))
    share = "" if limit is None or about["limit"] else f"{statistics.median(ratios(limit, times)):.2f}"
    value = about.get("nll", about.get("bound", {}).get("elbo"))
    learned = "" if value is None else f"{value:.2f}" + (" **!**" if about.get("differs") else "")
    return [about["title"], Spread.of(times).text(), faster, share, f"{about['prepare']:.1f}", learned]


def precision_of(about: dict[str, Any]) -> str:
    """`"32"` or `"bf16"`; elbox chooses its own and says so in its note."""
    return about["precision"] or ("bf16" if "precision bf16" in about.get("note", "") else "32")


def _data(measured: dict[str, Any]) -> str:
    size = f"{measured['steps']} steps a pass" if "steps" in measured else f"{measured['images']} images, scaled"
    return f"{size}, {measured.get('data', '')}"


def _machine(measured: dict[str, Any]) -> str:
    return "; ".join(measured["machine"].values()) + "."


def _commands(measured: dict[str, Any]) -> str:
    rows = [[name, Spread.of(times).text()] for name, times in measured["command"].items()]
    return table(["", "s, median (range)"], rows) + f"\n\n- {measured['rounds']} rounds.\n- {_machine(measured)}"


def _nats(parts: dict[str, Any]) -> str:
    targets = list(next(iter(parts.values()))["to"])
    rows = []
    for measured in parts.values():
        reached = [f"{t:.0f}" if t is not None else "–" for t in measured["to"].values()]
        curve = ", ".join(f"{r['nll']:.2f} after {r['passes']} ({r['seconds']:.0f} s)" for r in measured["rows"])
        settings = " ".join(f"{k}={v}" for k, v in measured["settings"].items())
        rows.append([f"{measured['title']} {settings}".strip(), *reached, curve])
    text = "Seconds of training until the test NLL (5000 samples, first 2000 images) is at most so many nats."
    head = ["contender", *(f"≤ {t}, s" for t in targets), "NLL after passes"]
    last = list(parts.values())[-1]
    return f"{text}\n\n{table(head, rows)}\n\n- {last['protocol']}.\n- {_machine(last)}"


def _speedrun(tries: dict[str, Any]) -> str:
    rows = [
        [name, str(t["passes"]), f"{t['nll']:.2f} ± {t['se']:.2f}", f"{t['seconds']:.0f}"]
        for name, t in sorted(tries.items(), key=lambda item: item[1]["nll"])
    ]
    text = (
        "Whatever elbox can be told, against the clock: seconds of training, compilation included, and the test NLL at "
        "the end with its standard error over images, of (images × samples). The mark is 86.76 nats on MNIST, dynamic "
        "binarisation (Burda et al. 2015, table 1). Every try is listed, by its last run."
    )
    last = list(tries.values())[-1]
    return f"{text}\n\n{table(['what', 'passes', 'NLL', 's'], rows)}\n\n- {_machine(last)}"


def _growth(measured: dict[str, Any]) -> str:
    panels = measured["panels"].values()
    rows = [[p["title"], p["x"], ", ".join(f"{x:,}: {y:.3g}" for x, y in p["points"])] for p in panels]
    text = "Burda's net, batch 100, K = 1, unless it is what grows; the last line is a table of 16 binary columns."
    picture = "![How time and memory grow](figures/growth.png)"
    return f"{text}\n\n{picture}\n\n{table(['what', 'grows with', 'at: value'], rows)}\n\n- {_machine(measured)}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table.

    Example:
        >>> print(table(["a", "b"], [["1", "2"]]))
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("|" + "|".join(c if c == "---" else f" {c} " for c in line) + "|" for line in lines)
