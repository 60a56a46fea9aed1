"""A folder of PNG or JPEG images; its subfolders, if it has any, are classes."""

from __future__ import annotations

__all__ = ["read_folder"]

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elbox.data.memory import check_memory
from elbox.data.raw import Raw, Where
from elbox.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap height and width


class _Header(NamedTuple):
    """What an image file says of itself before it is decoded."""

    path: Path
    size: tuple[int, int]
    channels: int


def read_folder(folder: Path, name: str, *, size: tuple[int, int] | None = None, channels: int | None = None) -> Raw:
    """Images as bytes [N, C, H, W], in the order of their paths.

    Grey images have one channel, coloured ones three (RGB); where both occur all are converted to what most of them
    are. Transparency is dropped, the orientation that a camera noted is applied, 16-bit grey is cut to 8 bits. With
    `size` the whole picture is resized (anti-aliased, without keeping its aspect ratio). Files that cannot be read are
    left out, with a warning, and counted in `Data.source`.

    Arguments:
        folder: Folder of images, or of subfolders of images: then the subfolders are classes.
        name: Its name for messages.
        size: Height and width to resize to; needed where sizes are mixed.
        channels: 1 or 3 to convert to; None for what most images are.

    Raises:
        DataError: if there is no readable image, images lie both beside and in subfolders, or sizes are mixed.
    """
    files, classes = _files(folder, name)
    headers: list[_Header] = []
    broken: list[Path] = []
    for path in files:
        header = _header(path)
        if header:
            headers.append(header)
        else:
            broken.append(path)
    if headers and size is None:
        size = _common_size(headers, name)
    if channels is None:
        channels = 3 if 2 * sum(h.channels == 3 for h in headers) >= len(headers) else 1
    x, kept = _decode(headers, size or (1, 1), channels, broken, name)
    if not kept:
        raise DataError(
            f"got {len(files)} files in {name} of which none can be read as an image; expected PNG or JPEG; check "
            f"{files[0].name}"
        )
    notes = _report(broken, folder, name, len(files))
    names = [path.relative_to(folder).as_posix() for path in kept]
    code = {title: i for i, title in enumerate(classes)}
    y = np.array([code[title.split("/")[0]] for title in names]) if classes else None
    return Raw(x, y, Where(name, row=lambda i: names[i]), class_names=classes, notes=notes)


def _files(folder: Path, name: str) -> tuple[list[Path], tuple[str, ...]]:
    """Image files in order, and the classes if there are at least two subfolders of them."""
    found = [Path(top) / f for top, _, files in os.walk(folder) for f in files if f.lower().endswith(SUFFIXES)]
    relative = sorted(p.relative_to(folder).as_posix() for p in found if not _hidden(p.relative_to(folder)))
    if not relative:
        raise DataError(
            f"got the folder {name} without any image; expected PNG or JPEG files in it or in its subfolders; check "
            "the path"
        )
    inside = sorted({path.split("/")[0] for path in relative if "/" in path})
    beside = next((path for path in relative if "/" not in path), None)
    if inside and beside:
        raise DataError(
            f"got images both in {name} ({beside}) and in its subfolder {inside[0]}; expected one or the other, since "
            "subfolders are classes; move them"
        )
    return [folder / path for path in relative], tuple(inside) if len(inside) > 1 else ()


def _hidden(path: Path) -> bool:
    """Whether a path is the file system's own litter: `.cache/…`, `._a.png`, `__MACOSX/…`."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _header(path: Path) -> _Header | None:
    """Size and channels without decoding; None if this is no image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            w, h = image.size
            size = (w, h) if image.getexif().get(274) in _TURNED else (h, w)
            return _Header(path, size, 1 if _is_grey(image) else 3)
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
            f"got mixed sizes in {name}: {first.path.name} is {first.size[0]}×{first.size[1]} and {odd.path.name} is "
            f"{odd.size[0]}×{odd.size[1]} (height × width); expected one size; resize all with "
            f"size={h if h == w else (h, w)}"
        )
    return h, w


def _decode(
    headers: list[_Header], size: tuple[int, int], channels: int, broken: list[Path], name: str
) -> tuple[np.ndarray, list[Path]]:
    """All images as one array, and their files; those that fail are added to `broken`."""
    need = len(headers) * channels * size[0] * size[1]
    check_memory(2 * need, need, name)
    x = np.empty((len(headers), channels, *size), np.uint8)
    kept: list[Path] = []
    for header in headers:
        pixels = _pixels(header.path, size, channels)
        if pixels is None:
            broken.append(header.path)
        else:
            x[len(kept)] = pixels
            kept.append(header.path)
    return x[: len(kept)], kept


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


def _report(broken: list[Path], folder: Path, name: str, count: int) -> dict[str, object]:
    """Warns of files that were left out, and notes them for the run."""
    if not broken:
        return {}
    first = min(path.relative_to(folder).as_posix() for path in broken)
    warnings.warn(
        f"left out {len(broken)} of {count} image files in {name} that cannot be read; the first is {first}",
        stacklevel=2,
    )
    return {"unreadable": {"count": len(broken), "first": first}}
