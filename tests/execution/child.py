"""Stands in for ``python -m fetchbench.run DIR``: does what ``DIR/mode`` says, in a fraction of a second."""

import json
import os
import signal
import sys
import time
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
directory = Path(sys.argv[1])
mode = (directory / "mode").read_text()
(directory / "argv.json").write_text(json.dumps(sys.argv[1:]))
(directory / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
(directory / "threads").write_text(" ".join(os.environ[name] for name in THREADS))
asked = []


def ask(number, frame):
    if asked and mode == "stubborn":
        os._exit(130)
    asked.append(number)


def log(kind, **values):
    with (directory / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": kind, **values}) + "\n")


signal.signal(signal.SIGINT, signal.SIG_IGN if mode == "deaf" else ask)
log("start", attempt=1, resumed_at=0, pid=os.getpid())
log("progress", steps=1000, updates=0, steps_per_s=100.0)
log("evaluation", steps=1000, success=0.25)
if mode == "error":
    print("warming up")
    print("error: the encoder is gone\nbye", file=sys.stderr)
    sys.exit(2)
if mode == "crash":
    raise RuntimeError("no luck")
if mode == "advance":  # comes to a fourth checkpoint, and no further
    manifest = directory / "checkpoint" / "manifest.json"
    manifest.parent.mkdir(exist_ok=True)
    manifest.write_text(str(min(4, (directory / "metrics.jsonl").read_text().count('"start"'))))
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "segfault":
    os.kill(os.getpid(), signal.SIGSEGV)
if mode == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "flaky" and not (directory / "tried").exists():
    (directory / "tried").touch()
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "machine":
    print("error: environment worker 7 did not answer in 120 s", file=sys.stderr)
    sys.exit(71)
if mode == "busy" and not (directory / "tried").exists():
    (directory / "tried").touch()
    sys.exit(75)
if mode == "stop":
    sys.exit(130)
if mode in ("wait", "stubborn", "deaf"):
    while mode != "wait" or not asked:
        time.sleep(0.02)
    log("progress", steps=1050, updates=0, steps_per_s=100.0)
    (directory / "checkpoint").mkdir(exist_ok=True)
    (directory / "checkpoint" / "manifest.json").write_text("{}")
    sys.exit(130)
time.sleep(2.1 if mode == "last" else 0.1)
if mode in ("done", "flaky", "busy", "last"):
    (directory / "finished.json").rename(directory / "record.json")
    log("end", status="done", score=0.8)
