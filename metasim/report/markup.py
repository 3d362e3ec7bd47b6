"""Pieces of HTML; every function takes text and returns markup with all text escaped.

Markup is a type of its own, so that text cannot be put into a page unescaped unnoticed.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from html import escape
from typing import NewType

from metasim.report.canvas import DPI

__all__ = [
    "Markup",
    "bar",
    "bullets",
    "code",
    "details",
    "join",
    "paragraph",
    "picture",
    "section",
    "table",
    "text",
    "tile",
]

Markup = NewType("Markup", str)

_PNG = b"\x89PNG\r\n\x1a\n"


def text(value: object) -> Markup:
    """Any text."""
    return Markup(escape(str(value), quote=True))


def join(parts: Sequence[Markup]) -> Markup:
    """Pieces one after the other."""
    return Markup("\n".join(part for part in parts if part))


def paragraph(words: str, kind: str = "") -> Markup:
    """A paragraph."""
    return Markup(f"<p{_kind(kind)}>{text(words)}</p>")


def bullets(items: Sequence[str], kind: str = "") -> Markup:
    """A list; nothing where it is empty."""
    inside = "".join(f"<li>{text(item)}</li>" for item in items)
    return Markup(f"<ul{_kind(kind)}>{inside}</ul>" if items else "")


def section(title: str, *parts: Markup) -> Markup:
    """A headed section; nothing where it has no parts."""
    inside = join(parts)
    return Markup(f"<section>\n<h2>{text(title)}</h2>\n{inside}\n</section>" if inside else "")


def details(title: str, inside: Markup) -> Markup:
    """What is hidden until it is asked for."""
    return Markup(f"<details>\n<summary>{text(title)}</summary>\n{inside}\n</details>")


def code(words: str) -> Markup:
    """Text as it stands in a file or on a command line."""
    return Markup(f"<pre>{text(words)}</pre>")


def tile(name: str, value: str, *notes: str) -> Markup:
    """A key number: what it is, the number, and remarks."""
    remarks = "".join(f"<dd class='note'>{text(note)}</dd>" for note in notes if note)
    return Markup(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd>{remarks}</div>")


def bar(share: float, words: str) -> Markup:
    """A share from 0 to 1 as a bar with words beside it."""
    width = round(100 * min(max(share, 0.0), 1.0))
    return Markup(f"<span class='bar'><span style='width:{width}%'></span></span> {text(words)}")


def table(head: Sequence[str], rows: Sequence[Sequence[Markup]], numeric: int = 1) -> Markup:
    """A table whose columns from the ``numeric``-th on hold numbers; its first names the row."""
    names = "".join(
        f"<th scope='col'{_kind('n' if i >= numeric else '')}>{text(name)}</th>"
        for i, name in enumerate(head)
    )
    body = "\n".join(_row(row, numeric) for row in rows)
    return Markup(
        f"<div class='scroll'><table>\n<thead><tr>{names}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _row(cells: Sequence[Markup], numeric: int) -> str:
    rest = "".join(
        f"<td{_kind('n' if i >= numeric else '')}>{cell}</td>"
        for i, cell in enumerate(cells[1:], start=1)
    )
    return f"<tr><th scope='row'>{cells[0]}</th>{rest}</tr>"


def picture(png: bytes, alt: str, caption: str = "", kind: str = "") -> Markup:
    """A PNG image inside the page.

    Args:
        png: the bytes of the file; nothing is shown where they are none.
        alt: what it shows, for who cannot see it.
        caption: below it.
        kind: "figure" for drawings, "pixels" for images whose pixels must stay sharp.
    """
    if not png.startswith(_PNG) or len(png) < 24:
        return Markup("")
    width, _ = struct.unpack(">II", png[16:24])
    shown = width * 96 // DPI if kind == "figure" else width
    data = base64.b64encode(png).decode()
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return Markup(
        f"<figure{_kind(kind)}><img width='{shown}' alt='{text(alt)}' "
        f"src='data:image/png;base64,{data}'>{below}</figure>"
    )


def _kind(name: str) -> str:
    return f" class='{text(name)}'" if name else ""
