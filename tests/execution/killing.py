"""Kill a small suite again and again, then finish it: every run is done once, with the result of an undisturbed one.

``python tests/execution/killing.py --kills 100 --seeds 12`` takes half an hour on two cores; the test makes ten kills.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SUITE = """
title = "To be killed"
tasks = ["FetchReach-v4"]
track = "pixels-only"
seeds = {seeds}

[pixels]
preset = "reach-cpu"
size = 16

[learner]
preset = "reach-cpu"
warmup_steps = 50
batch_size = 8
hidden = [8]

[budget]
steps = {steps}
checkpoint_every_steps = 50

[evaluation]
every_steps = 200
episodes = 1
last = 2

[methods.state]
track = "state"

[methods.nature]
encoder = {{ name = "manipulation", filters = 2, dim = 4 }}
routing = "critic"
"""
COMMAND = (
    sys.executable,
    "-P",
    "-m",
    "fetchbench",
    "run",
    "killed",
    "--device",
    "cpu",
    "--precision",
    "float32",
    "--jobs",
    "2",
)

KINDS = ("trainer", "worker", "command")
ROUND_STEPS = 50
"""One episode of FetchReach, in the one environment that the preset has."""


@dataclass
class Report:
    """What was killed, and how often the command was started.

    Attributes:
        victims: Kind of process -> how many were killed.
        commands: Starts of ``fetchbench run``.
    """

    victims: Counter[str] = field(default_factory=Counter)
    commands: int = 0

    @property
    def kills(self) -> int:
        return self.victims.total()


def prepare(folder: Path, seeds: int, steps: int) -> Path:
    """A workspace with the suite in it."""
    (folder / "suites").mkdir(parents=True)
    (folder / "suites" / "killed.toml").write_text(SUITE.format(seeds=seeds, steps=steps))
    return folder


def begin(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(COMMAND, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def finish(folder: Path) -> None:
    """Run the command to its end."""
    code = begin(folder).wait(timeout=3600)
    assert code == 0, f"exit code {code}\n{(folder / 'log').read_text()[-3000:]}"


def family(pid: int) -> list[tuple[int, str]]:
    """A process and its living descendants, each with what it is."""
    parents: dict[int, list[int]] = {}
    kinds: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # The name in brackets may hold anything; what follows the last one does not.
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            parents.setdefault(parent, []).append(int(entry.name))
            module = words[words.index("-m") + 1] if "-m" in words else "other"
            kinds[int(entry.name)] = {"fetchbench.run": "trainer", "fetchbench.environment": "worker"}.get(module, module)
    found, left = [], [pid]
    while left:
        one = left.pop()
        found.append((one, "command" if one == pid else kinds.get(one, "other")))
        left += parents.get(one, [])
    return found


def wait_for(kind: str, command: subprocess.Popen[bytes], timeout_s: float = 60.0) -> None:
    """Until the command has a process of that kind, or is over."""
    until = time.monotonic() + timeout_s
    while command.poll() is None and time.monotonic() < until:
        if any(kind == found for _, found in family(command.pid)):
            return
        time.sleep(0.1)


def rounds(folder: Path) -> dict[Path, int]:
    """Run -> the rounds of collecting and learning that its metrics tell of."""
    return {path: path.read_bytes().count(b'"kind": "progress"') for path in (folder / "runs").glob("*/*/*/metrics.jsonl")}


def wait_at_most(seconds: float, new: float, command: subprocess.Popen[bytes], folder: Path) -> None:
    """Until that time is over, the runs have gone through that many more rounds, or the command is over."""
    until = time.monotonic() + seconds
    gone, before = 0, rounds(folder)
    while command.poll() is None and time.monotonic() < until and gone < new:
        time.sleep(0.05)
        now = rounds(folder)
        gone += sum(max(0, count - before.get(path, 0)) for path, count in now.items())  # a run that resumes has fewer
        before = now


def disturb(folder: Path, kills: int, each: float, rng: random.Random) -> Report:
    """Run the suite, and kill one of its processes again and again; returns before the suite is whole, or when it is.

    Each kind is aimed at in turn: what lives for the first seconds alone, the command, would else take nearly all.
    A kill waits for seconds, so that some strike what starts up, and for rounds, so that a fast machine is not done before.

    Args:
        folder: The workspace.
        kills: How many.
        each: The rounds that all runs together may go through per kill, at most.
        rng: Draws the moments and the victims.
    """
    report = Report()
    command = begin(folder)
    report.commands += 1
    while report.kills < kills:
        aim = KINDS[report.kills % len(KINDS)]
        wait_for(aim, command)
        wait_at_most(rng.uniform(0.5, 8.0), rng.uniform(0.0, each), command, folder)
        if command.poll() is not None:
            if command.returncode == 0:
                return report
            command = begin(folder)
            report.commands += 1
            continue
        victims = family(command.pid)
        pid, kind = rng.choice([victim for victim in victims if victim[1] == aim] or victims)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            report.victims[kind] += 1
    command.kill()
    command.wait()
    return report


def results(folder: Path) -> dict[str, str]:
    """Run -> its record's ``result`` block, as text; it also checks that each was finished once."""
    found = {}
    for path in sorted((folder / "runs").glob("*/*/*/record.json")):
        lines = [json.loads(line) for line in (path.parent / "metrics.jsonl").read_text().splitlines()]
        # None where it was killed between its record and this line.
        assert [line["kind"] for line in lines].count("end") <= 1, path
        found["/".join(path.parts[-4:-1])] = json.dumps(json.loads(path.read_text())["result"], sort_keys=True)
        assert not list(path.parent.rglob("*.tmp")), path
    return found


def trial(folder: Path, kills: int, seeds: int, steps: int, seed: int) -> Report:
    """The whole of it.

    Raises:
        AssertionError: A run is missing, was done twice, or came out otherwise.
    """
    undisturbed, disturbed = (prepare(folder / name, seeds, steps) for name in ("undisturbed", "disturbed"))
    finish(undisturbed)
    report = disturb(disturbed, kills, 2 * seeds * steps / ROUND_STEPS / kills, random.Random(seed))
    finish(disturbed)
    expected, found = results(undisturbed), results(disturbed)
    assert expected.keys() == found.keys()
    assert len(expected) == 2 * seeds
    for run, result in expected.items():
        assert result == found[run], run
    return report


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and victims")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        report = trial(Path(folder), options.kills, options.seeds, options.steps, options.seed)
    print(
        f"{report.kills} kills {dict(report.victims)}, {report.commands + 1} commands: every run done once, all results equal"
    )


if __name__ == "__main__":
    main()
