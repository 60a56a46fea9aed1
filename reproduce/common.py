"""Where results are kept: one section of RESULTS.md for each reproduction, written anew by its command."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path

import torch

import elbox

FILE = Path(__file__).with_name("RESULTS.md")
FIGURES = Path(__file__).with_name("figures")


def record(name: str, title: str, text: str, start: float) -> None:
    """Replace the section `name` of RESULTS.md, or add it, with the command, the machine and the time it took."""
    minutes = (time.perf_counter() - start) / 60
    machine = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, elbox {elbox.__version__}"
    section = (
        f"<!-- {name} -->\n## {title}\n\n`python -m reproduce {name}` · {minutes:.1f} min on {machine}, "
        "a shared machine\n\n"
        f"{text.strip()}\n\n<!-- end {name} -->\n"
    )
    old = (
        FILE.read_text(encoding="utf-8")
        if FILE.exists()
        else "# Reproduced results\n\nNats; ± is one standard error.\n\n"
    )
    pattern = re.compile(rf"<!-- {re.escape(name)} -->.*?<!-- end {re.escape(name)} -->\n", re.DOTALL)
    new = pattern.sub(lambda _: section, old) if pattern.search(old) else old + section + "\n"
    FILE.write_text(new, encoding="utf-8")
    print(section)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
