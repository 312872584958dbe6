"""From a TOML file to a suite, with every problem at once."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from fetchbench.errors import SuiteError, one_line
from fetchbench.protocol import LEARNER_PRESETS, PIXEL_TRACKS, Budget, Evaluation, LearnerSettings, Scene, Track
from fetchbench.records.schema import Method
from fetchbench.records.store import storage_errors
from fetchbench.suite.factors import read_factors, read_matrix
from fetchbench.suite.finding import find_suite, is_name
from fetchbench.suite.methods import read_method, read_pixels, read_preset, read_template, read_track
from fetchbench.suite.model import Factor, Suite, Template, displayed
from fetchbench.suite.problems import Problems, join, json_only, shown
from fetchbench.suite.stopping import read_stop

TASK_NAMES = ("FetchReach-v4", "FetchPush-v4", "FetchSlide-v4", "FetchPickAndPlace-v4")
"""The keys of ``fetchbench.environment.tasks.TASKS``, whose import costs numpy's."""

FIELDS = (
    "title",
    "tasks",
    "track",
    "seeds",
    "baseline",
    "baseline_seeds",
    "contrasts",
    "scene",
    "pixels",
    "learner",
    "budget",
    "evaluation",
    "stop",
    "template",
    "methods",
    "factors",
)  # fmt: skip
MOST_SEEDS = 1000
MOST_RUNS = 20_000
"""Of one suite: each is a folder and a line of tables."""

MOST_BYTES = 65_536
"""Of a suite's file; the longest of fetchbench's own has a tenth of it."""

_DEEP_KEY = re.compile(rb"""(?<![\w-])(?:(?>[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){32}""", re.ASCII)
"""A key of so many parts that tomllib takes minutes, or all of the stack."""

MOST_CONTRASTS = 6
"""Of one suite: with more, none could be told from chance at the few seeds that there are."""


def load_suite(name: str) -> Suite:
    """Read a suite.

    Args:
        name: A suite's name, or a path that ends in ``.toml``.

    Raises:
        UnknownNameError: There is no such suite.
        SuiteError: The file is wrong: every problem, each with its place.
        FetchbenchError: Two different files have this name.
    """
    path = find_suite(name)
    with storage_errors("read", path), path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        text = f"has more than {MOST_BYTES:,} bytes, the most; write what varies as [factors], or make it two suites"
        raise SuiteError(displayed(path), [f"file: {text}"])
    problems = Problems(displayed(path))
    if not is_name(path.stem):
        problems.add(
            "file name", f"{path.stem!r} is no suite's name; use letters and digits, with '.', '_' or '-' between them"
        )
    document = json_only(problems, _parse(problems.where, raw))
    suite = _read(problems, path, hashlib.sha256(raw).hexdigest(), document)
    problems.raise_all()
    return cast(Suite, suite)


def _parse(where: str, raw: bytes) -> dict[str, Any]:
    if deep := _DEEP_KEY.search(raw):
        line = raw.count(b"\n", 0, deep.start()) + 1
        raise SuiteError(where, [f"line {line}: a key of 32 parts or more: nothing in a suite is nested so deeply"])
    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SuiteError(where, [f"line {line}: not UTF-8; save the file as UTF-8 text"]) from error
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*) \(at (?:(line \d+, column \d+)|end of document)\)", str(error), re.DOTALL)
        text, at = match.groups() if match else (str(error), None)
        place = at or f"line {len(raw.splitlines())}"
        raise SuiteError(where, [f"{place}: not TOML: {one_line(text)}"]) from error
    except RecursionError as error:
        raise SuiteError(where, ["file: lists or tables are nested too deeply to be read"]) from error
    except ValueError as error:  # a number of thousands of digits
        raise SuiteError(where, [f"file: not TOML: {one_line(error)}"]) from error


def _read(problems: Problems, path: Path, sha256: str, document: Mapping[str, Any]) -> Suite | None:
    problems.fields("", document, FIELDS)
    title = _title(problems, document.get("title"))
    tasks = _tasks(problems, document.get("tasks"))
    track = _track(problems, document.get("track"))
    seeds = _seeds(problems, document.get("seeds"))
    scene = problems.validate("scene", Scene, problems.table("scene", document.get("scene", {})))
    learner = _learner(problems, problems.table("learner", document.get("learner", {})))
    budget = problems.validate("budget", Budget, problems.table("budget", document.get("budget", {})))
    evaluation = problems.validate("evaluation", Evaluation, problems.table("evaluation", document.get("evaluation", {})))
    stop = None
    if "stop" in document:
        stop = read_stop(problems, problems.table("stop", document["stop"]), learner, budget, evaluation)
    template = Template(track)
    if "pixels" in document:
        pixels = read_pixels(problems, "pixels", problems.table("pixels", document["pixels"]), None)
        template = Template(track, pixels)
    template = read_template(problems, problems.table("template", document.get("template", {})), template)
    methods = _methods(problems, document.get("methods", {}), template, required="factors" not in document)
    # ``None`` where nobody can tell which methods there are.
    names: list[str] | None = list(problems.table("methods", document.get("methods", {}))) or None
    factors: tuple[Factor, ...] = ()
    levels: Mapping[str, Mapping[str, str]] = {}
    became: Mapping[str, str] = {}
    if "factors" in document:
        factors, combinations = read_factors(problems, document["factors"], template)
        above = ("track", "pixels", "template", "methods", "factors")
        # What is wrong above would be wrong again in every combination.
        if not any(map(problems.at, above)):
            crossed, levels, became = read_matrix(problems, factors, combinations, template, methods)
            methods += tuple(crossed)
        names = None if any(map(problems.at, above)) else [method.name for method in methods]
    known = _Names(names, became)
    baseline, baseline_seeds = _baseline(problems, document, known, seeds)
    contrasts = _contrasts(problems, document.get("contrasts", []), known)
    if scene is None or learner is None or budget is None or evaluation is None:
        return None
    parts = (tasks, track, seeds, scene, learner, budget, evaluation, methods, template)
    compared = (baseline, baseline_seeds, contrasts)
    runs = (len(seeds) * len(methods) + len(baseline_seeds)) * len(tasks)
    if runs > MOST_RUNS:
        problems.add("seeds", f"make {runs:,} runs of {len(methods):,} methods, and {MOST_RUNS:,} are the most; take fewer")
    return Suite(path.stem, title, path, sha256, *parts, *compared, factors, levels, stop)


class _Names(NamedTuple):
    """The methods that there are, ``None`` where nobody can tell, and the combinations that are one of them under its name."""

    methods: Sequence[str] | None
    became: Mapping[str, str]


def _title(problems: Problems, value: Any) -> str:
    if value is None:
        problems.add("title", "missing; one line that says what the suite is for")
    elif not isinstance(value, str) or not value.strip() or not value.isprintable():
        problems.add("title", f"must be one line of text, not {shown(value)}")
    else:
        return value.strip()
    return ""


def _tasks(problems: Problems, value: Any) -> tuple[str, ...]:
    if value is None:
        problems.add("tasks", f"missing; a list of {', '.join(TASK_NAMES)}")
    elif not isinstance(value, list) or not value:
        problems.add("tasks", f"must be a list of {', '.join(TASK_NAMES)}, not {shown(value)}")
    elif len(value) > len(TASK_NAMES):
        problems.add("tasks", f"are {len(value):,}, and there are {len(TASK_NAMES)}: {', '.join(TASK_NAMES)}")
    else:
        for number, task in enumerate(value):
            if not isinstance(task, str):
                problems.add(f"tasks[{number}]", f"must be a task's name, not {shown(task)}")
            elif task not in TASK_NAMES:
                problems.unknown(f"tasks[{number}]", "task", task, TASK_NAMES)
            elif task in value[:number]:
                problems.add(f"tasks[{number}]", f"{task!r} is there already")
        return tuple(map(str, value))
    return ()


def _track(problems: Problems, value: Any) -> Track:
    known = PIXEL_TRACKS
    if value in ("state", "blind"):
        problems.add("track", f'must be one of {", ".join(known)}; single methods may set `track = "{value}"`')
    return cast(Track, read_track(problems, "track", value, known) or known[0])


def _seeds(problems: Problems, value: Any, place: str = "seeds") -> tuple[int, ...]:
    if value is None:
        problems.add(place, "missing; a list of different integers, or how many: `seeds = 5` is 0 to 4")
    elif isinstance(value, int) and not isinstance(value, bool):
        if 1 <= value <= MOST_SEEDS:
            return tuple(range(value))
        problems.add(
            "seeds", f"must be 1 to {MOST_SEEDS} where it says how many, not {value}; a single seed is `seeds = [{value}]`"
        )
    elif not isinstance(value, list) or not value:
        problems.add(place, f"must be a list of different integers, or how many, not {shown(value)}")
    elif len(value) > MOST_SEEDS:
        problems.add(place, f"are {len(value):,}, and {MOST_SEEDS:,} are the most")
    else:
        for number, seed in enumerate(value):
            if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
                problems.add(f"{place}[{number}]", f"must be an integer from 0 to {2**32 - 1}, not {shown(seed)}")
            elif seed in value[:number]:
                problems.add(f"{place}[{number}]", f"{seed} is there already")
        return tuple(value)
    return ()


def _baseline(
    problems: Problems, document: Mapping[str, Any], names: _Names, seeds: Sequence[int]
) -> tuple[str | None, tuple[int, ...]]:
    """The baseline and its further seeds."""
    name, further = document.get("baseline"), document.get("baseline_seeds", [])
    if name is not None:
        _known_method(problems, "baseline", name, names)
    elif "baseline_seeds" in document:
        problems.add("baseline_seeds", "means nothing without baseline; name one, or remove this")
    if not isinstance(further, list):
        problems.add("baseline_seeds", f"must be a list of seeds that the baseline runs besides, not {shown(further)}")
        return None, ()
    found = _seeds(problems, further, "baseline_seeds") if further else ()
    for number, seed in enumerate(found):
        if seed in seeds:
            problems.add(f"baseline_seeds[{number}]", f"{seed} is in `seeds` already, which every method runs")
    return (name if isinstance(name, str) else None), found


def _contrasts(problems: Problems, value: Any, names: _Names) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list):
        problems.add("contrasts", f'must be a list of pairs of methods, as in [["a", "b"]], not {shown(value)}')
        return ()
    if len(value) > MOST_CONTRASTS:
        problems.add("contrasts", f"are {len(value)}, and {MOST_CONTRASTS} are the most: choose those that matter")
        return ()
    found: list[tuple[str, str]] = []
    for number, pair in enumerate(value):
        place = f"contrasts[{number}]"
        if not isinstance(pair, list) or len(pair) != 2:
            problems.add(place, f"must be a pair of methods, not {shown(pair)}")
            continue
        known = [_known_method(problems, f"{place}[{i}]", name, names) for i, name in enumerate(pair)]
        if not all(known):
            continue
        if pair[0] == pair[1]:
            problems.add(place, f"compares {pair[0]!r} with itself")
        elif any(set(pair) == set(other) for other in found):
            problems.add(place, "is there already")
        found.append((pair[0], pair[1]))
    return tuple(found)


def _known_method(problems: Problems, place: str, name: Any, names: _Names) -> bool:
    """Whether there may be such a method."""
    if not isinstance(name, str):
        problems.add(place, f"must be a method's name, not {shown(name)}")
        return False
    if names.methods is not None and name not in names.methods:
        if (method := names.became.get(name)) is not None:
            problems.add(
                place, f"the combination {name!r} equals the method {method!r} and goes by that name; write {method!r}"
            )
        else:
            problems.unknown(place, "method", name, names.methods)
        return False
    return True


def _learner(problems: Problems, table: Mapping[str, Any]) -> LearnerSettings | None:
    table = problems.fields("learner", table, ("preset", *LearnerSettings.model_fields))
    changes = {field: value for field, value in table.items() if field != "preset"}
    preset: LearnerSettings | None = read_preset(problems, "learner", table, LEARNER_PRESETS)
    base = {} if preset is None else preset.model_dump(mode="json")
    return problems.validate("learner", LearnerSettings, base | changes)


def _methods(problems: Problems, value: Any, template: Template, *, required: bool) -> tuple[Method, ...]:
    tables = problems.table("methods", value)
    if not tables and required:
        problems.add("methods", "missing; name at least one, as in [methods.nature]")
    found: dict[str, str] = {}
    methods = []
    for name, table in tables.items():
        place = join("methods", name)
        method = read_method(problems, name, problems.table(place, table), template)
        if method is None:
            continue
        twin = found.setdefault(method.model_dump_json(exclude={"name"}), name)
        if twin != name:
            problems.add(place, f"is {twin!r} under another name; remove one of them")
        methods.append(method)
    return tuple(methods)
