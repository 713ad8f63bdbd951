"""Several processes that train together on one machine, started and watched by ``torchrun``.

The job's own process waits for them, and takes what they came to from ``outcome.json``. torchrun
hands the signal that ends a job on to all of them, and kills what has not ended 30 s later.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from co2net.errors import UserError
from co2net.jobs.folder import PROGRESS, Job, environment, read_json, write_json
from co2net.jobs.process import Process
from co2net.jobs.spec import Stopped, Train
from co2net.jobs.worker import ProgressFile

_OUTCOME = "outcome.json"
_LOOK_SECONDS = 1.0
_END_SECONDS = 45.0  # for the last checkpoint, before torchrun is told once more


def torchrun(folder: Path, processes: int, threads: int) -> dict[str, Any]:
    """Train with several processes.

    Parameters
    ----------
    folder
        The job's.
    processes, threads
        How many processes, and how many threads they have together.

    Raises
    ------
    Stopped
        When the job was asked to end; a checkpoint has then been written.
    UserError, RuntimeError
        When a process failed.
    """
    (folder / _OUTCOME).unlink(missing_ok=True)
    run = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    child = subprocess.Popen(
        [sys.executable, "-P", *run, "-m", "co2net.jobs.torchrun", str(folder)],
        env={**os.environ, **environment(max(1, threads // processes))},
    )
    try:
        child.wait()
    except Stopped:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_END_SECONDS)
        raise
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    outcome = read_json(folder / _OUTCOME) or {}
    if "error" in outcome:
        raise UserError(outcome["error"])
    if outcome.get("stopped"):
        raise Stopped
    if "result" not in outcome:
        raise RuntimeError(f"a process of the training ended with status {child.returncode}")
    return dict(outcome["result"])


def join(job: Job) -> int:
    """Train as one process of several; the first of them tells the progress.

    Returns
    -------
    int
        Exit status.
    """
    spec = job.spec()
    assert isinstance(spec, Train)
    first = os.environ.get("RANK") == "0"
    progress = ProgressFile(job.folder / PROGRESS) if first else None
    outcome: dict[str, Any]
    try:
        outcome = {"result": spec.train(job.folder, progress or (lambda share, text: None))}
    except Stopped:
        outcome = {"stopped": True}
    except UserError as error:
        outcome = {"error": str(error)}
    finally:
        if progress is not None:
            progress.close()
    if first or "error" in outcome:
        write_json(job.folder / _OUTCOME, outcome)
    return 0


def _end_with(process: Process) -> None:
    """End this process when another is gone; torchrun's are not in its process group."""
    while process.alive:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def main(words: list[str]) -> int:
    """What torchrun starts."""
    job = Job(words[0])
    waiting, _ = job.look().process
    assert waiting is not None
    threading.Thread(target=_end_with, args=(waiting,), daemon=True).start()
    return join(job)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
