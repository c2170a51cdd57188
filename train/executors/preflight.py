"""The check before the first run, in a process that has Composer."""

from __future__ import annotations

from multiprocessing.connection import Connection, Pipe

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.executors.process import fork_server


def check_config(config: RunConfig) -> None:
    """Try what a config asks for, model and components by name, without training.

    Raises:
        UserError: As for `preflight` (train/run/preflight.py).
    """
    context = fork_server()
    ours, theirs = Pipe(duplex=False)
    process = context.Process(target=_check, args=(config, theirs))
    process.start()
    theirs.close()
    try:
        complaint = ours.recv()
    except EOFError:  # it died: the runs themselves will say of what
        complaint = None
    process.join()
    if complaint is not None:
        raise UserError(complaint)


def _check(config: RunConfig, answer: Connection) -> None:
    from mixscale.train.run.preflight import preflight

    try:
        preflight(config)
    except UserError as error:
        answer.send(str(error))
    else:
        answer.send(None)
