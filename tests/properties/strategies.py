"""Inputs that nobody meant: documents of any kind, and sound ones with something changed."""

from __future__ import annotations

import copy
import datetime
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]

Value: TypeAlias = Any


def some(share: float) -> settings:
    """Of a property whose inputs cost more: a share of the profile's number of inputs."""
    return settings(max_examples=max(1, round(settings.default.max_examples * share)))


HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "a\u202eb\u2066c",
    "| a | b |\n\n# head",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1)) ![y](http://e.example/z.png)",
    "www.example.com",
    "`code` $x^2$ **bold** _i_",
    "../../outside",
    "\x00",
    "\u2028line\u0085break",
    "x" * 5000,
)
"""Text that means something to a terminal, to markdown, to HTML, or to a file system."""

texts = st.text(max_size=12) | st.sampled_from(HOSTILE)
"""Without lone surrogates, which no file in UTF-8 can hold."""

numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 10**30, 10**400, 1e-320, 1e300, -1e300, math.inf, math.nan])
)
scalars = st.none() | st.booleans() | numbers | texts


def nested(depth: int) -> Value:
    """A list in a list in a list, and so on."""
    value: Value = []
    for _ in range(depth):
        value = [value]
    return value


large = (
    st.sampled_from([30, 150]).map(nested)
    | st.just(3000).map(lambda n: [0] * n)
    | st.just(300).map(lambda n: {str(k): k for k in range(n)})
)
json_values = large | st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)

toml_values = json_values.filter(lambda value: None not in leaves(value)) | st.sampled_from(
    [datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.time(1, 2)]
)


def leaves(value: Value) -> Iterator[Value]:
    """All that is neither list nor table, however deep."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


# -- writing ----------------------------------------------------------------------------------------------------------


def toml(value: Value) -> str:
    """A TOML value in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)


def document(table: dict[str, Value]) -> str:
    """A TOML document, a line per key."""
    return "".join(f"{_quoted(key)} = {toml(value)}\n" for key, value in table.items())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


# -- changing ---------------------------------------------------------------------------------------------------------


def one_of(found: Sequence[Value]) -> st.SearchStrategy[Value]:
    """One of several that are too long to be shown, each a copy."""
    return st.integers(0, len(found) - 1).map(lambda number: copy.deepcopy(found[number]))


def _names(value: Value) -> set[str]:
    own = set(value) if isinstance(value, dict) else set()
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return own.union(*map(_names, inside))


def _holder(draw: st.DrawFn, value: Value) -> Value:
    """Some table or list of a document: itself, or one that is reached from it."""
    while True:
        every = value.values() if isinstance(value, dict) else value
        inside = [inner for inner in every if isinstance(inner, dict | list) and inner]
        place = draw(st.integers(-1, len(inside) - 1))
        if place < 0:
            return value
        value = inside[place]


@st.composite
def changed(draw: st.DrawFn, sound: Sequence[Value], values: st.SearchStrategy[Value]) -> Value:
    """A sound document in which one to three things were dropped, renamed, put elsewhere, repeated or exchanged.

    Args:
        sound: Documents to start from; they stay as they are.
        values: What is put in.
    """
    found = draw(one_of(sound))
    names = st.sampled_from(sorted(_names(found)))
    for _ in range(draw(st.integers(1, 3))):
        holder = _holder(draw, found)
        if not holder:
            break
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        last = keys[draw(st.integers(0, len(keys) - 1))]
        what = draw(st.sampled_from(["exchange", "exchange", "drop", "add", "move", "repeat"]))
        if what == "exchange":
            holder[last] = draw(values)
        elif what == "drop":
            del holder[last]
        elif isinstance(holder, list):
            holder.extend(copy.deepcopy(holder[last]) for _ in range(draw(st.sampled_from([1, 7, 1500]))))
        elif what == "add":
            holder[draw(texts | names)] = draw(values)
        else:
            holder[draw(texts | names)] = copy.deepcopy(holder[last]) if what == "repeat" else holder.pop(last)
    return found


@st.composite
def damaged(draw: st.DrawFn, sound: Sequence[bytes]) -> bytes:
    """Bytes of which some were flipped, cut out, cut off, put in or written twice."""
    data = draw(one_of(sound))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 40))
        put = draw(
            st.sampled_from([b"", data[at : at + length] * 2, bytes([draw(st.integers(0, 255))])]) | st.binary(max_size=9)
        )
        data = data[:at] + put + data[at + draw(st.sampled_from([0, 1, length, len(data)])) :]
    return data


# -- what must hold of every message ----------------------------------------------------------------------------------


def assert_clear(message: str, *names: str, lines: int = 1) -> None:
    """A message names what it is about, in so many lines at most, and holds nothing that a terminal obeys."""
    assert len(message.split("\n")) <= lines, message
    assert all(line.isprintable() for line in message.split("\n")), repr(message)
    assert len(message) < 100_000
    for name in names:
        assert name in message


def snapshot(folder: Path, keep: Callable[[Path], bool] = lambda _: True) -> dict[str, bytes]:
    """Every file of a folder and its content."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and keep(path))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def lines_of(page: str, like: str) -> Sequence[str]:
    """The lines of a page that match."""
    return [line for line in page.splitlines() if re.search(like, line)]
