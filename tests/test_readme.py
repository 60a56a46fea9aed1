"""Every Python block of the README and the docs runs; every command line in them is one that exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


# blocks of the README stand alone; those of a docs page follow on one another
SCRIPTS = [("README.md", [b]) for b in blocks(PAGES[0], "python")]
SCRIPTS += [(p.name, blocks(p, "python")) for p in PAGES[1:] if blocks(p, "python")]


@pytest.mark.parametrize(("page", "code"), SCRIPTS, ids=[f"{page}-{i}" for i, (page, _) in enumerate(SCRIPTS)])
def test_python_blocks_run(page, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": f"block_of_{page}"}
    assert code
    for block in code:
        exec(compile(block, page, "exec"), names)


def test_command_lines_name_commands_and_options_that_exist():
    from elbox.cli import application

    commands = get_command(application()).commands
    found = 0
    for page in PAGES:
        for line in "".join(blocks(page, "console")).splitlines():
            if not line.startswith("$ elbox "):  # what it prints, or another program
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            found += 1
            known = {o for p in commands[words[1]].params for o in (*p.opts, *p.secondary_opts)}
            assert {w for w in words[2:] if w.startswith("-")} <= known | {"--help"}, line
    assert found > 10


def test_no_page_has_a_placeholder():
    for page in PAGES:
        assert not re.findall(r"^[A-Z]+_[A-Z_]+$", page.read_text(encoding="utf-8"), re.MULTILINE), page
