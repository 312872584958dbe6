"""Where two JSON values differ."""

from __future__ import annotations

from typing import Any, NamedTuple


class Difference(NamedTuple):
    """The first place at which two values differ.

    Attributes:
        place: As one would write it in Python: ``evaluations[2].success``; empty where the values themselves differ.
        one: What stands there in the first; of lists that differ in length, how many entries.
        other: The same of the second.
    """

    place: str
    one: Any
    other: Any


def first_difference(one: Any, other: Any) -> Difference | None:
    """The first difference of two JSON values, keys in their order in the first; ``None`` where there is none."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            if found := first_difference(one.get(key), other.get(key)):
                return found._replace(place=f"{key}{_joined(found.place)}")
        return None
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return Difference("", f"{len(one)} entries", f"{len(other)} entries")
        for i, pair in enumerate(zip(one, other, strict=True)):
            if found := first_difference(*pair):
                return found._replace(place=f"[{i}]{_joined(found.place)}")
        return None
    return None if one == other else Difference("", one, other)


def _joined(place: str) -> str:
    return f".{place}" if place and not place.startswith("[") else place
