"""The training engine: it is given a step to repeat and data to repeat it on, and knows no model."""

from __future__ import annotations

__all__ = ["Bar", "Choice", "Lines", "Observer", "Silent", "TrainResult", "Training", "progress", "train"]

from elbox.train.devices import Choice
from elbox.train.loop import train
from elbox.train.progress import Bar, Lines, Observer, Silent, progress
from elbox.train.session import TrainResult
from elbox.train.settings import Training
