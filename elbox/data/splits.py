"""Disjoint, seeded splits, and the record of a data set that is ready for training."""

from __future__ import annotations

__all__ = ["Data", "Split", "complete_split", "random_split"]

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elbox.data.binarise import Protocol
from elbox.data.raw import Where
from elbox.data.rows import Rows
from elbox.errors import DataError, SettingError
from elbox.spec import DataSpec

PARTS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one split.

    Arguments:
        x: Values [N, *event], uint8 where they are bytes, else float32: a tensor, or the `Rows` of training data that
            are streamed from disk.
        y: Class codes [N] int64, or None.
    """

    x: Any
    y: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set: three disjoint splits, what a model must know of it, and how to load it again.

    Arguments:
        spec: Shape, kind and scale of one example *as the model sees it* (binary after binarisation).
        train: Training rows; raw grey levels under dynamic binarisation, for `prepare` to draw from.
        valid: Validation rows, binarised if there is binarisation: `.float()` is all they need.
        test: Test rows, like `valid`.
        prepare: Module from a training batch as stored to float32.
        protocol: Binarisation in one line, to be shown beside every number.
        source: JSON values from which `reload` builds the same data: name or path, options, fingerprint.
        indices: Row numbers of each split in the source; of the held-out splits only if the data are streamed, as all
            other rows, in the order of the file, are for training.
        class_names: Names of the classes.
        columns: Names of a table's columns, empty if they have none.
    """

    spec: DataSpec
    train: Split
    valid: Split
    test: Split
    prepare: nn.Module
    protocol: str
    source: dict[str, Any]
    indices: dict[str, np.ndarray]
    class_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts = [np.asarray(rows) for rows in self.indices.values() if len(rows)]
        taken = np.zeros(1 + max((int(rows.max()) for rows in parts), default=-1), bool)
        for rows in parts:
            taken[rows] = True
        assert np.count_nonzero(taken) == sum(map(len, parts)), "splits overlap"

    @property
    def streamed(self) -> bool:
        """Whether the training rows stay on disk."""
        return isinstance(self.train.x, Rows)

    @property
    def binarisation(self) -> Protocol:
        """The protocol as an object, which can binarise new data in the same way."""
        return Protocol.from_json(self.source.get("protocol", {}))

    def examples(self, split: str = "test", limit: int | None = None) -> Any:
        """The first `limit` rows of a split as the model sees them, [n, *event] float32.

        Training rows under dynamic binarisation are drawn once, with the seed of the data. All training rows of data
        that are streamed are `Rows`, of which slices are such tensors.

        Raises:
            SettingError: if there is no such split.
        """
        return self.stored(split, limit).float()

    def stored(self, split: str = "test", limit: int | None = None) -> Any:
        """The same values as `examples`, in the type in which they are stored: bytes take a quarter of the memory of
        floats. `elbox.evaluate` and `elbox.encode` take them as they are, and make floats of one chunk at a time.

        Raises:
            SettingError: if there is no such split.
        """
        if split not in PARTS:
            raise SettingError(f"got split {split!r}; expected one of {', '.join(PARTS)}")
        x, drawn = getattr(self, split).x, split == "train" and self.binarisation.kind == "dynamic"
        if isinstance(x, Rows):
            x = x.binarised(self.binarisation) if drawn else x
            return x if limit is None else x[:limit]
        x = x[:limit]
        return torch.from_numpy(self.binarisation.binarise(x.numpy())) if drawn else x

    def describe(self) -> str:
        """One line: name, sizes of the splits, shape, kind of values."""
        spec, how = self.spec, self.binarisation
        shape = (
            f"{spec.dims} column{'s' * (spec.dims > 1)}"
            if len(spec.event_shape) == 1
            else "×".join(str(n) for n in spec.event_shape)
        )
        kind = {
            "levels": f"levels 0…{spec.levels - 1}",
            "binary": "binary",
            "real": "real-valued",
            "count": "counts",
            "unit": "values in [0, 1]",
            "positive": "positive values",
            "complex": "complex values",
        }[spec.kind]
        if how.kind != "none":
            kind = f"binary ({how.kind} binarisation of {how.levels} levels)"
        sizes = f"{len(self.train)} train / {len(self.valid)} validation / {len(self.test)} test"
        how_read = ", streamed from disk" if self.streamed else ""
        return f"{self.source.get('name', 'array')}: {sizes}, {shape}, {kind}{how_read}"


def _generator(seed: int) -> np.random.Generator:
    """A seeded generator; a bad seed is a setting error."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise SettingError(f"got seed={seed!r}; expected a whole number ≥ 0")
    return np.random.Generator(np.random.PCG64(int(seed)))


def random_split(
    n: int, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int = 0, where: Where | None = None
) -> dict[str, np.ndarray]:
    """Row numbers of three disjoint random parts of n rows, in random order.

    Validation and test get the rounded fraction, at least one row unless their fraction is 0; training gets the rest.

    Arguments:
        n: Number of rows.
        fractions: Shares of train, validation and test, which add up to 1.
        seed: Seed of the permutation.
        where: Names for messages.

    Raises:
        SettingError: if the fractions are negative or do not add up to 1, or the seed is not a whole number ≥ 0.
        DataError: if there are too few rows.

    Example:
        >>> {part: len(rows) for part, rows in random_split(1797).items()}
        {'train': 1437, 'valid': 180, 'test': 180}
    """
    if len(fractions) != 3 or min(fractions) < 0 or fractions[0] == 0 or abs(sum(fractions) - 1) > 1e-6:
        raise SettingError(
            f"got split={tuple(fractions)}; expected three fractions (train, validation, test) that add up to 1, train "
            "above 0"
        )
    valid, test = (max(1, round(n * f)) if f else 0 for f in fractions[1:])
    if n - valid - test < 1:
        raise DataError(
            f"got {n} rows in {where.name if where else 'the data'}; expected at least {1 + valid + test} to split "
            "into train, validation and test; add data"
        )
    order = _generator(seed).permutation(n)
    cut = n - valid - test
    return dict(zip(PARTS, np.split(order, [cut, cut + valid]), strict=True))


def complete_split(indices: dict[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
    """A split that has train and test; if there is no validation split, a tenth of train at random becomes one."""
    if "valid" in indices:
        return {part: indices[part] for part in PARTS}
    drawn = random_split(len(indices["train"]), (0.9, 0.1, 0.0), seed)
    train = indices["train"]
    return {"train": train[np.sort(drawn["train"])], "valid": train[np.sort(drawn["valid"])], "test": indices["test"]}
