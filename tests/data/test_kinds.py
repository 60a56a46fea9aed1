"""Kinds are inferred from type, values and shape; layouts and labels are normalised; bytes stay bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from elbox.data import as_examples, from_array
from elbox.data.kinds import codes, infer_kind
from elbox.data.raw import Where
from elbox.data.scan import Moments, first_bad

RNG = np.random.default_rng(0)
TABLE, IMAGES = (60, 5), (60, 1, 8, 9)


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (RNG.integers(0, 2, TABLE), ("binary", 0)),
        (RNG.integers(0, 2, IMAGES).astype(np.float32), ("binary", 0)),
        (RNG.integers(0, 256, IMAGES).astype(np.uint8), ("levels", 256)),
        (RNG.integers(0, 100, IMAGES).astype(np.uint8), ("levels", 256)),
        (RNG.integers(0, 256, TABLE).astype(np.uint8), ("levels", 256)),
        (RNG.integers(0, 17, IMAGES), ("levels", 17)),
        (RNG.integers(0, 250, IMAGES), ("levels", 256)),
        (RNG.integers(0, 1000, IMAGES) // 999 * 999, ("levels", 1000)),
        (RNG.integers(0, 17, TABLE), ("count", 0)),
        (RNG.integers(-3, 17, TABLE), ("real", 0)),
        (RNG.integers(-3, 17, IMAGES), ("real", 0)),
        (RNG.integers(0, 10, TABLE) + 2**30, ("real", 0)),
        (RNG.integers(0, 17, TABLE).astype(np.float64), ("real", 0)),
        (RNG.random(IMAGES), ("real", 0)),
    ],
)
def test_inferred_kind(x: np.ndarray, kind: tuple[str, int]) -> None:
    assert infer_kind(x) == kind


@pytest.mark.parametrize(
    ("shape", "event"),
    [
        ((40, 7), (7,)),
        ((40, 9, 7), (1, 9, 7)),
        ((40, 1, 9, 7), (1, 9, 7)),
        ((40, 3, 9, 7), (3, 9, 7)),
        ((40, 9, 7, 3), (3, 9, 7)),
        ((40, 9, 7, 1), (1, 9, 7)),
        ((40, 3, 9, 4), (3, 9, 4)),
    ],
)
def test_layout(shape: tuple[int, ...], event: tuple[int, ...]) -> None:
    data = from_array(RNG.integers(0, 256, shape).astype(np.uint8))
    assert data.spec.event_shape == event
    assert data.train.x.shape[1:] == event


def test_channels_last_pixels_go_where_they_belong() -> None:
    x = RNG.integers(0, 256, (30, 8, 6, 3)).astype(np.uint8)
    data = from_array(x)
    assert torch.equal(data.test.x, torch.from_numpy(x[data.indices["test"]]).permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        (RNG.integers(0, 2, TABLE).astype(np.float64), torch.uint8),
        (RNG.integers(0, 200, TABLE), torch.uint8),
        (RNG.integers(0, 2000, TABLE), torch.float32),
        (RNG.normal(size=TABLE), torch.float32),
        (torch.randn(60, 5, dtype=torch.float64), torch.float32),
        (torch.randn(60, 5, dtype=torch.bfloat16), torch.float32),
        (torch.randn(60, 5, requires_grad=True), torch.float32),
        (RNG.integers(0, 2, TABLE).astype(bool), torch.uint8),
        (RNG.normal(size=TABLE).tolist(), torch.float32),
    ],
)
def test_storage(x: object, dtype: torch.dtype) -> None:
    data = from_array(x)
    assert data.train.x.dtype == data.test.x.dtype == dtype
    want = torch.from_numpy(np.asarray(x.detach().float() if isinstance(x, torch.Tensor) else x)).float()
    assert torch.equal(data.train.x.float(), want[torch.from_numpy(data.indices["train"])])


def test_the_user_decides_kind_and_levels() -> None:
    x = RNG.integers(0, 17, (60, 8, 8)).astype(np.uint8)
    assert from_array(x, levels=17).spec.levels == 17
    assert from_array(x, kind="real").spec.kind == "real"
    assert from_array(x, kind="count").spec.kind == "count"
    assert from_array(x.astype(np.float32), kind="levels").spec.levels == 17
    assert from_array(x.reshape(60, 64), kind="real", levels=None).train.x.dtype == torch.float32


@pytest.mark.parametrize(
    ("y", "names"),
    [
        ([3, 7, 3, 9], ("3", "7", "9")),
        (["b", "a", "b", "c"], ("a", "b", "c")),
        (np.array([1.0, 2.0, 1.0, 4.0]), ("1", "2", "4")),
        (torch.tensor([5, 0, 5, 6]), ("0", "5", "6")),
        (np.array(["x", "y", "x", "z"], dtype=object), ("x", "y", "z")),
    ],
)
def test_labels_become_codes(y: object, names: tuple[str, ...]) -> None:
    code, found = codes(y, 4, Where("array"))
    assert found == names
    labels = [str(int(v)) if not isinstance(v, str) else v for v in y]
    assert [found[c] for c in code] == labels


def test_data_frames_bring_their_columns() -> None:
    class Frame:
        columns = ("height", "weight")

        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            return np.random.default_rng(0).normal(size=(30, 2))

    assert from_array(Frame()).columns == ("height", "weight")


def test_chunked_scans_agree_with_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elbox.data.scan._CHUNK", 50)
    monkeypatch.setattr("elbox.data.scan._TILE", 60)
    x = RNG.normal(5, 2, size=(97, 3, 4)) + 1e6
    found, table = Moments(), x.reshape(97, 12)
    for start in range(0, 97, 13):
        found.add(x[start : start + 13])
    np.testing.assert_allclose(found.mean, table.mean(0), rtol=1e-14)
    np.testing.assert_allclose(found.spread, table.std(0), rtol=1e-9)
    assert (found.low == table.min(0)).all()
    assert (found.high == table.max(0)).all()
    x[60, 2, 1] = x[80, 0, 0] = np.nan
    assert first_bad(x, np.isnan) == (60, 2, 1)


# ── kinds that are asked for ────────────────────────────────────────────────────────────────────────────────────────

SIGNAL = (RNG.normal(size=(60, 5)) + 1j * RNG.normal(size=(60, 5))).astype(np.complex64)


@pytest.mark.parametrize(
    ("kind", "x", "scales", "said"),
    [
        ("unit", RNG.random(TABLE), 5, "values in [0, 1]"),
        ("unit", RNG.random(IMAGES), 1, "values in [0, 1]"),
        ("unit", RNG.integers(0, 2, TABLE), 5, "values in [0, 1]"),
        ("positive", RNG.exponential(size=TABLE), 5, "positive values"),
        ("positive", 1 + RNG.integers(0, 9, IMAGES), 1, "positive values"),
    ],
)
def test_kind_that_is_asked_for(kind: str, x: np.ndarray, scales: int, said: str) -> None:
    """Nothing is stored as bytes; a table has a spread for each column, an image one; what is said names the kind."""
    data = from_array(x, kind=kind)
    assert (data.spec.kind, data.spec.event_shape, data.spec.levels) == (kind, x.shape[1:], 0)
    assert data.train.x.dtype == torch.float32
    assert len(data.spec.offset) == data.spec.dims
    assert (len(data.spec.scale) if isinstance(data.spec.scale, tuple) else 1) == scales
    assert said in data.describe()
    assert kind in data.protocol or "[0, 1]" in data.protocol
    assert not data.spec.is_discrete
    assert infer_kind(x)[0] != kind  # never without being asked


@pytest.mark.parametrize("kind", [None, "complex"])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_complex_numbers_become_real_and_imaginary_parts(kind: str | None, as_tensor: bool) -> None:
    data = from_array(torch.from_numpy(SIGNAL) if as_tensor else SIGNAL, kind=kind)
    assert (data.spec.kind, data.spec.event_shape) == ("complex", (2, 5))
    rows = SIGNAL[data.indices["train"]]
    np.testing.assert_array_equal(data.train.x.numpy(), np.stack([rows.real, rows.imag], 1))
    assert isinstance(data.spec.scale, float)  # one for both parts, or the noise would not be circular
    both = from_array(np.stack([SIGNAL.real, SIGNAL.imag], 1), kind="complex")
    assert torch.equal(both.train.x, data.train.x)
    assert both.spec == data.spec
    assert "complex values" in data.describe()
    new = as_examples(SIGNAL[:3], data.spec)
    assert torch.equal(new, as_examples(np.stack([SIGNAL.real, SIGNAL.imag], 1)[:3], data.spec))
    assert new.shape == (3, 2, 5)


def test_complex_pictures() -> None:
    """A spectrogram [N, H, W] becomes an image of two channels."""
    x = RNG.normal(size=(30, 9, 8)) + 1j * RNG.normal(size=(30, 9, 8))
    spec = from_array(x).spec
    assert (spec.kind, spec.event_shape, spec.is_image) == ("complex", (2, 9, 8), True)
