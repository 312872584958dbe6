"""A suite's figures, drawn: SVG and PNG, each with the digest of the data that it shows.

Colours are told apart by the colour-blind (Okabe and Ito 2008; wine and olive are Tol's); shapes tell apart what shares one.
matplotlib takes half a second to import, so it is imported where it draws.
"""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from fetchbench.leaderboard.figures import FORMATS, PNG_KEYWORD, SVG_PREFIX, data_sha256

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Data: TypeAlias = Mapping[str, Any]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933")
_SHAPES = ("o", "s", "^", "D", "v", "P")
_ANCHORS = ("#444444", "#808080")
_ANCHOR_SHAPES = ("X", "d", "<", ">")
_ANCHOR_DASHES: Sequence[Any] = ("--", ":", "-.", (0, (8, 3)))
_TEXT, _FAINT = "#222222", "#D9D9D9"

_STYLE: Any = {
    "font.family": "DejaVu Sans",  # matplotlib brings it
    "font.size": 10.5,
    "text.color": _TEXT,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#EBEBEB",
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "xtick.labelcolor": _TEXT,
    "ytick.labelcolor": _TEXT,
    "legend.frameon": False,
    "svg.hashsalt": "fetchbench",
    "svg.fonttype": "path",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
_DPI = 160
_WIDTH = 9.6
"""Inches of every figure: it shows at the width of a page's text."""


def draw(data: Data) -> dict[str, bytes]:
    """A figure's files.

    Args:
        data: Of one figure, as :func:`fetchbench.leaderboard.figures.figure_data` gives it.

    Returns:
        ``"svg"`` and ``"png"`` -> the file's content.
    """
    import matplotlib
    from matplotlib.figure import Figure

    make = {"success": _success, "learning-curves": _learning_curves, "cost": _cost}[data["figure"]]
    digest = data_sha256(data)
    metadata: dict[str, dict[str, Any]] = {
        "svg": {"Identifier": SVG_PREFIX + digest, "Date": None, "Creator": None},
        "png": {PNG_KEYWORD: digest, "Software": None},
    }
    files = {}
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE, "backend": "agg"}):
        figure = Figure(layout="constrained")
        make(figure, data)
        figure.draw_without_rendering()  # lays it out
        figure.set_layout_engine(None)  # once is enough for both files; with "none" each would be laid out again
        for extension in FORMATS:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=extension, dpi=_DPI, metadata=metadata[extension])
            files[extension] = buffer.getvalue()
    return files


# -- what all share ---------------------------------------------------------------------------------------------------


def _looks(data: Data) -> dict[str, dict[str, Any]]:
    """Method -> its colour, shape and line, the same in all figures of a suite; anchors have greys and broken lines."""
    methods = [name for name, anchor in data["methods"] if not anchor]
    anchors = sorted(name for name, anchor in data["methods"] if anchor)
    looks = {
        name: {"color": _COLOURS[n % len(_COLOURS)], "marker": _SHAPES[n // len(_COLOURS) % len(_SHAPES)], "ls": "-"}
        for n, name in enumerate(methods)
    }
    for n, name in enumerate(anchors):
        kind, colour = n % len(_ANCHOR_SHAPES), (n + n // len(_ANCHOR_SHAPES)) % len(_ANCHORS)
        looks[name] = {"color": _ANCHORS[colour], "marker": _ANCHOR_SHAPES[kind], "ls": _ANCHOR_DASHES[kind]}
    return looks


def _panels(figure: Figure, data: Data, height: float, most_columns: int = 2, **options: Any) -> list[tuple[Axes, Data]]:
    """An axes per panel, of a height in inches, with the panel's task as its title."""
    panels = data["panels"]
    columns = min(most_columns, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure.set_size_inches(_WIDTH, lines * height)
    axes = list(figure.subplots(lines, columns, squeeze=False, **options).flat)
    for spare in axes[len(panels) :]:
        spare.remove()
    shown = list(zip(axes, panels, strict=False))
    for ax, panel in shown:
        # Beside others there is no room for "FetchPickAndPlace-v4" in one line.
        ax.set_title(_wrapped(panel["task"]) if columns > 2 else panel["task"])
        ax.tick_params(length=0)
    return shown


def _wrapped(task: str) -> str:
    """A task's name over two lines: ``FetchPickAndPlace-v4`` breaks after ``Fetch``."""
    return re.sub(r"^([A-Z][a-z]+)(?=[A-Z])|(?<=mean) ", lambda match: (match[1] or "") + "\n", task, count=1)


def _success_axis(ax: Axes, label: str = "success") -> None:
    ax.set_ylim(-0.04, 1.04)
    ax.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    ax.set_ylabel(label)
    ax.grid(visible=False, axis="x")


def _legend(figure: Figure, data: Data, **line: Any) -> None:
    """Every method beside the panels, the best first."""
    from matplotlib.lines import Line2D

    looks = _looks(data)
    handles = []
    for name, anchor in data["methods"]:
        style = {"marker": None} if anchor and line["lw"] else {}
        handles.append(Line2D([], [], label=name, **{**looks[name], **line, **style}))
    figure.legend(
        handles=handles, loc="outside right upper", handlelength=2.8 if line["lw"] else 1.8, labelspacing=0.55, fontsize=10
    )


# -- final success ----------------------------------------------------------------------------------------------------


def _success(figure: Figure, data: Data) -> None:
    """A line per method, the same in all panels: seeds as dots, the mean as a bar, the interval as a band."""
    names = [name for name, _ in data["methods"]]
    looks = _looks(data)
    anchors = sum(anchor for _, anchor in data["methods"])
    height, narrow = 1.0 + 0.31 * len(names), len(data["panels"]) > 2
    for ax, panel in _panels(figure, data, height, most_columns=5, sharey=True):
        for method in panel["methods"]:
            place = names.index(method["name"])
            colour = looks[method["name"]]["color"]
            if method["low"] is not None:
                ax.plot([method["low"], method["high"]], [place, place], color=colour, lw=5, alpha=0.28, solid_capstyle="round")
            if method["mean"] is not None:
                ax.plot([method["mean"]] * 2, [place - 0.3, place + 0.3], color=colour, lw=2.4, solid_capstyle="butt")
            offsets = _beside([score for score, _ in method["seeds"]], near=0.045 if narrow else 0.01)
            for status, dot in _DOTS.items():
                at = [(score, place + o) for (score, ended), o in zip(method["seeds"], offsets, strict=True) if ended == status]
                if at:
                    ax.plot(*zip(*at, strict=True), ls="none", color=colour, zorder=3, clip_on=False, **dot(colour))
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(-0.03, 1.03)
        ax.set_xticks([0, 0.5, 1] if narrow else [0, 0.2, 0.4, 0.6, 0.8, 1.0], minor=False)
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("success")
        if anchors:
            ax.axhline(len(names) - anchors - 0.5, color="#BBBBBB", lw=0.8, ls=(0, (4, 3)))


_DOTS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "done": lambda _: {"marker": "o", "ms": 5.2, "mec": "white", "mew": 0.6},
    "censored": lambda colour: {"marker": "o", "ms": 5.0, "mfc": "white", "mec": colour, "mew": 1.3},
    "diverged": lambda _: {"marker": "x", "ms": 5.5, "mew": 1.6},
}
"""How a seed is drawn, by how it ended, in a colour."""


def _beside(scores: Sequence[float], near: float) -> list[float]:
    """Where dots that would cover each other go, above and below their line; closer together the more there are."""
    places: list[int] = []  # 0 on the line, then in turn on either side of it
    for n, score in enumerate(scores):
        taken = {places[k] for k in range(n) if abs(scores[k] - score) < near}
        places.append(next(k for k in itertools.count() if k not in taken))
    step = min(0.2, 0.7 / max([1, *places]))  # 0.4 at most from the line: the next method's is 1 away
    return [step * ((k + 1) // 2) * (-1) ** k for k in places]


# -- learning curves --------------------------------------------------------------------------------------------------


def _learning_curves(figure: Figure, data: Data) -> None:
    looks = _looks(data)
    means = {id(m): _mean_curve(m, panel["budget_steps"]) for panel in data["panels"] for m in panel["methods"]}
    alone = len(data["panels"]) == 1
    height = max(4.6, 1.0 + 0.235 * len(data["methods"])) if alone else 3.1
    for ax, panel in _panels(figure, data, height):
        scale, unit = _steps_unit(panel["budget_steps"])
        for method in sorted(panel["methods"], key=lambda m: not m["anchor"]):
            look, mean = looks[method["name"]], means[id(method)]
            _seeds(ax, method["seeds"], look, scale)
            if mean:
                steps, success = zip(*mean, strict=True)
                every = max(1, len(mean) // 7)
                ax.plot(
                    [s / scale for s in steps], success, color=look["color"], lw=2.2, ls=look["ls"],
                    marker=None if method["anchor"] else look["marker"], markevery=(every // 2, every), ms=5.5,
                    mec="white", mew=0.7, zorder=4,
                )  # fmt: skip
        _success_axis(ax)
        ax.set_xlim(0, panel["budget_steps"] / scale)
        ax.xaxis.set_major_formatter("{x:,.10g}")
        ax.set_xlabel(f"environment steps{unit}")
        if alone:
            ends = {m["name"]: means[id(m)][-1][1] for m in panel["methods"] if means[id(m)]}
            _label_ends(ax, ends, looks)
    if not alone:
        _legend(figure, data, lw=2.2, ms=5.5, mec="white", mew=0.7)


def _seeds(ax: Axes, seeds: Sequence[Data], look: Data, scale: float) -> None:
    """Every seed's curve. They are one line with gaps: a thousand lines take a second more."""
    curve: list[tuple[float, float]] = []
    for seed in seeds:
        points = seed["points"] or [(0, 0.0)] * (seed["status"] == "diverged")
        if not points:
            continue
        curve += [(steps / scale, success) for steps, success in points] + [(math.nan, math.nan)]
        if seed["status"] in ("censored", "diverged"):
            mark = {"censored": "|", "diverged": "x"}[seed["status"]]
            steps, success = points[-1]
            ax.plot(steps / scale, success, marker=mark, ms=9, mew=1.8, color=look["color"], zorder=5, clip_on=False)
    if curve:
        ax.plot(*zip(*curve, strict=True), color=look["color"], lw=0.8, alpha=0.32, ls=look["ls"], zorder=2)


def _mean_curve(method: Data, budget_steps: int) -> list[tuple[float, float]]:
    """Mean over seeds at every evaluation of any of them; none is left out because it ended early."""
    seeds = [seed for seed in method["seeds"] if seed["points"] or seed["status"] == "diverged"]
    grid = sorted({steps for seed in seeds for steps, _ in seed["points"]})
    if grid and any(seed["status"] in ("censored", "diverged") for seed in seeds) and grid[-1] < budget_steps:
        grid.append(budget_steps)
    return [(step, math.fsum(_at(seed, step) for seed in seeds) / len(seeds)) for step in grid]


def _at(seed: Data, step: float) -> float:
    """A seed's success at a step: straight lines between evaluations; later a diverged run has 0, any other what it had."""
    points = seed["points"]
    if not points:
        return 0.0
    if step <= points[0][0]:
        return float(points[0][1])
    for (start, low), (stop, high) in itertools.pairwise(points):
        if step <= stop:
            return float(low + (high - low) * (step - start) / (stop - start))
    return 0.0 if seed["status"] == "diverged" and step > points[-1][0] else float(points[-1][1])


def _steps_unit(budget_steps: int) -> tuple[float, str]:
    if budget_steps >= 1_000_000:
        return 1e6, ", millions"
    return (1e3, ", thousands") if budget_steps >= 10_000 else (1, "")


def _label_ends(ax: Axes, ends: Mapping[str, float], looks: Mapping[str, Data]) -> None:
    """Name every curve beside its end; names that would cover each other are moved apart."""
    low, high = ax.get_ylim()
    gap = (high - low) / max(18, len(ends))
    names = sorted(ends, key=lambda name: (ends[name], name))
    for name, place in zip(names, _spread([ends[name] for name in names], gap, low, high), strict=True):
        style: dict[str, Any] = {"color": looks[name]["color"], "transform": ax.get_yaxis_transform()}
        # Not an arrow of matplotlib's: a hundred of them take seconds.
        ax.plot([1.005, 1.042], [ends[name], place], lw=0.7, clip_on=False, scalex=False, scaley=False, **style)
        ax.text(1.045, place, name, va="center", fontsize=9.5, **style)


def _spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places in rising order, ``gap`` apart at least, as near to the wanted ones as neighbours allow."""
    groups: list[list[float]] = []  # [first wanted place of the group, members]: a group lies around its members' mean
    for value in wanted:
        groups.append([value, 1.0])
        while len(groups) > 1 and groups[-2][0] + gap * (groups[-2][1] + groups[-1][1]) / 2 > groups[-1][0]:
            (one, many), (other, more) = groups[-2:]
            groups[-2:] = [[(one * many + other * more) / (many + more), many + more]]
    places: list[float] = []
    for centre, members in groups:
        half = gap * (members - 1) / 2
        centre = max(low + half, min(high - half, centre))
        places += [centre - half + gap * k for k in range(int(members))]
    for k in range(1, len(places)):  # a group that was pushed back inside may have come too near
        places[k] = max(places[k], places[k - 1] + gap)
    return places


# -- success against cost ---------------------------------------------------------------------------------------------


def _cost(figure: Figure, data: Data) -> None:
    looks = _looks(data)
    height = max(4.2, 1.0 + 0.24 * len(data["methods"])) if len(data["panels"]) == 1 else 3.1
    for ax, panel in _panels(figure, data, height):
        for method in panel["methods"]:
            if method["mean"] is None:
                continue
            look = looks[method["name"]]
            if method["low"] is not None:
                ax.plot([method["minutes"]] * 2, [method["low"], method["high"]], color=look["color"], lw=1.6, alpha=0.55)
            ax.plot(method["minutes"], method["mean"], ms=9, mec="white", mew=0.8, zorder=3, **{**look, "ls": "none"})
        _success_axis(ax)
        _minutes_axis(ax, panel)
    _legend(figure, data, ls="none", lw=0, ms=8, mec="white", mew=0.8)


def _minutes_axis(ax: Axes, panel: Data) -> None:
    """Logarithmic, with ticks at round minutes and hours."""
    minutes = [method["minutes"] for method in panel["methods"] if method["minutes"] > 0]
    units = sorted({method["unit"] for method in panel["methods"]})
    ax.set_xlabel(f"{' or '.join(units)} time of a run, mean")
    if not minutes:
        return
    ax.set_xscale("log")
    low, high = min(minutes) / 1.35, max(minutes) * 1.35
    ticks = {
        1 / 60: "1 s", 1 / 20: "3 s", 1 / 6: "10 s", 0.5: "30 s", 1: "1 min", 2: "2 min", 4: "4 min", 8: "8 min", 15: "15 min",
        30: "30 min", 60: "1 h", 120: "2 h", 240: "4 h", 480: "8 h", 960: "16 h", 1920: "32 h", 3840: "64 h", 7680: "128 h",
    }  # fmt: skip
    while not sum(low <= tick <= high for tick in ticks) >= 3 and high / low < 1e4:
        low, high = low / 1.2, high * 1.2
    inside = [tick for tick in ticks if low <= tick <= high]
    inside = inside[:: max(1, math.ceil(len(inside) / 7))]
    ax.set_xticks(inside, [ticks[tick] for tick in inside])
    ax.minorticks_off()
    ax.set_xlim(low, high)
