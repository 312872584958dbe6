"""What was found, as a table to read and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fetchbench.bench.sizes import Sizes
from fetchbench.bench.timing import Line, Part, Spread

FORMAT = 1
HEADER = ("what", "unit", "ours", "other", "", "ratio", "target", "met")


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        sizes: How much was measured.
        machine: On what (:func:`fetchbench.bench.machine.describe`).
        parts: What was found.
    """

    sizes: Sizes
    machine: dict[str, Any]
    parts: list[Part]

    @property
    def failed(self) -> bool:
        return any(part.problem for part in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """JSON values, every single measurement among them."""
        parts = {
            part.name: {
                "lines": [line.as_dict() for line in part.lines],
                "notes": part.notes,
                "problem": part.problem or None,
            }
            for part in self.parts
        }
        return {"format": FORMAT, "sizes": dataclasses.asdict(self.sizes), "machine": self.machine, "parts": parts}


def heading(report: Report) -> list[str]:
    """The machine, in lines."""
    m = report.machine
    bfloat16 = ", ".join(m["bfloat16"]) or "none: our fast arithmetic is float32"
    packages = ", ".join(f"{name} {version}" for name, version in m["packages"].items())
    lines = [
        f"sizes      {report.sizes.name}" + ("" if report.sizes.judged else ": smaller than those that targets are stated for"),
        f"processor  {m['processor']}, {m['cores']} cores used; bfloat16 instructions: {bfloat16}",
        *([] if m["compiler"] else ["compiler   none: ours is not compiled"]),
        f"packages   fetchbench {m['fetchbench']}, Python {m['python']}, {packages}",
    ]
    if m["renderer"]:
        lines.append("renderer   " + ", ".join(f"{name} {value}" for name, value in m["renderer"].items()))
    return lines


def rows(part: Part) -> Iterator[list[str]]:
    """The part's lines as cells under :data:`HEADER`. A ratio above 1 says that ours is better."""
    for line in part.lines:
        yield [*_measured(line.as_dict()), target(line), {True: "yes", False: "NO", None: ""}[line.met]]


def _measured(line: Mapping[str, Any]) -> list[str]:
    """What a line found, from its JSON, as cells."""

    def shown(spread: Mapping[str, Any] | None, suffix: str = "") -> str:
        return "-" if spread is None else cell(Spread(tuple(spread["values"])), suffix)

    found = [shown(line["ours"]), shown(line["theirs"]), line["other"], shown(line["ratio"], "x")]
    return [line["what"], line["unit"], *found]


def cell(spread: Spread, suffix: str = "") -> str:
    """The median, and the lowest and highest behind it where there are several."""
    text = number(spread.median) + suffix
    return text if len(spread.values) == 1 else f"{text} ({number(spread.low)}-{number(spread.high)})"


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def target(line: Line) -> str:
    if line.at_least is not None:
        return f"at least {number(line.at_least)}x"
    if line.own_at_least is not None:
        return f"at least {number(line.own_at_least)} {line.unit}"
    return "" if line.at_most is None else f"at most {number(line.at_most)} {line.unit}"


def markdown(document: Mapping[str, Any], judged: bool) -> str:
    """A report's JSON as a markdown table, for texts that quote it.

    Args:
        document: What ``fetchbench bench --json`` printed.
        judged: Only the lines that have a target, and those that put them in proportion: SB3 tuned, gymnasium in our picture.
    """
    header = "| part | what | unit | ours | other | | ratio | target |"
    lines = [header, "|:--|:--|:--|--:|--:|:--|--:|:--|"]
    for name, part in document["parts"].items():
        for line in part["lines"]:
            if judged and line["met"] is None and not line["other"].endswith(("tuned", "our picture")):
                continue
            lines.append(f"| {' | '.join([name, *_measured(line), _judgement(line)])} |")
    return "\n".join(lines)


def _judgement(line: Mapping[str, Any]) -> str:
    """``at least 4x: yes``."""
    if line["met"] is None:
        return ""
    if line["at_least"] is not None:
        wanted = f"at least {number(line['at_least'])}x"
    elif line.get("own_at_least") is not None:  # reports from before there was a GPU's part lack it
        wanted = f"at least {number(line['own_at_least'])}"
    else:
        wanted = f"at most {number(line['at_most'])}"
    return f"{wanted}: {'yes' if line['met'] else '**no**'}"
