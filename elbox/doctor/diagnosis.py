"""All checks on one run."""

from __future__ import annotations

__all__ = ["CHECKS", "RECORD", "Diagnosis", "Finding", "doctor"]

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elbox.doctor import latent, likelihood, training
from elbox.doctor.finding import Finding
from elbox.doctor.patient import Patient
from elbox.errors import DataError, ElboxError
from elbox.runs import Run, load_info, load_run
from elbox.train import checkpoint

Check = Callable[[Patient], Iterator[Finding]]

RECORD: tuple[Check, ...] = (  # what the record alone tells, in the order in which findings are listed
    training.finite,
    training.finished,
    training.schedule,
    training.stable,
    training.converged,
)
CHECKS: tuple[Check, ...] = (  # what needs the trained model and its data
    likelihood.kind,
    likelihood.floor,
    likelihood.spread,
    likelihood.saturated,
    latent.used,
    latent.collapsed,
    latent.groups,
    latent.codebook,
    latent.noise,
    latent.inference,
    training.overfitting,
    training.dead,
)


@dataclass(frozen=True)
class Diagnosis:
    """What `doctor` found.

    Arguments:
        findings: One for each thing that is wrong; none for a healthy run.
        checked: Names of the checks that were made.
        skipped: Why the others were not: name → reason.
    """

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    skipped: dict[str, str]

    @property
    def healthy(self) -> bool:
        """Whether nothing was found, and everything looked at."""
        return not self.findings and not self.skipped

    def lines(self) -> list[str]:
        """One line for each finding, and one for what was not looked at; a healthy run says so."""
        said = [str(finding) for finding in self.findings]
        if not said:
            said = [f"nothing wrong was found by {len(self.checked)} checks: {', '.join(self.checked)}"]
        reasons: dict[str, list[str]] = {}
        for name, reason in self.skipped.items():
            reasons.setdefault(reason, []).append(name)
        return [*said, *(f"not checked ({', '.join(names)}): {reason}" for reason, names in reasons.items())]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a number that is not finite is null."""
        found = [asdict(finding) for finding in self.findings]
        for values in found:
            values["value"] = float(values["value"]) if math.isfinite(values["value"]) else None
        checked, skipped = list(self.checked), self.skipped
        return {"healthy": self.healthy, "findings": found, "checked": checked, "skipped": skipped}


def doctor(run: Run | str | Path, *, data_dir: Any = None, allow: tuple[type, ...] = (), seed: int = 0) -> Diagnosis:
    """What is wrong with a run and what to try, each from a measured quantity.

    The record is read, and the model is measured on at most 500 examples of the test split, in seconds. A run that
    failed before it had weights, or whose data are gone, is judged by its record alone.

    Arguments:
        run: A run, or its folder.
        data_dir: Where data files are.
        allow: Classes outside elbox that the run may name.
        seed: Seed of everything random.

    Raises:
        RunError: if the folder is no run, or is damaged.

    Example:
        >>> import elbox
        >>> data = elbox.load("digits")
        >>> run = elbox.fit(elbox.recipes.vae(data.spec, latent=2), data, elbox.Training(epochs=2))
        >>> [finding.name for finding in doctor(run).findings]
        ['converged']
    """
    patient, without = _patient(run, data_dir, allow, seed)
    findings: list[Finding] = []
    checked: list[str] = []
    skipped: dict[str, str] = {}
    for check in (*RECORD, *CHECKS):
        if check in CHECKS and without:
            skipped[check.__name__] = without
            continue
        try:
            findings += check(patient)
            checked.append(check.__name__)
        except ElboxError as error:  # such as a model that `evaluate` refuses; what it says is what the user needs
            skipped[check.__name__] = str(error)
    return Diagnosis(tuple(findings), tuple(checked), skipped)


def _patient(run: Run | str | Path, data_dir: Any, allow: tuple[type, ...], seed: int) -> tuple[Patient, str]:
    """The patient, and why it can be judged by its record alone, if so."""
    if not isinstance(run, Run):
        folder = Path(run)
        info = load_info(folder)
        if not (folder / "model.safetensors").exists():
            rows = checkpoint.read_rows(folder / "metrics.jsonl")
            return Patient(info, rows, None, folder, seed), "the run has no trained weights"
        run = load_run(folder, data_dir=data_dir, allow=allow)
    patient = Patient(run.info, run.metrics, run, run.folder, seed)
    try:
        _ = patient.x
    except DataError as error:
        return patient, str(error)
    return patient, ""
