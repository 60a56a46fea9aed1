"""The command line: the only package that parses text."""

from __future__ import annotations

__all__ = ["COMMANDS", "main"]

import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer

from elbox.cli.about import data, recipes, show
from elbox.cli.codes import decode, encode, score
from elbox.cli.doctor import doctor
from elbox.cli.evaluate import evaluate, report
from elbox.cli.fit import fit, resume
from elbox.cli.pictures import interpolate, reconstruct, sample
from elbox.cli.prior import fit_prior
from elbox.errors import ElboxError
from elbox.runs import Interrupted

COMMANDS: dict[str, Callable[..., Any]] = {
    "fit": fit,
    "resume": resume,
    "fit-prior": fit_prior,
    "evaluate": evaluate,
    "doctor": doctor,
    "sample": sample,
    "reconstruct": reconstruct,
    "encode": encode,
    "decode": decode,
    "score": score,
    "interpolate": interpolate,
    "report": report,
    "recipes": recipes,
    "data": data,
    "show": show,
}


_NUMBER = re.compile(r"Invalid value for .*'(--[\w-]+)'.*valid (integer|number|float).*")  # in all versions
_KINDS = {"integer": "whole number", "number": "number", "float": "number"}


def application() -> typer.Typer:
    """The Typer application with all commands."""
    app = typer.Typer(
        name="elbox",
        help="Variational autoencoders, measured in nats. Start with: elbox fit digits",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_version)
    for name, function in COMMANDS.items():
        app.command(name)(function)
    return app


def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        import elbox

        typer.echo(f"elbox {elbox.__version__}")
        raise typer.Exit


def _one_line(message: Warning | str, *_: Any, **__: Any) -> None:
    """Warnings for people: what happened, without the place in the source."""
    sys.stderr.write(f"elbox: {message}\n")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends with one sentence on standard error and exit code 2."""
    warnings.showwarning = _one_line
    try:
        code = application()(args=arguments, prog_name="elbox", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        raise SystemExit(_stopped("stopped", 130)) from None
    except Interrupted as stop:
        raise SystemExit(_stopped(stop, 130)) from None
    except ElboxError as error:
        raise SystemExit(_stopped(error, 2)) from None
    except BrokenPipeError:
        raise SystemExit(0) from None
    except OSError as error:
        where = error.filename or "a file"
        raise SystemExit(_stopped(f"got {error.strerror or error} at {where}; nothing was half-written", 2)) from None
    except Exception as error:
        if not hasattr(error, "format_message"):  # Click's usage errors have it; its classes differ between versions
            raise
        message = str(error.format_message())
        if "\n" in message or not message:  # no command at all: the message is the help text, or that was printed
            sys.stderr.write(f"{message}\n" if message else "")
            raise SystemExit(2) from None
        message = _NUMBER.sub(lambda m: f"expected a {_KINDS[m[2]]} for {m[1]}", message)
        command = getattr(getattr(error, "ctx", None), "command_path", "elbox")
        raise SystemExit(_stopped(f"{message.rstrip('.')}; see: {command} --help", 2)) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def _stopped(message: object, code: int) -> int:
    sys.stderr.write(f"elbox: {message}\n")
    return code
