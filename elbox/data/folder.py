"""A folder of PNG or JPEG images; its subfolders, if it has any, are classes."""

from __future__ import annotations

__all__ = ["ImageFolder"]

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elbox.data.raw import Raw, Where
from elbox.data.source import Source
from elbox.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap height and width


class _Header(NamedTuple):
    """What an image file says of itself before it is decoded."""

    path: str
    size: tuple[int, int]
    channels: int


class ImageFolder(Source):
    """Images as bytes [N, C, H, W], in the order of their paths, decoded when they are read.

    Grey images have one channel, coloured ones three (RGB); where both occur all are converted to what most of them
    are. Transparency is dropped, the orientation that a camera noted is applied, 16-bit grey is cut to 8 bits. With
    `size` the whole picture is resized (anti-aliased, without keeping its aspect ratio). Files that cannot be read are
    left out, with a warning, and counted in `Data.source`; one whose head is whole but whose pixels are not is left out
    by `raw`, and refused by `read`, since rows must not move once they are numbered.

    Arguments:
        folder: Folder of images, or of subfolders of images: then the subfolders are classes.
        name: Its name for messages.
        size: Height and width to resize to; needed where sizes are mixed.
        channels: 1 or 3 to convert to; None for what most images are.

    Raises:
        DataError: if there is no readable image, images lie both beside and in subfolders, or sizes are mixed.
    """

    def __init__(
        self, folder: Path, name: str, *, size: tuple[int, int] | None = None, channels: int | None = None
    ) -> None:
        self.folder = folder
        files, self.class_names = _files(folder, name)
        found = [(path, _header(folder / path)) for path in files]
        headers = [_Header(path, *header) for path, header in found if header]
        self.broken, self.count = [path for path, header in found if not header], len(files)
        if not headers:
            raise DataError(_none_readable(files, name))
        size = size or _common_size(headers, name)
        if channels is None:
            channels = 3 if 2 * sum(h.channels == 3 for h in headers) >= len(headers) else 1
        self.files = [header.path for header in headers]
        where = Where(name, row=lambda i: self.files[i])
        super().__init__(where, (len(headers), channels, *size), np.uint8, len(headers) * channels * size[0] * size[1])
        self.notes = _note(self.broken, self.count)
        self.y = self._labels(self.files)

    @property
    def need(self) -> int:
        """Two copies of all pixels."""
        return 2 * self.nbytes

    def read(self, start: int, stop: int) -> np.ndarray:
        """Those images, decoded."""
        x = np.empty((stop - start, *self.shape[1:]), np.uint8)
        for i, path in enumerate(self.files[start:stop]):
            pixels = self._pixels(path)
            if pixels is None:
                raise DataError(
                    f"got {path} in {self.where.name}, which cannot be decoded; expected whole PNG or JPEG files in "
                    "data that are streamed; remove or mend it"
                )
            x[i] = pixels
        return x

    def raw(self) -> Raw:
        """All images that can be decoded; warns of the others."""
        x = np.empty(self.shape, np.uint8)
        kept: list[str] = []
        broken = list(self.broken)
        for path in self.files:
            pixels = self._pixels(path)
            if pixels is None:
                broken.append(path)
            else:
                x[len(kept)] = pixels
                kept.append(path)
        if not kept:
            raise DataError(_none_readable(self.files, self.where.name))
        self.warn(broken)
        where = Where(self.where.name, row=lambda i: kept[i])
        notes = _note(broken, self.count)
        return Raw(x[: len(kept)], self._labels(kept), where, class_names=self.class_names, notes=notes)

    def warn(self, broken: list[str] | None = None) -> None:
        """Warns of files that are left out, if any."""
        broken = self.broken if broken is None else broken
        if broken:
            warnings.warn(
                f"left out {len(broken)} of {self.count} image files in {self.where.name} that cannot be read; the "
                f"first is {min(broken)}",
                stacklevel=3,
            )

    def _labels(self, files: list[str]) -> np.ndarray | None:
        """Classes of those files, if subfolders are classes."""
        code = {title: i for i, title in enumerate(self.class_names)}
        return np.array([code[path.split("/")[0]] for path in files]) if code else None

    def _pixels(self, path: str) -> np.ndarray | None:
        return _pixels(self.folder / path, (self.shape[2], self.shape[3]), self.shape[1])


def _none_readable(files: list[str], name: str) -> str:
    return (
        f"got {len(files)} files in {name} of which none can be read as an image; expected PNG or JPEG; check "
        f"{Path(files[0]).name}"
    )


def _note(broken: list[str], count: int) -> dict[str, object]:
    """What is noted of files that are left out."""
    return {"unreadable": {"count": len(broken), "first": min(broken)}} if broken else {}


def _files(folder: Path, name: str) -> tuple[list[str], tuple[str, ...]]:
    """Paths of image files in order, and the classes if there are at least two subfolders of them."""
    found = [Path(top) / f for top, _, files in os.walk(folder) for f in files if f.lower().endswith(SUFFIXES)]
    relative = sorted(p.relative_to(folder).as_posix() for p in found if not _hidden(p.relative_to(folder)))
    if not relative:
        raise DataError(
            f"got the folder {name} without any image; expected PNG or JPEG files in it or in its subfolders, or "
            ".npy or .parquet files in it; check the path"
        )
    inside = sorted({path.split("/")[0] for path in relative if "/" in path})
    beside = next((path for path in relative if "/" not in path), None)
    if inside and beside:
        raise DataError(
            f"got images both in {name} ({beside}) and in its subfolder {inside[0]}; expected one or the other, since "
            "subfolders are classes; move them"
        )
    return relative, tuple(inside) if len(inside) > 1 else ()


def _hidden(path: Path) -> bool:
    """Whether a path is the file system's own litter: `.cache/…`, `._a.png`, `__MACOSX/…`."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _header(path: Path) -> tuple[tuple[int, int], int] | None:
    """Size and channels without decoding; None if this is no image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            w, h = image.size
            size = (w, h) if image.getexif().get(274) in _TURNED else (h, w)
            return size, 1 if _is_grey(image) else 3
    except Exception:  # a damaged file can make a decoder raise anything
        return None


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


def _common_size(headers: list[_Header], name: str) -> tuple[int, int]:
    """The one size of all images."""
    sizes = Counter(header.size for header in headers)
    (h, w), _ = sizes.most_common(1)[0]
    if len(sizes) > 1:
        first = headers[0]
        odd = next(header for header in headers if header.size != first.size)
        raise DataError(
            f"got mixed sizes in {name}: {_base(first)} is {first.size[0]}×{first.size[1]} and {_base(odd)} is "
            f"{odd.size[0]}×{odd.size[1]} (height × width); expected one size; resize all with "
            f"size={h if h == w else (h, w)}"
        )
    return h, w


def _base(header: _Header) -> str:
    return header.path.rpartition("/")[2]


def _pixels(path: Path, size: tuple[int, int], channels: int) -> np.ndarray | None:
    """One image [C, H, W] uint8; None if it cannot be decoded."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # Pillow would clip 16 bits to 255
                image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
            image = image.convert("L" if channels == 1 else "RGB")
            if image.size != size[::-1]:
                image = image.resize(size[::-1], Image.Resampling.BILINEAR)
            pixels = np.asarray(image, np.uint8)
    except Exception:  # see _header
        return None
    return pixels[None] if channels == 1 else np.moveaxis(pixels, -1, 0)
