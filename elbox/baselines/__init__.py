"""Baselines of the score-function estimator: guesses of the objective that do not depend on the sample they judge.

∇ E_q[F] = E_q[ Σ_k (F − b_k) ∇ log q(z_k|x) + ∇F ]      for any b_k that is independent of z_k.
"""

from elbox.baselines.base import Baseline, Signal
from elbox.baselines.input_dependent import InputDependent
from elbox.baselines.leave_one_out import LeaveOneOut, StandIn
from elbox.baselines.moving_average import MovingAverage, Zero

__all__ = ["Baseline", "InputDependent", "LeaveOneOut", "MovingAverage", "Signal", "StandIn", "Zero"]
