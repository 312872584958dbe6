"""Every problem of a suite file at once, each with the place where a user would look for it."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from fetchbench.errors import SuiteError, UnknownNameError, one_line

M = TypeVar("M", bound=BaseModel)
_WORDS = {
    "missing": "missing",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "too_long": "must be a list of {max_length}, not of {actual_length}",
}
"""pydantic's types of error, as a suite's author would put them."""

_STATED = re.compile(r"(?P<field>\w+) = (?P<value>.*?): (?P<reason>.*)")
"""How this project's models say what is wrong between fields: the place names the field already."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_KEY = 60

MOST_PROBLEMS = 50
"""Of one file: nobody reads more, and a file may have as many as it has lines."""

MOST_LEVELS = 20
"""Tables and lists in one another, in a suite's file."""


class Problems:
    """The problems of one suite file in the order in which they were found, at most one per place.

    Args:
        where: The file, as the message names it.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._found: dict[str, str] = {}

    def add(self, place: str, text: str) -> None:
        """Note a problem, unless one is known there or further inside: the second follows from the first.

        Raises:
            SuiteError: There are too many to go on.
        """
        if not self.at(place):
            self._found[place] = text
        if len(self._found) >= MOST_PROBLEMS:
            self._found["file"] = f"{MOST_PROBLEMS} problems and perhaps more; these are the first"
            self.raise_all()

    def at(self, place: str) -> bool:
        """Whether there is a problem at a place, or inside it."""
        return any(found == place or found.startswith((f"{place}.", f"{place}[")) for found in self._found)

    def unknown(self, place: str, kind: str, name: str, known: Iterable[str]) -> None:
        """Note a name that nothing carries, with the closest that something does."""
        self.add(place, str(UnknownNameError(kind, name if len(name) <= _LONGEST_KEY else shown(name), known)))

    def fields(self, place: str, table: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
        """Note every field that is not known; the others are returned."""
        names = tuple(known)
        for field in table:
            if field not in names:
                self.unknown(join(place, field), "field", field, names)
        return {field: value for field, value in table.items() if field in names}

    def table(self, place: str, value: Any) -> dict[str, Any]:
        """A table, or an empty one where something else stands."""
        if isinstance(value, dict):
            return value
        self.add(place, f"must be a table, not {shown(value)}")
        return {}

    def validate(self, place: str, model: type[M], table: Mapping[str, Any]) -> M | None:
        """A table as a model, or nothing, with a problem for each unknown field and each wrong value."""
        known = self.fields(place, table, model.model_fields)
        try:
            return model.model_validate_json(json.dumps(known))
        except ValidationError as error:
            self._invalid(place, error, model)
            wrong = {found["loc"][0] for found in error.errors() if found["loc"]}
        # What holds between fields is looked at only where each is right: once more, without those that are wrong.
        try:
            model.model_validate_json(json.dumps({field: value for field, value in known.items() if field not in wrong}))
        except ValidationError as error:
            self._invalid(place, error, model)
        return None

    def _invalid(self, place: str, error: ValidationError, model: type[BaseModel]) -> None:
        for found in error.errors():
            where = place
            if found["type"] == "value_error" and (stated := _STATED.fullmatch(str(found["ctx"]["error"]))):
                self.add(join(place, stated["field"]), f"{stated['value']}, but {stated['reason']}")
                continue
            for part in found["loc"]:
                where = f"{where}[{part}]" if isinstance(part, int) else join(where, part)
            choices: tuple[str, ...] = ()
            if found["type"] == "literal_error":
                choices = get_args(model.model_fields[str(found["loc"][0])].annotation)
            self.add(where, in_words(found, found["input"], choices))

    def items(self) -> list[tuple[str, str]]:
        """``(place, problem)`` of all that were found."""
        return list(self._found.items())

    def raise_all(self) -> None:
        """Raise them all, if there are any.

        Raises:
            SuiteError: With a line per problem.
        """
        if self._found:
            raise SuiteError(self.where, [f"{place}: {text}" for place, text in self._found.items()])


def join(place: str, key: str) -> str:
    """A place and a key inside it, quoted where TOML wants it quoted: ``methods."crop.v2".encoder``.

    A key that is too long for a message is cut; what tells it from another that is cut to the same stands behind it.
    """
    if len(key) > _LONGEST_KEY:
        key = f"{key[:_LONGEST_KEY]}... {hashlib.sha256(key.encode()).hexdigest()[:4]}"
    key = key if _BARE_KEY.fullmatch(key) else f'"{one_line(key)}"'
    return f"{place}.{key}" if place else key


def shown(value: Any) -> str:
    """A value as it can stand in a message."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def json_only(problems: Problems, value: Any, place: str = "", _depth: int = 0) -> Any:
    """A copy of a TOML value that JSON can hold.

    Dates, numbers that are not finite, whole numbers beyond TOML's own 64 bits and what is nested too deeply are problems.
    """
    if isinstance(value, dict | list):
        if _depth > MOST_LEVELS:
            problems.add(place, f"nested too deeply: {MOST_LEVELS} tables and lists in one another are the most")
            return "..."
        if isinstance(value, dict):
            return {key: json_only(problems, inner, join(place, key), _depth + 1) for key, inner in value.items()}
        return [json_only(problems, inner, f"{place}[{number}]", _depth + 1) for number, inner in enumerate(value)]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        problems.add(place, "must be a number of at most 64 bits, as TOML has it")
        return 0
    if isinstance(value, float) and not math.isfinite(value):
        problems.add(place, f"must be a finite number, not {value}")
        return str(value)
    if not isinstance(value, bool | int | float | str):
        problems.add(place, f"dates and times mean nothing here; put {value} in quotes if a text is meant")
        return str(value)
    return value


def in_words(found: Any, value: Any, choices: Iterable[str] = ()) -> str:
    """One of pydantic's findings, in this project's words.

    Args:
        found: An item of ``ValidationError.errors()``.
        value: What was found wrong.
        choices: The values that an enumeration allows.
    """
    if found["type"] == "value_error" and (stated := _STATED.fullmatch(str(found["ctx"]["error"]))):
        text = stated["reason"]
    elif template := _WORDS.get(found["type"]):
        text = template.format(**found.get("ctx", {}))
    else:
        text = str(found["msg"]).replace("Input should", "must")
    if found["type"] in ("missing", "too_long"):
        return text
    text += f", not {shown(value)}"
    if isinstance(value, str) and (close := difflib.get_close_matches(value, choices, n=1)):
        text += f"; did you mean {close[0]!r}?"
    return text
