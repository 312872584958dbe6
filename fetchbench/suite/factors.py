"""A matrix of methods, written as factors: from levels to combinations, and from these to methods.

A level is a part of a method's table. A combination takes one level of each factor and lays their tables over each other in
the factors' order; it becomes a method that is named after its levels. Combinations that come out equal are one method.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fetchbench.records.schema import Method
from fetchbench.suite.methods import METHOD_FIELDS, read_fields, read_method
from fetchbench.suite.model import Factor, Template
from fetchbench.suite.problems import Problems, join, shown

DESIGNS = ("full", "one-at-a-time")
"""``full``: every combination. ``one-at-a-time``: the first level of every factor, and each other level alone against it."""

MOST_COMBINATIONS = 2000
_FACTOR = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")
_LEVEL = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_SETTINGS = ("design", "exclude")


def read_factors(problems: Problems, value: Any, template: Template) -> tuple[tuple[Factor, ...], list[dict[str, str]]]:
    """The table ``[factors]``.

    Args:
        value: ``design``, ``exclude``, and the factors.
        template: What the levels change.

    Returns:
        The factors, and the combinations that the design asks for, each as factor -> level, in order; none where there are
        problems.
    """
    table = problems.table("factors", value)
    levels = sum(len(inner) for name, inner in table.items() if name not in _SETTINGS and isinstance(inner, dict | list))
    if levels > MOST_COMBINATIONS:
        problems.add("factors", f"have {levels:,} levels, and {MOST_COMBINATIONS:,} are the most")
        return (), []
    factors = [
        Factor(name, _levels(problems, name, levels, template)) for name, levels in table.items() if name not in _SETTINGS
    ]
    if not factors:
        problems.add("factors", 'names no factor; one is a list of levels, as in `routing = ["critic", "actor"]`, or a table')
    design = table.get("design", "full")
    if not isinstance(design, str):
        problems.add("factors.design", f"must be {' or '.join(map(repr, DESIGNS))}, not {shown(design)}")
    elif design not in DESIGNS:
        problems.unknown("factors.design", "design", design, DESIGNS)
    excluded = _excluded(problems, table.get("exclude", []), factors)
    if problems.at("factors"):
        return (), []
    number = math.prod(len(factor.levels) for factor in factors)
    if design == "full" and number > MOST_COMBINATIONS:
        these = f"{number:,}" if number < 10**9 else "more than a thousand million"
        problems.add("factors", f"these are {these} combinations, and {MOST_COMBINATIONS:,} are the most; take fewer levels")
        return (), []
    return tuple(factors), _kept(problems, _combinations(factors, design), excluded)


def read_matrix(
    problems: Problems,
    factors: Sequence[Factor],
    combinations: Iterable[Mapping[str, str]],
    template: Template,
    named: Sequence[Method],
) -> tuple[list[Method], dict[str, Mapping[str, str]], dict[str, str]]:
    """The methods that combinations come out as.

    Args:
        named: The methods that are written out. A combination that equals one of them is that one.

    Returns:
        The methods that are not among the named, in the combinations' order; method -> its levels, for these and for the named
        ones that are combinations too; and combination -> method, for those that are a method under another name.
    """
    known = {_content(method): method.name for method in named}
    taken = {method.name for method in named}
    levels: dict[str, Mapping[str, str]] = {}
    became: dict[str, str] = {}
    methods: list[Method] = []
    wrong: dict[tuple[str, str], list[str]] = {}
    for combination in combinations:
        name = "-".join(combination.values())
        place = f"factors[{name}]"
        trial = Problems(problems.where)
        method = read_method(trial, name, overlaid(factors, combination), template, place)
        for where, text in trial.items():
            wrong.setdefault((where.removeprefix(place), text), []).append(place)
        if method is None:
            continue
        if (same := known.get(_content(method))) is not None:
            levels.setdefault(same, combination)
            became[name] = same
        elif name in taken:
            problems.add(place, f"another method is named {name!r} already; rename it, or a level")
        else:
            known[_content(method)] = name
            taken.add(name)
            levels[name] = combination
            methods.append(method)
    for (field, text), places in wrong.items():
        others = f" (so in {len(places)} combinations; `exclude` leaves some out)" if len(places) > 1 else ""
        # A place that is not the combination's own is one of the suite's.
        problems.add(places[0] + field if field.startswith(".") or not field else field, text + others)
    return methods, levels, became


def overlaid(factors: Sequence[Factor], combination: Mapping[str, str]) -> dict[str, Any]:
    """The table of a combination: a later factor's level stands over an earlier one's, in ``pixels`` field by field."""
    table: dict[str, Any] = {}
    for factor in factors:
        level = factor.levels[combination[factor.name]]
        both = {**table.get("pixels", {}), **level.get("pixels", {})}
        table |= level
        if both:
            table["pixels"] = both
    return table


def place_of(factors: Sequence[Factor], combination: Mapping[str, str], field: str) -> str | None:
    """Where a field of a combination is written; ``None`` where no level has it."""
    found = None
    for factor in factors:
        level = combination[factor.name]
        if field in factor.levels[level]:
            found = join(join(join("factors", factor.name), level), field)
    return found


def _content(method: Method) -> str:
    return method.model_dump_json(exclude={"name"})


def _levels(problems: Problems, name: str, value: Any, template: Template) -> dict[str, dict[str, Any]]:
    place = join("factors", name)
    if not _FACTOR.fullmatch(name):
        problems.add(
            place, "a factor's name has lower-case letters and digits, with single hyphens or underscores between them"
        )
    if isinstance(value, list):
        # `routing = ["critic", "actor"]` is short for a table of levels that are named after their values.
        for number, level in enumerate(value):
            if not isinstance(level, str) or not _LEVEL.fullmatch(level):
                text = f"must be a name, not {shown(level)}; levels that need another are a table, as in [{place}]"
                problems.add(f"{place}[{number}]", text)
            elif level in value[:number]:
                problems.add(f"{place}[{number}]", f"{level!r} is there already")
        value = {level: level for level in value if isinstance(level, str) and _LEVEL.fullmatch(level)}
    elif not isinstance(value, dict):
        problems.add(place, f"must be a list of names or a table of levels, not {shown(value)}")
        return {}
    if len(value) < 2 and not problems.at(place):
        problems.add(place, "needs two levels or more; what does not vary belongs into [template]")
    return {level: _level(problems, name, level, content, template) for level, content in value.items()}


def _level(problems: Problems, factor: str, level: str, content: Any, template: Template) -> dict[str, Any]:
    """What a level changes in a method's table."""
    place = join(join("factors", factor), level)
    if not _LEVEL.fullmatch(level):
        problems.add(place, "a level's name has lower-case letters and digits, with single hyphens or dots between them")
    if not isinstance(content, dict):
        if factor not in METHOD_FIELDS:
            text = f"{shown(content)} is a value for the field {factor!r}, which no method has; name the field in a table"
            problems.add(place, f"{text}, as in `{level} = {{ encoder = {shown(content)} }}`")
            return {}
        trial = Problems(problems.where)
        read_fields(trial, place, {factor: content}, template)
        for where, text in trial.items():
            problems.add(where.replace(join(place, factor), place, 1), text)
        return {factor: content}
    known = problems.fields(place, content, METHOD_FIELDS)
    read_fields(problems, place, known, template)
    return known


def _excluded(problems: Problems, value: Any, factors: Sequence[Factor]) -> list[dict[str, list[str]]]:
    """Each exclusion as factor -> the levels that it holds for."""
    if not isinstance(value, list):
        problems.add("factors.exclude", f'must be a list of tables, as in [{{ routing = "aux" }}], not {shown(value)}')
        return []
    if len(value) > MOST_COMBINATIONS:
        problems.add("factors.exclude", f"are {len(value):,} entries, and {MOST_COMBINATIONS:,} are the most")
        return []
    levels = {factor.name: list(factor.levels) for factor in factors}
    found = []
    for number, entry in enumerate(value):
        place = f"factors.exclude[{number}]"
        table = problems.table(place, entry)
        if not table and not problems.at(place):
            problems.add(place, "names no level: it would leave out everything")
        wanted: dict[str, list[str]] = {}
        for factor, given in table.items():
            if factor not in levels:
                problems.unknown(join(place, factor), "factor", factor, levels)
                continue
            named: list[Any] = given if isinstance(given, list) else [given]
            wanted[factor] = [level for level in named if isinstance(level, str)]
            if not named:
                problems.add(join(place, factor), "names no level: it would leave out nothing")
            for level in named:
                if not isinstance(level, str):
                    problems.add(join(place, factor), f"must be a level or a list of levels, not {shown(given)}")
                elif level not in levels[factor]:
                    problems.unknown(join(place, factor), "level", level, levels[factor])
        found.append(wanted)
    return found


def _combinations(factors: Sequence[Factor], design: str) -> Iterator[dict[str, str]]:
    if design == "full":
        for levels in itertools.product(*(factor.levels for factor in factors)):
            yield dict(zip((factor.name for factor in factors), levels, strict=True))
        return
    reference = {factor.name: next(iter(factor.levels)) for factor in factors}
    yield reference
    for factor in factors:
        for level in list(factor.levels)[1:]:
            yield reference | {factor.name: level}


def _kept(
    problems: Problems, combinations: Iterable[dict[str, str]], excluded: Sequence[Mapping[str, Sequence[str]]]
) -> list[dict[str, str]]:
    """The combinations that no exclusion matches."""
    kept, used = [], set()
    for combination in combinations:
        by = {i for i, wanted in enumerate(excluded) if all(combination[name] in wanted[name] for name in wanted)}
        used |= by
        if not by:
            kept.append(combination)
    for number in sorted({*range(len(excluded))} - used):
        problems.add(f"factors.exclude[{number}]", "leaves out nothing: the design has no such combination; remove it")
    if not kept:
        problems.add("factors.exclude", "leaves nothing")
    return kept
