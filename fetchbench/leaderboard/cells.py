"""The numbers of a row as text, for the board and the console alike. Missing is ``-``, never 0."""

from __future__ import annotations

from typing import Protocol

from fetchbench.leaderboard.markdown import escape
from fetchbench.leaderboard.rows import DECIMALS, Row, SeedScore
from fetchbench.records.schema import Method
from fetchbench.statistics import Interval, shown

MISSING = "-"


class Placed(Protocol):
    """What has a place in a table."""

    @property
    def rank(self) -> int | None: ...
    @property
    def tied(self) -> bool: ...


def rank(row: Placed) -> str:
    """A place: ``1``; ``2=`` where it is shared."""
    return MISSING if row.rank is None else f"{row.rank}{'=' if row.tied else ''}"


def rate(value: float | None) -> str:
    """A success rate: ``0.82``."""
    return MISSING if value is None else f"{shown(value, DECIMALS):.{DECIMALS}f}"


def interval(success: Interval | None) -> str:
    """The 95 % interval of a success rate: ``[0.71, 0.97]``; empty where there is none."""
    if success is None or success.low is None:
        return ""
    return f"[{rate(success.low)}, {rate(success.high)}]"


def difference(value: float) -> str:
    """A difference of success rates, with its sign: ``+0.12``, ``-0.05``, ``0.00``."""
    text = f"{shown(value, DECIMALS):+.{DECIMALS}f}"
    return text[1:] if float(text) == 0 else text


def p_value(value: float | None) -> str:
    """``0.031``; ``<0.001`` below that."""
    if value is None:
        return MISSING
    return "<0.001" if value < 0.0005 else f"{value:.3f}"


def seed_scores(row: Row) -> str:
    """Every seed: ``0.82 · 0.00 diverged · failed``."""
    return " · ".join(map(_seed_score, row.seeds))


def _seed_score(seed: SeedScore) -> str:
    if seed.status == "failed":
        return "failed"
    return rate(seed.score) if seed.status == "done" else f"{rate(seed.score)} {seed.status}"


def solved(row: Row) -> str:
    """Solved of scored seeds: ``4/5``."""
    return f"{row.solved}/{row.scored}" if row.scored else MISSING


def takeoff(row: Row) -> str:
    """Steps and updates of the median seed, and how many took off: ``3,000 / 2,000 (4/5)``."""
    if not row.scored:
        return MISSING
    when = f"{row.takeoff.steps:,} / {row.takeoff.updates:,}" if row.takeoff else MISSING
    return f"{when} ({row.took_off}/{row.scored})"


def diagnosis(row: Row) -> str:
    """How many seeds look how: ``4 working, 1 failing``."""
    counts = {verdict: row.verdicts.count(verdict) for verdict in ("working", "undecided", "failing")}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or MISSING


def correlation(value: float | None) -> str:
    """A rank correlation or an R2: ``0.31``, ``-0.04``."""
    return MISSING if value is None else difference(value).removeprefix("+")


def probe(row: Row, position: str) -> str:
    """R2 of the last probe of a position: ``0.96``; of two encoders ``0.96 critic<br>0.81 actor``."""
    found = [score for score in row.probes if score.position == position]
    if len(found) == 1:
        return correlation(found[0].r2)
    parts = [f"{correlation(score.r2)} {escape(score.encoder.removesuffix(' encoder'))}" for score in reversed(found)]
    return "<br>".join(parts) or MISSING


def count(value: int | None) -> str:
    """A whole number: ``31,232``."""
    return MISSING if value is None else f"{value:,}"


def minutes(value: float) -> str:
    """Minutes, with a digit after the point below ten: ``4.2``, ``125``."""
    return f"{value:.1f}" if round(value, 1) < 10 else f"{value:,.0f}"


def cost(row: Row) -> str:
    """Mean time of a run: ``3.5 core-min``, ``41 core-h``; ``13 GPU-min`` where every run trained on a GPU."""
    spent, unit = (row.core_minutes, "core") if row.gpu_minutes is None else (row.gpu_minutes, "GPU")
    return f"{minutes(spent)} {unit}-min" if spent < 120 else f"{minutes(spent / 60)} {unit}-h"


def memory(megabytes: float | None) -> str:
    """``812 MB``, ``3.1 GB``."""
    if megabytes is None:
        return MISSING
    return f"{megabytes:.0f} MB" if round(megabytes) < 1000 else f"{megabytes / 1000:.1f} GB"


def input_size(method: Method) -> str:
    """Height, width and stacked frames, and how they are made: ``84x84x4 from 480, 4 samples``."""
    pixels = method.pixels
    if pixels is None:
        return MISSING
    text = f"{pixels.size}x{pixels.size}x{pixels.stack}"
    text += f" from {pixels.render_size}" if pixels.render_size is not None else ""
    return text + (f", {pixels.offsamples} samples" if pixels.offsamples else "")


def parts(method: Method) -> dict[str, str]:
    """What a method is, kind by kind: ``{"encoder": "coordconv(manipulation)", "routing": "critic", ...}``."""
    components = {
        "encoder": method.encoder,
        "augmentation": method.augmentation,
        "auxiliary loss": method.auxiliary_loss,
        "routing": method.routing,
    }
    found = {kind: component.label for kind, component in components.items() if component is not None}
    if method.augmentation is not None and (method.views, method.target_views) != (1, 1):
        found["augmentation"] += f" K={method.views} M={method.target_views}"
    if method.auxiliary_loss is not None and method.auxiliary_weight != 1:
        found["auxiliary loss"] += f" times {method.auxiliary_weight:g}"
    if method.trunk is not None:
        found["trunk"] = f"trunk {method.trunk}"
    found["track"] = method.track
    # The goal space that everyone has goes without saying, unless something about it was changed.
    if method.goal_space.label != "vector":
        found["goal space"] = method.goal_space.label
    if method.pixels is not None:
        found["frames"] = input_size(method)
    return found


def varies(method: Method) -> str:
    """What a method is, in one line: ``coordconv(manipulation) · critic · pixels-only · 64x64x1``.

    Licences of weights or code that are not the provider's own stand behind it.
    """
    licences = sorted({component.licence for _, component in method.components()} - {""})
    return " · ".join([*parts(method).values(), *(f"licence {licence}" for licence in licences)])
