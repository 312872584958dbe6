"""From a method's table and the template to a method."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fetchbench.protocol import PIXEL_TRACKS, TRACKS
from fetchbench.records.schema import COMPONENT_FIELDS, LONGEST_NAME, Method
from fetchbench.specs import PIXEL_PRESETS, PixelSpec
from fetchbench.suite.components import read_component
from fetchbench.suite.model import Template, usual_goals
from fetchbench.suite.problems import Problems, in_words, join, shown

TEMPLATE_FIELDS = tuple(field for field in Method.model_fields if field not in ("name", "track"))
METHOD_FIELDS = ("track", *TEMPLATE_FIELDS)
REMOVABLE = ("augmentation", "auxiliary_loss")
"""Fields where ``false`` takes away what the template names."""
COMPANIONS = {"views": "augmentation", "target_views": "augmentation", "auxiliary_weight": "auxiliary_loss"}
"""Fields that mean nothing without another."""
_PIXELS = TypeAdapter(PixelSpec)


def read_pixels(problems: Problems, place: str, table: Mapping[str, Any], base: PixelSpec | None) -> PixelSpec:
    """Pixels: a preset, or what stands above, with single fields changed; fields that are wrong are left at their default.

    Args:
        base: What it changes; ``None`` needs a preset.
    """
    names = [field.name for field in dataclasses.fields(PixelSpec)]
    table = problems.fields(place, table, ("preset", *names))
    if "preset" in table or base is None:
        base = read_preset(problems, place, table, PIXEL_PRESETS) or PixelSpec()
    # render_size is judged last, by the size that has been found good.
    names.sort(key=lambda name: name == "render_size")
    good: dict[str, Any] = {}
    for name in names:
        wanted = table.get(name, getattr(base, name))
        try:
            _PIXELS.validate_json(json.dumps(good | {name: wanted}))
            good[name] = wanted
        except ValidationError as error:
            problems.add(join(place, name), in_words(error.errors()[0], wanted))
    return PixelSpec(**good)


def read_preset(problems: Problems, place: str, table: Mapping[str, Any], presets: Mapping[str, Any]) -> Any:
    """The preset that a table names, or nothing and a problem."""
    name = table.get("preset")
    if name is None:
        problems.add(join(place, "preset"), f"missing; one of {', '.join(presets)}")
    elif not isinstance(name, str):
        problems.add(join(place, "preset"), f"must be one of {', '.join(presets)}, not {shown(name)}")
    elif name not in presets:
        problems.unknown(join(place, "preset"), "preset", name, presets)
    else:
        return presets[name]
    return None


def read_template(problems: Problems, table: Mapping[str, Any], template: Template) -> Template:
    """The template's table, upon what the suite says."""
    given = read_fields(problems, "template", problems.fields("template", table, TEMPLATE_FIELDS), template)
    values: dict[str, Any] = {field: None if value is False else value for field, value in given.items()}
    return dataclasses.replace(template, **values)


def read_method(
    problems: Problems, name: str, table: Mapping[str, Any], template: Template, place: str | None = None
) -> Method | None:
    """A method's table, upon the template; nothing where there are problems.

    Args:
        place: Where it stands; by default under its name among the methods.
    """
    place = place or join("methods", name)
    try:
        Method(name=name, track="blind")
    except ValidationError:
        text = "a method's name has lower-case letters and digits, with single hyphens or dots between them"
        problems.add(place, text + (f", {LONGEST_NAME} at most" if len(name) > LONGEST_NAME else ""))
    known = problems.fields(place, table, METHOD_FIELDS)
    given = read_fields(problems, place, known, template)
    if problems.at(join(place, "track")) or ("track" not in given and problems.at("track")):
        # Without a track nobody knows what the other fields mean.
        return None
    refuse_strays(problems, place, known, given, template)
    return None if problems.at(place) else assemble(problems, place, name, given, template)


def read_fields(problems: Problems, place: str, table: Mapping[str, Any], template: Template) -> dict[str, Any]:
    """The fields of a table that are good, each as :class:`Method` wants it; ``False`` takes the template's away."""
    given: dict[str, Any] = {}
    for field, value in table.items():
        where = join(place, field)
        if field == "track":
            given[field] = read_track(problems, where, value)
            if value == "image-goal" != template.track:
                problems.add(where, 'needs `track = "image-goal"` for the whole suite: its rows must meet the same episodes')
        elif field == "pixels":
            given[field] = read_pixels(problems, where, problems.table(where, value), template.pixels)
        elif field in REMOVABLE and value is False:
            given[field] = False
        elif field in COMPONENT_FIELDS:
            given[field] = read_component(problems, where, value)
    scalars = {field: value for field, value in table.items() if field in (*COMPANIONS, "trunk")}
    checked = problems.validate(place, Method, {"name": "any", "track": "blind", **scalars})
    if checked is not None:
        given |= {field: getattr(checked, field) for field in scalars}
    return {field: value for field, value in given.items() if value is not None}


def read_track(problems: Problems, place: str, value: Any, known: Sequence[str] = tuple(TRACKS)) -> str | None:
    """A track, or nothing and a problem."""
    if value is None:
        problems.add(place, f"missing; one of {', '.join(known)}")
    elif not isinstance(value, str):
        problems.add(place, f"must be one of {', '.join(known)}, not {shown(value)}")
    elif value not in known:
        problems.unknown(place, "track", value, known)
    else:
        return value
    return None


def refuse_strays(
    problems: Problems, place: str, table: Mapping[str, Any], given: Mapping[str, Any], template: Template
) -> None:
    """Note every field of a method's table that could have no effect."""
    track = given.get("track", template.track)
    if track not in PIXEL_TRACKS:
        for field in table:
            if field not in ("track", "goal_space"):
                problems.add(join(place, field), f"track {track!r} sees no frames and takes no {field}; remove it")
        return
    for field, needed in COMPANIONS.items():
        has = given.get(needed, getattr(template, needed))
        if field in table and not has and not problems.at(join(place, needed)) and not problems.at(join("template", needed)):
            problems.add(join(place, field), f"means nothing without {needed}; name one, or remove this")


def assemble(problems: Problems, place: str, name: str, given: Mapping[str, Any], template: Template) -> Method | None:
    """A method from the fields that it gives and, if it sees frames, the template; nothing where something is missing.

    Args:
        place: Where a user would add what is missing.
    """
    track = given.get("track", template.track)
    if track not in PIXEL_TRACKS:
        return Method(name=name, track=track, goal_space=given.get("goal_space", usual_goals(track)))
    values = {field: getattr(template, field) for field in TEMPLATE_FIELDS} | dict(given) | {"track": track}
    values |= {field: None for field in REMOVABLE if not values[field]}
    values["goal_space"] = values["goal_space"] or usual_goals(track)
    for field, needed in COMPANIONS.items():
        if values[needed] is None:
            del values[field]
    for field in ("encoder", "routing"):
        if values[field] is None and not problems.at(join("template", field)):
            problems.add(join(place, field), f"missing; a method on track {track!r} needs one, here or in [template]")
    if values["pixels"] is None:
        problems.add("pixels.preset", f"missing; methods that see frames need one of {', '.join(PIXEL_PRESETS)}")
    if any(values[field] is None for field in ("encoder", "routing", "pixels")):
        return None
    return Method(name=name, **values)
