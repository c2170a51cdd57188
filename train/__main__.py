"""Composer's launcher starts a run here: `composer -n 8 -m mixscale.train run.yaml`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# `python -m` looks into the current folder first: a file `torch.py` there is not the library.
if __name__ == "__main__" and sys.path[0] == os.getcwd():
    del sys.path[0]

from mixscale.contracts.errors import UserError
from mixscale.train.run.from_file import train_file

if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        print("usage: composer -n GPUS -m mixscale.train run.yaml [OUT]", file=sys.stderr)
        sys.exit(2)
    try:
        record, _ = train_file(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    if record.status != "finished":
        print(f"{record.status}: {record.error}", file=sys.stderr)
        sys.exit(1)
