"""Stands in for ``python -m fetchbench.run DIR`` and takes as long as ``DIR/go`` is missing: as a run does, it holds its lock,
keeps a checkpoint when it is asked to stop, and dies with its parent."""

import fcntl
import json
import os
import sys
import time
from pathlib import Path

from fetchbench.run.interrupts import BUSY, INTERRUPTED, Interrupts

directory = Path(sys.argv[1])
interrupted = Interrupts()
lock = (directory / "lock").open("a")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(BUSY)
with (directory / "metrics.jsonl").open("a") as file:
    file.write(json.dumps({"kind": "start", "resumed_at": 0, "pid": os.getpid()}) + "\n")
    file.write(json.dumps({"kind": "evaluation", "steps": 1, "success": 0.0}) + "\n")
(directory / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
while not (directory / "go").exists():
    if interrupted():
        (directory / "checkpoint").mkdir(exist_ok=True)
        (directory / "checkpoint" / "manifest.json").write_text("{}")
        sys.exit(INTERRUPTED)
    time.sleep(0.02)
(directory / "finished.json").rename(directory / "record.json")
