"""HTML that is safe by construction: text becomes part of a page only through `tag`, which escapes it."""

from __future__ import annotations

__all__ = ["Html", "figure", "fragment", "grid", "minus", "picture", "section", "table", "tag"]

import base64
import html
import struct
from collections.abc import Iterable, Sequence


class Html(str):
    """Text that is HTML already; every other string is escaped."""

    __slots__ = ()


VOID = ("br", "img", "meta")


def tag(name: str, /, *children: str, **attributes: str | int) -> Html:
    """An element; strings among its children are escaped unless they are `Html`.

    Arguments:
        name: Name of the element.
        children: Text and elements.
        attributes: A trailing underscore is dropped (`class_`), others become hyphens (`aria_label`).

    Example:
        >>> str(tag("p", "1 < 2 ", tag("b", "so")))
        '<p>1 &lt; 2 <b>so</b></p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"' for key, value in attributes.items()
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{fragment(*children)}</{name}>")


def fragment(*children: str) -> Html:
    """Several pieces one after the other, text escaped."""
    return Html("".join(c if isinstance(c, Html) else html.escape(c, quote=False) for c in children))


def section(title: str, *children: str) -> Html:
    """A titled part of the page."""
    return tag("section", tag("h2", title), *children)


def grid(*figures: str) -> Html:
    """Figures side by side where there is room, below one another on a phone."""
    return tag("div", *figures, class_="grid")


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), class_: str = "") -> Html:
    """A table that scrolls sideways rather than make the page wider; the first cell of a row is its heading."""
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    top = tag("thead", tag("tr", *(tag("th", h, scope="col") for h in head))) if head else Html()
    return tag("div", tag("table", top, tag("tbody", *body), class_=class_), class_="scroll", tabindex=0)


def picture(png: bytes, alt: str, caption: str | None = None, *, wide: bool = False) -> Html:
    """An inline PNG, in a figure if it has a caption.

    Arguments:
        png: The bytes of a PNG file.
        alt: What it shows, for those who cannot see it.
        caption: What is written below it or, if `wide`, beside it where there is room.
        wide: It has a row of the page for itself.
    """
    width, height = struct.unpack(
        ">II", png[16:24]
    )  # from the header chunk, so that the page does not jump while it loads
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    image = tag("img", src=source, alt=alt, width=width, height=height)
    return image if caption is None else figure(image, caption, wide=wide)


def figure(content: str, caption: str, *, wide: bool = False) -> Html:
    """Content with a caption below or, if `wide`, beside it."""
    return tag("figure", content, tag("figcaption", caption), **({"class_": "wide"} if wide else {}))


def minus(text: str) -> str:
    """Hyphens before digits as minus signs."""
    return text.replace("-", "−")
