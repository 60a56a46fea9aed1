"""Several processes of one command on this machine: started, watched, stopped and ended together.

The one that starts them does nothing else. It hands Ctrl-C and SIGTERM on to all of them, which then stop after the
same step; if one fails or is killed it ends the others within seconds and raises the one error that says why. If it is
killed itself, they end too.
"""

from __future__ import annotations

__all__ = ["launch"]

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from elbox.errors import RunError, SettingError
from elbox.train.checkpoint import Checkpoints
from elbox.train.devices import check_processes
from elbox.train.processes import Lost
from elbox.train.settings import Training

GRACE = 5.0  # seconds in which the others may end by themselves after one has failed
CONTEXT = multiprocessing.get_context("spawn")


def launch(
    function: Callable[..., Any], arguments: dict[str, Any], settings: Training, folder: Path | None = None
) -> None:
    """Call `function(**arguments)` in `settings.devices` processes, and wait for them.

    Arguments:
        function: A function of a module, which is told who it is by the variables that torchrun sets, too.
        arguments: Plain values.
        settings: How many; with `nodes` > 1 the same command is to be run on each machine, under the environment
            variables NODE_RANK, MASTER_ADDR and MASTER_PORT.
        folder: Of the run, for messages.

    Raises:
        SettingError: if this machine cannot serve so many.
        Exception: what a process raised, of the lowest rank that knows the reason.
        RunError: if a process was killed.
        KeyboardInterrupt: if they were stopped before the run had begun.
    """
    check_processes(settings)
    environment = _addresses(settings)
    first = int(environment["GROUP_RANK"]) * settings.devices
    pipes, processes = [], []
    for local in range(settings.devices):
        receive, send = CONTEXT.Pipe(duplex=False)
        own = environment | {"RANK": str(first + local), "LOCAL_RANK": str(local)}
        process = CONTEXT.Process(target=_work, args=(send, own, function, arguments), daemon=True)
        process.start()
        send.close()
        pipes.append(receive)
        processes.append(process)
    with _handing_on(processes) as stopped:
        codes = _watch(processes)
    errors = [_received(pipe) for pipe in pipes]
    if stopped and not any(errors) and any(codes):
        raise KeyboardInterrupt
    names = [f"process {first + local} of {environment['WORLD_SIZE']}" for local in range(settings.devices)]
    _raise(errors, codes, names, _advice(folder))


def _addresses(settings: Training) -> dict[str, str]:
    """What all processes are told; one machine needs no address."""
    given = os.environ if settings.nodes > 1 else {}
    missing = [name for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in given]
    if settings.nodes > 1 and missing:
        raise SettingError(
            f"got nodes={settings.nodes} without {', '.join(missing)} in the environment; expected the number of this "
            "machine and the address of the first; set them, or start all with torchrun or srun"
        )
    return {
        "MASTER_ADDR": given.get("MASTER_ADDR", "127.0.0.1"),
        "MASTER_PORT": given.get("MASTER_PORT") or str(_free_port()),
        "GROUP_RANK": given.get("NODE_RANK", "0"),
        "WORLD_SIZE": str(settings.devices * settings.nodes),
        "LOCAL_WORLD_SIZE": str(settings.devices),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# In each process


def _work(pipe: Connection, environment: dict[str, str], function: Callable[..., Any], arguments: Any) -> None:
    os.environ.update(environment)
    if hasattr(os, "setsid"):
        os.setsid()  # a terminal's Ctrl-C goes to the one that started us, which hands it on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if environment["RANK"] != "0":
        _silence()
    code = 1
    try:
        function(**arguments)
        code = 0
    except (Exception, KeyboardInterrupt) as error:
        pipe.send(_portable(error))
        pipe.close()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # at once: the threads of a connection whose other end has gone may abort the process


def _silence() -> None:
    """Nothing more on standard output and error, also from libraries that are not Python."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(nowhere, stream.fileno())


def _portable(error: BaseException) -> BaseException:
    """The error, if it says all by its message; else one whose message is the traceback."""
    if type(error).__module__.startswith("elbox.") or isinstance(error, KeyboardInterrupt | OSError):
        error.__cause__ = error.__context__ = error.__traceback__ = None
        return error
    return RuntimeError("".join(traceback.format_exception(error))[-20_000:])  # a pipe holds 64 KiB


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


# In the one that started them


@contextmanager
def _handing_on(processes: Sequence[BaseProcess]) -> Iterator[list[int]]:
    """Signals go to all processes; they are listed, too."""
    seen: list[int] = []

    def hand_on(number: int, _: object) -> None:
        seen.append(number)
        for process in processes:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, number)

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(processes: Sequence[BaseProcess]) -> list[int | None]:
    """Wait for all; once one has failed, for the others only a little. Returns how each ended by itself, if it did."""
    deadline = float("inf")
    try:
        while alive := [p.sentinel for p in processes if p.is_alive()]:
            wait(alive, timeout=0.5)
            if any(p.exitcode for p in processes):
                deadline = min(deadline, time.monotonic() + GRACE)
            if time.monotonic() > deadline:
                break
        return [p.exitcode for p in processes]
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
            process.join()


def _received(pipe: Connection) -> BaseException | None:
    try:
        error = pipe.recv() if pipe.poll() else None
    except EOFError:
        return None
    return error if isinstance(error, BaseException) else None


def _raise(errors: list[BaseException | None], codes: list[int | None], names: list[str], after: str) -> None:
    """Raise the one error that says why, if any process has failed."""
    reasons = [e for e in errors if e is not None and not isinstance(e, (Lost, KeyboardInterrupt))]
    ended = [f"{n} {_how(code)}" for n, code, e in zip(names, codes, errors, strict=True) if code and e is None]
    if reasons:
        raise reasons[0]
    if any(isinstance(e, KeyboardInterrupt) for e in errors):
        raise KeyboardInterrupt
    if ended:
        raise RunError(f"{' and '.join(ended)}; {after}")
    for error in errors:
        if error is not None:
            raise error


def _how(code: int) -> str:
    return f"was killed (signal {-code})" if code < 0 else f"ended with exit code {code}"


def _advice(folder: Path | None) -> str:
    """What is left of the run, and what to do."""
    if folder is None:
        return "expected it to run to the end; no output was touched; start again"
    paths = Checkpoints(folder / "checkpoints").paths()
    if not paths:
        return "expected it to run to the end; no checkpoint had been written; start again"
    return f"the last good checkpoint is {paths[-1]}; go on with: elbox resume {folder}"
