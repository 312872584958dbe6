"""A contact sheet: rows of frames, what was found in them drawn over, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL_IN, GAP_IN, CAPTION_IN = 1.6, 0.07, 1.75
"""Side of a frame, space between frames, and width of the captions, inches."""

TITLE_IN, HEADING_IN = 0.75, 0.5
"""Heights above the sheet and above each block, inches."""

DPI = 120
SOLVED = "#1a9850"


@dataclass(frozen=True)
class Row:
    """Frames of one kind at K moments.

    Attributes:
        caption: Stands on their left.
        frames: ``uint8 (K, 3, H, W)``.
        smooth: Whether they are scaled smoothly; otherwise every pixel is a square.
        points: ``(K, C, 2)``, drawn over them: x and y in [-1, 1], from the centre of the first pixel to that of the last.
        heat: ``(K, H', W')``, laid over them.
        notes: One per frame, in its corner.
        marked: Which frames have a green border.
    """

    caption: str
    frames: NDArray[np.uint8]
    smooth: bool = False
    points: NDArray[np.float32] | None = None
    heat: NDArray[np.float32] | None = None
    notes: Sequence[str] = ()
    marked: Sequence[bool] = ()


@dataclass(frozen=True)
class Block:
    """Rows that show the same K moments, under one heading.

    Attributes:
        heading: Of the block.
        columns: K headings.
        rows: From top to bottom.
    """

    heading: str
    columns: Sequence[str]
    rows: Sequence[Row]


def cm(distance_m: float) -> str:
    """A distance as notes state it."""
    return f"{100 * distance_m:.1f} cm"


def contact_sheet(title: str, subtitle: str, blocks: Sequence[Block]) -> bytes:
    """Lay out blocks of rows; returns a PNG file's content."""
    # Not pyplot: nothing global, no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(len(block.columns) for block in blocks)
    width = CAPTION_IN + columns * (CELL_IN + GAP_IN) + 0.1
    height = TITLE_IN + sum(HEADING_IN + len(block.rows) * (CELL_IN + GAP_IN) for block in blocks) + 0.1
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    page = _Page(figure, width, height)
    page.text(0.1, 0.12, title, size=15, weight="bold")
    page.text(0.1, 0.44, subtitle, size=10.5, color="#444444")
    top = TITLE_IN
    for block in blocks:
        top = _block(page, block, top)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


class _Page:
    """A figure measured in inches from its upper left corner."""

    def __init__(self, figure: Figure, width: float, height: float) -> None:
        self._figure, self._width, self._height = figure, width, height

    def text(self, left: float, top: float, text: str, **style: object) -> None:
        self._figure.text(left / self._width, 1 - top / self._height, text, va="top", **style)  # type: ignore[arg-type]

    def cell(self, left: float, top: float) -> Axes:
        w, h = CELL_IN / self._width, CELL_IN / self._height
        axes = self._figure.add_axes((left / self._width, 1 - top / self._height - h, w, h))
        axes.set_xticks([])
        axes.set_yticks([])
        return axes


def _block(page: _Page, block: Block, top: float) -> float:
    """Draw a block; returns where the next one begins."""
    page.text(0.1, top + 0.1, block.heading, size=10.5, weight="bold")
    for k, heading in enumerate(block.columns):
        page.text(CAPTION_IN + k * (CELL_IN + GAP_IN) + 0.02, top + HEADING_IN - 0.2, heading, size=8.5, color="#444444")
    top += HEADING_IN
    for row in block.rows:
        page.text(0.1, top + 0.05, row.caption, size=9, linespacing=1.35)
        for k in range(len(row.frames)):
            _frame(page.cell(CAPTION_IN + k * (CELL_IN + GAP_IN), top), row, k)
        top += CELL_IN + GAP_IN
    return top


def _frame(axes: Axes, row: Row, k: int) -> None:
    frame = row.frames[k].transpose(1, 2, 0)  # (H, W, 3)
    # Points and heat are to be seen, not the frame beneath them.
    faded = row.points is not None or row.heat is not None
    if faded:
        frame = (frame.mean(axis=2, keepdims=True).repeat(3, axis=2) * 0.6).astype(np.uint8)
    axes.imshow(frame, interpolation="antialiased" if row.smooth else "nearest")
    height, width = frame.shape[:2]
    if row.heat is not None:
        low, high = float(row.heat.min()), float(row.heat.max())
        edges = (-0.5, width - 0.5, height - 0.5, -0.5)
        axes.imshow(row.heat[k], cmap="inferno", alpha=0.65, vmin=low, vmax=high, extent=edges, interpolation="nearest")
    if row.points is not None:
        from matplotlib import colormaps

        x, y = ((row.points[k] + 1) / 2 * np.array([width - 1, height - 1])).T
        colours = colormaps["hsv"](np.linspace(0, 1, len(x), endpoint=False))
        axes.scatter(x, y, s=13, c=colours, edgecolors="white", linewidths=0.5)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    if row.notes:
        box = {"facecolor": "black", "alpha": 0.55, "pad": 1.5, "edgecolor": "none"}
        axes.text(0.03, 0.03, row.notes[k], transform=axes.transAxes, color="white", size=8, va="bottom", bbox=box)
    solved = bool(row.marked) and row.marked[k]
    for spine in axes.spines.values():
        # Without a border a white table and the page are one.
        spine.set_color(SOLVED if solved else "#bbbbbb")
        spine.set_linewidth(4 if solved else 0.6)
