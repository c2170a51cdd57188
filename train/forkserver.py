"""What the fork server of a sweep loads before it makes the first run."""

from __future__ import annotations

import os

# Importing torch's compiler would start a pool of processes, and threads that must not be forked.
os.environ.setdefault("TORCH_WARM_POOL", "0")

from train.worker import prepare

prepare()
