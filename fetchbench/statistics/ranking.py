"""Who comes first, and how much evidence there is for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

Evidence: TypeAlias = Literal["draft", "provisional", "ranked"]


def evidence(seeds: int) -> Evidence:
    """What a number of seeds is worth: below 3 ``draft``, 3 or 4 ``provisional``, 5 and more ``ranked``."""
    if seeds < 3:
        return "draft"
    return "provisional" if seeds < 5 else "ranked"


def shown(value: float, decimals: int = 2) -> float:
    """A rate as the board displays it.

    0.625 over four seeds can come out as 0.6249999999999999: what is below the ninth digit is noise of the sum, and must
    not decide between 0.62 and 0.63, nor a rank.
    """
    return round(round(value, 9), decimals)


def ranks(means: Sequence[float | None], decimals: int = 2) -> list[int | None]:
    """Rank by mean, the highest first. Means displayed as equal share a rank, and the next rank is skipped.

    Args:
        means: ``(n,)``; ``None`` takes no part and gets no rank.
        decimals: Digits after the point that the board displays.

    Returns:
        ``(n,)``: ``ranks([0.811, 0.9, 0.809])`` is ``[2, 1, 2]``.
    """
    rates = [None if mean is None else shown(mean, decimals) for mean in means]
    return [None if rate is None else 1 + sum(other is not None and other > rate for other in rates) for rate in rates]
