"""Jobs on a Slurm cluster through submitit: the same folder, on a file system that all nodes see.

Slurm queues and starts the process; from there on the folder tells all, as for any other job.
submitit's own files lie in ``slurm/`` of the folder.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from co2net.assets import atomic_path
from co2net.errors import UserError
from co2net.jobs.locks import claim
from co2net.jobs.process import Process

if TYPE_CHECKING:
    from co2net.jobs.spec import Spec

FILE = "slurm.json"
_FOLDER = "slurm"
_AHEAD = {"PENDING", "CONFIGURING", "RUNNING", "REQUEUED", "SUSPENDED", "READY", "UNKNOWN"}


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise UserError(
            "the launcher slurm needs the extra 'slurm'; install it with "
            "`pip install 'co2net[slurm]'`"
        ) from None
    return submitit


def start(folder: Path, spec: Spec) -> None:
    """Hand a job to Slurm.

    Raises
    ------
    UserError
        When submitit is not installed, there is no Slurm, or it refuses the settings.
    """
    from co2net.jobs.folder import environment

    submitit = _submitit()
    settings = dict(spec.slurm)
    cluster = settings.pop("cluster", "slurm")
    threads = spec.threads or 1
    setup = [f"export {k}='{v}'" for k, v in environment(threads).items()]
    try:
        executor = submitit.AutoExecutor(folder=folder / _FOLDER, cluster=cluster)
        if cluster == "slurm":
            settings["slurm_setup"] = [*setup, *settings.get("slurm_setup", [])]
        elif cluster == "local":
            settings["local_setup"] = setup
        executor.update_parameters(
            name=folder.name,
            nodes=getattr(spec, "nodes", 1),
            tasks_per_node=getattr(spec, "processes", 1),
            cpus_per_task=threads,
            **({"timeout_min": 1440} | settings),
        )
        submitted = executor.submit(main, str(folder))
    except (RuntimeError, ValueError, TypeError, NameError, KeyError, AssertionError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"Slurm does not take the job: {line[:200]}") from None
    if cluster == "debug":
        submitted.wait()  # in this very process
        return
    noted: dict[str, Any] = {"cluster": cluster, "id": submitted.job_id}
    if cluster == "local":
        noted["start"] = Process.of(int(submitted.job_id)).start
    with atomic_path(folder / FILE) as draft:
        draft.write_text(json.dumps(noted), encoding="utf-8")


def _noted(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def took(folder: Path) -> bool:
    """Whether the job has been handed in, so that its launcher answers for it no longer."""
    return (folder / FILE).exists()


def waits(folder: Path) -> bool:
    """Whether Slurm still has the job, whose worker has not spoken yet.

    Where this cannot be known, for want of submitit, it is taken to have it.
    """
    noted = _noted(folder)
    number = str(noted.get("id", ""))
    if noted.get("cluster") == "local" and number.isdecimal():
        return Process.of(int(number)).start == noted.get("start")
    if noted.get("cluster") != "slurm":
        return False
    with suppress(UserError):
        return _submitit().SlurmJob(folder=folder / _FOLDER, job_id=number).state in _AHEAD
    return True


def cancel(folder: Path) -> None:
    """Take the job out of Slurm's queue, or end it there."""
    noted = _noted(folder)
    number = str(noted.get("id", ""))
    if noted.get("cluster") == "local" and waits(folder):
        os.kill(int(number), signal.SIGTERM)
    elif noted.get("cluster") == "slurm":
        _submitit().SlurmJob(folder=folder / _FOLDER, job_id=number).cancel(check=False)


def main(folder: str) -> int:
    """What Slurm starts, once for each process of the job; the first one answers for it.

    Returns
    -------
    int
        As `co2net.jobs.worker.run`.
    """
    import submitit

    from co2net.jobs import folder as folders
    from co2net.jobs import torchrun, worker

    job, place = folders.Job(folder), submitit.JobEnvironment()
    if place.num_tasks > 1:
        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
    if place.global_rank != 0:
        return torchrun.join(job)
    before = {}
    if threading.current_thread() is threading.main_thread():
        before[signal.SIGTERM] = signal.signal(signal.SIGTERM, worker.stop)
        # submitit's sign that the time is nearly over: a checkpoint, and the job can be resumed
        before[signal.SIGUSR2] = signal.signal(
            signal.SIGUSR2, lambda *_: os.kill(os.getpid(), signal.SIGTERM)
        )
    lock = os.open(job.folder / folders.LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        claim(lock, job.folder / folders.LOCK)
        with (
            (job.folder / folders.LOG).open("a", encoding="utf-8", errors="replace") as log,
            redirect_stdout(log),
            redirect_stderr(log),
        ):
            return worker.run(job)
    finally:
        os.close(lock)
        for number, handler in before.items():
            signal.signal(number, handler)
