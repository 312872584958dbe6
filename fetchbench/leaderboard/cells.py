"""The numbers of a row as text, for the board and the console alike. Missing is ``-``, never 0."""

from __future__ import annotations

from fetchbench.leaderboard.rows import DECIMALS, Row, SeedScore
from fetchbench.records.schema import Method
from fetchbench.statistics import shown

MISSING = "-"


def rate(value: float | None) -> str:
    """A success rate: ``0.82``."""
    return MISSING if value is None else f"{shown(value, DECIMALS):.{DECIMALS}f}"


def interval(row: Row) -> str:
    """The 95 % interval of the success rate: ``[0.71, 0.97]``; empty where there is none."""
    if row.success is None or row.success.low is None:
        return ""
    return f"[{rate(row.success.low)}, {rate(row.success.high)}]"


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


def correlation(value: float | None) -> str:
    """A rank correlation: ``0.31``, ``-0.04``."""
    if value is None:
        return MISSING
    text = f"{shown(value, DECIMALS):.{DECIMALS}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def count(value: int | None) -> str:
    """A whole number: ``31,232``."""
    return MISSING if value is None else f"{value:,}"


def minutes(value: float) -> str:
    """Minutes, with a digit after the point below ten: ``4.2``, ``125``."""
    return f"{value:.1f}" if round(value, 1) < 10 else f"{value:,.0f}"


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


def varies(method: Method) -> str:
    """What a method is, in one line: ``coordconv(manipulation) · critic · pixels-only · 64x64x1``.

    Licences of weights or code that are not the provider's own stand behind it.
    """
    parts = [
        component.label
        for component in (method.encoder, method.augmentation, method.auxiliary_loss, method.routing)
        if component is not None
    ]
    parts.append(method.track)
    # The goal space that everyone has goes without saying, unless something about it was changed.
    if method.goal_space.label != "vector":
        parts.append(method.goal_space.label)
    if method.pixels is not None:
        parts.append(input_size(method))
    licences = sorted({component.licence for _, component in method.components()} - {""})
    return " · ".join(parts + [f"licence {licence}" for licence in licences])
