"""The process of one run of a sweep."""

from __future__ import annotations

import atexit
import os
import platform
import sys
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection

import composer.models.huggingface
import cpuinfo
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import LOG
from mixscale.train.data.shared_memory import remove_stale
from mixscale.train.executors.job import REFUSED, Job
from mixscale.train.run.training import train


def prepare() -> None:
    """Do quickly, in the fork server, what Composer would do slowly in every run.

    Wrapping a model makes it import all causal language models of transformers (3 s of CPU time)
    to see whether this is one; their names are enough for that. A trainer starts a process that
    finds out the name of the processor (1 s), for its log.
    """
    composer.models.huggingface._is_registered_causal_lm = _is_causal_lm
    cpuinfo.get_cpu_info = lambda: {"brand_raw": platform.processor() or platform.machine()}
    remove_stale()


def _is_causal_lm(model: torch.nn.Module) -> bool:
    names = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    return any(base.__name__ in names for base in type(model).__mro__)


def work(job: Job, slot: int, slots: int, messages: Connection) -> None:
    """Train one run on the cores or the GPU of its slot.

    Args:
        job: The run.
        slot: Which share of the machine it may use.
        slots: How many shares there are.
        messages: Gets the tokens done. Writing fails when the sweep has died, and ends the run.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    _redirect_output(job)
    _take_share(slot, slots)
    try:
        _do(job, slots, messages)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    finally:
        # Streaming frees its shared memory at exit, which a forked process otherwise skips.
        atexit._run_exitfuncs()
        remove_stale()
        sys.stderr.flush()


def _do(job: Job, slots: int, messages: Connection) -> None:
    """Train, unless only the tasks are missing; then ask these."""
    if job.tasks is None:
        train(job.config, job.folder, purpose=job.purpose, listener=messages.send)
        return
    # lm-eval takes seconds to import, which runs without tasks need not wait for.
    from mixscale.train.evaluate.run_tasks import ask_run, has_model

    if not has_model(job.folder):
        record = train(job.config, job.folder, purpose=job.purpose, listener=messages.send)
        if record.status != "finished":
            return
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    ask_run(job.folder, job.tasks, places=slots if not gpus else -(-slots // gpus))


def _redirect_output(job: Job) -> None:
    """Send what the libraries print, C code included, to the run's log."""
    log = os.open(job.folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _take_share(slot: int, slots: int) -> None:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus:
        names = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_of_slot(slot, names.split(","))
        return
    os.sched_setaffinity(0, cores_of_slot(slot, slots, sorted(os.sched_getaffinity(0))))
    # One thread, whatever the share: sums in another order would change the last bits of the loss.
    torch.set_num_threads(1)


def gpu_of_slot(slot: int, gpus: Sequence[str]) -> str:
    """Name the GPU of a slot; more slots than GPUs share them evenly."""
    return gpus[slot % len(gpus)]


def cores_of_slot(slot: int, slots: int, cores: Sequence[int]) -> list[int]:
    """List the cores of a slot; only more slots than cores make two share one."""
    if slots > len(cores):
        return [cores[slot % len(cores)]]
    return [core for number, core in enumerate(cores) if number % slots == slot]
