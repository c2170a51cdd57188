"""The check before the first run, in a process that has Composer."""

from __future__ import annotations

from multiprocessing.connection import Connection, Pipe

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.executors.process import fork_server
from mixscale.train.run.memory import MemoryNeed


def check_config(config: RunConfig, on_gpu: bool = False) -> MemoryNeed | None:
    """Try what a config asks for, model and components by name, without training.

    Args:
        config: The run.
        on_gpu: Whether it will train on a GPU.

    Returns:
        The memory that the run needs; None when that is not known.

    Raises:
        UserError: As for `preflight` (train/run/preflight.py).
    """
    context = fork_server()
    ours, theirs = Pipe(duplex=False)
    process = context.Process(target=_check, args=(config, on_gpu, theirs))
    process.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:  # it died: the runs themselves will say of what
        found = None
    process.join()
    if isinstance(found, str):
        raise UserError(found)
    return found


def _check(config: RunConfig, on_gpu: bool, answer: Connection) -> None:
    """Answer with what is wrong, as text, or with the memory that is needed."""
    from mixscale.train.run.preflight import preflight

    try:
        need = preflight(config, on_gpu)
    except UserError as error:
        answer.send(str(error))
    else:
        answer.send(need)
