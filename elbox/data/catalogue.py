"""Data sets by name: from the folder that `data_dir` or ELBOX_DATA names, else from a public original where one is."""

from __future__ import annotations

__all__ = ["CATALOGUE", "describe_catalogue", "read_catalogue"]

import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elbox.data import synthetic
from elbox.data.raw import Raw, Where
from elbox.data.splits import complete_split
from elbox.errors import DataError

_CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@dataclass(frozen=True)
class Request:
    """What a catalogue entry is asked for: the folder of data files, if one is named, and a seed for synthetic data."""

    data_dir: str | None = None
    seed: int = 0

    def file(self, name: str) -> Path | None:
        """Where `name` lies: in `data_dir` (an error if it does not), else in ELBOX_DATA, else None."""
        folder = self.data_dir or os.environ.get("ELBOX_DATA")
        path = Path(folder).expanduser() / name if folder else None
        if path is not None and path.is_file():
            return path
        if self.data_dir:
            raise DataError(
                f"got the data folder {self.data_dir} without {name}; expected that file in it; name another folder or "
                "put the file there"
            )
        return None


def _arrays(path: Path, *keys: str) -> list[np.ndarray]:
    """Arrays of a catalogue file."""
    try:
        with np.load(path, allow_pickle=False) as z:
            missing = [key for key in keys if key not in z.files]
            if missing:
                raise DataError(
                    f"got {path} with the arrays {', '.join(z.files)}; expected {', '.join(keys)}; get the file again"
                )
            return [z[key] for key in keys]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"got {path}, which numpy cannot read; expected an .npz file with {', '.join(keys)}; get the file again"
        ) from error


def _digits(request: Request) -> Raw:
    """8×8 handwritten digits, 1797 of them, 17 grey levels; comes with scikit-learn."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return Raw(found.images.astype(np.uint8), found.target, Where("digits"), kind="levels", levels=17)


def _mnist(request: Request) -> Raw:
    """28×28 handwritten digits, 70 000 of them, 256 grey levels (LeCun, Cortes & Burges)."""
    return _idx("mnist", "mnist_784", tuple("0123456789"), request)


def _fashion_mnist(request: Request) -> Raw:
    """28×28 pictures of clothes, 70 000 of them, 256 grey levels (Xiao, Rasul & Vollgraf, 2017)."""
    return _idx("fashion_mnist", "Fashion-MNIST", _CLOTHES, request)


def _idx(name: str, original: str, class_names: tuple[str, ...], request: Request) -> Raw:
    """50 000 for training, the last 10 000 of the training file for validation, 10 000 for testing."""
    path = request.file(f"{name}.npz")
    if path is not None:
        x_train, y_train, x_test, y_test = _arrays(path, "x_train", "y_train", "x_test", "y_test")
        x, y = np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])
    else:
        x, y = _openml(name, original)
    if x.shape != (70_000, 28, 28):
        raise DataError(f"got images of shape {x.shape} for {name}; expected (70000, 28, 28); get the file again")
    train, valid, test = np.split(np.arange(70_000), [50_000, 60_000])
    notes = {"path": str(path.resolve())} if path else {"openml": original}
    indices = {"train": train, "valid": valid, "test": test}
    return Raw(x, y, Where(name), indices, "levels", 256, class_names, notes)


def _openml(name: str, original: str) -> tuple[np.ndarray, np.ndarray]:
    """The public original, through scikit-learn's cache in the home folder."""
    from sklearn.datasets import fetch_openml

    try:
        found = fetch_openml(original, version=1, as_frame=False)
    except Exception as error:  # no network can look like a URLError, a timeout, a parser's complaint, …
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"got no {name}: there is no {name}.npz in ELBOX_DATA and OpenML cannot be reached ({reason}); expected "
            f"one or the other; put {name}.npz (x_train, y_train, x_test, y_test) into a folder and name it with "
            "ELBOX_DATA or --data-dir"
        ) from error
    return np.asarray(found.data, np.uint8).reshape(-1, 28, 28), np.asarray(found.target).astype(np.int64)


def _needed(name: str, what: str, request: Request) -> Path:
    """A file that has no public original to download."""
    path = request.file(name)
    if path is None:
        raise DataError(
            f"got no {name}, and there is nowhere to download it from; expected an .npz with {what}; put it into a "
            "folder and name that with ELBOX_DATA or --data-dir"
        )
    return path


def _omniglot(request: Request) -> Raw:
    """28×28 characters of 50 alphabets, 32 460 of them, 256 grey levels (Lake, Salakhutdinov & Tenenbaum, 2015)."""
    path = _needed("omniglot28.npz", "x, alphabet, alphabet_names, train", request)
    x, alphabet, names, train = _arrays(path, "x", "alphabet", "alphabet_names", "train")
    indices = complete_split({"train": np.flatnonzero(train), "test": np.flatnonzero(~train)})
    class_names = tuple(str(name) for name in names)
    return Raw(x, alphabet, Where("omniglot"), indices, "levels", 256, class_names, {"path": str(path.resolve())})


def _frey_faces(request: Request) -> Raw:
    """28×20 frames of a film of one face, 1965 near-duplicates in a row, 256 grey levels (Roweis & Saul, 2000)."""
    path = _needed("frey_faces.npz", "x", request)
    (x,) = _arrays(path, "x")
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(x))
    train, valid, test = np.split(order, [1565, 1765])
    indices = {"train": train, "valid": valid, "test": test}
    return Raw(x, None, Where("frey_faces"), indices, "levels", 256, notes={"path": str(path.resolve())})


def _linear_gaussian(request: Request) -> Raw:
    """Linear-Gaussian data with known evidence: 10 000 rows of 8 columns from 2 latents."""
    return _known("linear_gaussian", synthetic.linear_gaussian(seed=request.seed), "real")


def _mixture(request: Request) -> Raw:
    """A mixture of 8 Gaussians in the plane with known evidence: 10 000 rows."""
    return _known("mixture", synthetic.mixture(seed=request.seed), "real")


def _banana(request: Request) -> Raw:
    """A bent Gaussian in the plane with known evidence: 10 000 rows."""
    return _known("banana", synthetic.banana(seed=request.seed), "real")


def _belief_net(request: Request) -> Raw:
    """Binary data of a sigmoid belief net with known evidence: 10 000 rows of 16 columns from 6 binary latents."""
    return _known("belief_net", synthetic.belief_net(seed=request.seed), "binary")


def _known(name: str, known: Any, kind: str) -> Raw:
    """A synthetic set as raw arrays."""
    y = getattr(known, "y", None)
    return Raw(known.x.numpy(), None if y is None else y.numpy(), Where(name), kind=kind)


CATALOGUE: dict[str, Callable[[Request], Raw]] = {
    "digits": _digits,
    "mnist": _mnist,
    "fashion_mnist": _fashion_mnist,
    "omniglot": _omniglot,
    "frey_faces": _frey_faces,
    "linear_gaussian": _linear_gaussian,
    "mixture": _mixture,
    "banana": _banana,
    "belief_net": _belief_net,
}


def describe_catalogue() -> dict[str, str]:
    """Name → one line on what it is and where it is from.

    Example:
        >>> describe_catalogue()["digits"]
        '8×8 handwritten digits, 1797 of them, 17 grey levels; comes with scikit-learn.'
    """
    return {name: (entry.__doc__ or "").splitlines()[0] for name, entry in CATALOGUE.items()}


def read_catalogue(name: str, *, data_dir: str | None = None, seed: int = 0) -> Raw:
    """The set of that name.

    Arguments:
        name: A key of `CATALOGUE`.
        data_dir: Folder of data files; None for the one in ELBOX_DATA.
        seed: Seed of the sets that are generated.

    Raises:
        DataError: if the file is missing or damaged and there is no other way to get the data.
    """
    return CATALOGUE[name](Request(data_dir, seed))
