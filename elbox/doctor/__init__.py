"""What is wrong with a run, in plain words: each finding from a measured quantity, with what to try."""

from elbox.doctor.diagnosis import Diagnosis, Finding, doctor

__all__ = ["Diagnosis", "Finding", "doctor"]
