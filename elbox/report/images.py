"""Sections for data that are images: reconstructions, samples, interpolations."""

from __future__ import annotations

__all__ = ["Gallery", "interpolations", "reconstructions", "samples"]

import torch
from torch import Tensor

from elbox.report.markup import Html, fragment, grid, picture, section, tag
from elbox.report.raster import brightness, grid_png, pixels, shrink
from elbox.report.subject import Subject

COLUMNS = 8
SIDE = 720  # pixels that a grid is about wide: twice those of a phone's screen in CSS


class Gallery:
    """Grids of images in one brightness scale, small enough to be inlined.

    Arguments:
        subject: The run, whose examples set what is black and white.
    """

    def __init__(self, subject: Subject) -> None:
        self.spec, self.like = subject.spec, subject.x[:1000]

    def png(self, images: Tensor, columns: int, rows_together: int = 0) -> bytes:
        """A grid with transparent gaps, of at most about 400 pixels a side before it is magnified."""
        tiles = pixels(images, self.spec, self.like)
        colour = tiles.shape[1] > 1
        tiles = shrink(tiles, max(8, (340 if colour else 400) // columns))
        scale = max(1, SIDE // (columns * tiles.shape[-1]))
        gap = max(1, scale * tiles.shape[-1] // 13)
        return grid_png(tiles, columns, scale, gap=gap, rows_together=rows_together, transparent=True)

    def scale(self) -> str:
        """What black and white mean, where that is not obvious."""
        low, high = brightness(self.like, self.spec)
        if self.spec.kind == "binary":
            return ""
        return f" Black is {low:.4g}, white {high:.4g}."


def reconstructions(subject: Subject, gallery: Gallery) -> Html:
    """Originals, and below each its reconstruction."""
    x = subject.x[: 4 * COLUMNS]
    back = subject.reconstruct(x)
    rows = [rows for pair in zip(x.split(COLUMNS), back.split(COLUMNS), strict=True) for rows in pair]
    complete = [_filled(r, COLUMNS) for r in rows] if len(x) > COLUMNS else rows
    columns = min(COLUMNS, len(x))
    png = gallery.png(torch.cat(complete), columns, rows_together=2)
    caption = (
        f"In each pair of rows: {subject.split} examples above, and below them the mean of p(x|z) for their codes."
        f"{gallery.scale()}"
    )
    return section(
        "Reconstructions",
        picture(png, f"{len(x)} {subject.split} examples, each above its reconstruction", caption, wide=True),
    )


def _filled(row: Tensor, columns: int) -> Tensor:
    """A last row that is too short, filled with black, so that pairs stay below each other."""
    missing = columns - len(row)
    return torch.cat([row, row.new_full((missing, *row.shape[1:]), float(row.min()))]) if missing else row


def samples(subject: Subject, gallery: Gallery) -> Html:
    """Samples of the model: means of p(x|z) beside draws, of the same codes from the prior."""
    n = COLUMNS * 6
    means, draws = (gallery.png(subject.sample(n, mean=mean), COLUMNS) for mean in (True, False))
    return section(
        "Samples",
        grid(
            picture(
                means,
                f"{n} means of the likelihood for codes from the prior",
                "Codes z from the prior, and the mean of p(x|z) for each.",
            ),
            picture(
                draws,
                f"{n} samples of the model",
                "The same codes with x drawn from p(x|z): true samples of the model, with its noise.",
            ),
        ),
    )


def interpolations(subject: Subject, gallery: Gallery, steps: int = COLUMNS) -> Html:
    """Walks in latent space between pairs of examples, of different classes where there are classes."""
    pairs = _pairs(subject, 5)
    if not pairs:
        return fragment()
    x, z, t = subject.x, subject.codes, torch.linspace(0, 1, steps)[:, None]
    between = subject.decode(torch.cat([torch.lerp(z[a], z[b], t) for a, b in pairs]))  # one call for all walks
    walks = [torch.cat([x[a][None], w, x[b][None]]) for (a, b), w in zip(pairs, between.split(steps), strict=True)]
    png = gallery.png(torch.cat(walks), steps + 2)
    caption = (
        f"Straight lines in latent space. The first and last image of a row are {subject.split} examples; between them "
        "are the means of p(x|z) along the line from one code to the other."
    )
    alt = f"{len(pairs)} rows, each changing gradually from one example to another"
    return section("Interpolations", picture(png, alt, caption, wide=True))


def _pairs(subject: Subject, wanted: int) -> list[tuple[int, int]]:
    free = list(range(min(len(subject.x), 200)))
    pairs: list[tuple[int, int]] = []
    while len(free) > 1 and len(pairs) < wanted:
        a = free.pop(0)
        b = next((i for i in free if subject.y is None or subject.y[i] != subject.y[a]), free[0])
        free.remove(b)
        pairs.append((a, b))
    return pairs


def strips(rows: list[tuple[str, str, bytes, str]], ticks: list[str]) -> Html:
    """Named rows of images with a scale below.

    Arguments:
        rows: Name, remark, PNG and alternative text of each row.
        ticks: What stands below the first, middle and last image.
    """
    body = [
        tag("tr", tag("th", Html(name), tag("small", remark), scope="row"), tag("td", picture(png, alt)))
        for name, remark, png, alt in rows
    ]
    scale = tag("tr", tag("th", ""), tag("td", tag("div", *(tag("span", t) for t in ticks), class_="axis")))
    return tag("table", tag("tbody", *body, scale), class_="strips")
