"""A refusal names something that works: each alternative is put in the place of what was refused, and run."""

from __future__ import annotations

import functools
import json
from typing import NamedTuple

import pytest

from elbox import ELBO, IWAE, IncompatibleError
from elbox.estimators import Estimator
from elbox.objectives import Objective, Penalized, Split, TotalCorrelation
from elbox.parts import to_tree
from tests.advice import Advice, advised
from tests.unbiased import table

NORMAL, CODES = (next(f for f, make in table.FAMILIES.items() if make is m) for m in (table.normal, table.coins))
FAMILY_OF = {"posteriors.DiagonalNormal": NORMAL, "posteriors.BernoulliCode": CODES}
OBJECTIVES: dict[str, Objective] = {
    **{name: row.small for name, row in table.ROWS.items()},
    "ELBO, one sample": ELBO(),
    "Split, free bits": Split(ELBO(free_bits=0.3, samples=2), IWAE(2)),
    "Split, one sample": Split(ELBO(), ELBO(beta=2.0)),
    "Penalized(IWAE)": Penalized(IWAE(2), []),
    "Penalized, total correlation": Penalized(ELBO(), [TotalCorrelation(1.0, 10)]),
}
ESTIMATORS = {name: table.estimator(name) for name in table.ESTIMATORS}
SAID: dict[tuple[str, ...], str] = {}


@functools.cache
def described(part: Objective | Estimator) -> str:
    return json.dumps(to_tree(part))


class Combination(NamedTuple):
    """A kind of latent variables, an objective and an estimator."""

    family: str
    objective: Objective
    estimator: Estimator

    @property
    def refusal(self) -> str:
        """What is said against it; empty if it is legal."""
        key = (self.family, described(self.objective), described(self.estimator))
        if key not in SAID:
            try:
                self.estimator(table.model(self.family), table.batch(), self.objective)
                SAID[key] = ""
            except IncompatibleError as error:
                SAID[key] = str(error)
        return SAID[key]

    @property
    def faults(self) -> set[str]:
        """The pairs of its parts that never fit, whatever the third one is; and the objective, if it fits nothing."""
        others = {
            "objective": [c for family in table.FAMILIES for c in self._replace(family=family)._of_all_estimators()],
            "objective × estimator": [self._replace(family=f) for f in table.FAMILIES],
            "estimator × family": [self._replace(objective=o) for o in OBJECTIVES.values()],
            "objective × family": self._of_all_estimators(),
        }
        return {pair for pair, combinations in others.items() if all(c.refusal for c in combinations)}

    def _of_all_estimators(self) -> list[Combination]:
        return [self._replace(estimator=how) for how in ESTIMATORS.values()]

    def after(self, advice: Advice) -> Combination:
        """With the advice followed."""
        return Combination(
            self.family if advice.posterior is None else FAMILY_OF[advice.posterior],
            advice.objective or self.objective,
            advice.estimator or self.estimator,
        )


@pytest.mark.parametrize("how", ESTIMATORS)
@pytest.mark.parametrize("family", table.FAMILIES, ids=lambda f: f.split()[0])
def test_advice_is_good(family: str, how: str) -> None:
    """It leads to what is legal. Where several pairs of parts do not fit, some may be left, but none is added."""
    for objective in OBJECTIVES.values():
        refused = Combination(family, objective, ESTIMATORS[how])
        if not refused.refusal:
            continue
        alternatives = advised(refused.refusal, objective, codes=family == CODES)
        assert alternatives, refused.refusal
        for advice in alternatives:
            better = refused.after(advice)
            assert not better.refusal or better.faults < refused.faults, (refused.refusal, better.refusal)
