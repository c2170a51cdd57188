"""What the fork server of a sweep loads before it makes the first run."""

from __future__ import annotations

import os
import sys

# The current folder, before Python 3.11 (executors/process.py): no file there is ours or a library.
sys.path[:] = [entry for entry in sys.path if entry]
# Importing torch's compiler would start a pool of processes, and threads that must not be forked.
os.environ.setdefault("TORCH_WARM_POOL", "0")
# Asking CUDA itself whether there is a GPU would fix, for this process and all it forks, which GPUs
# they see, and leave the forked ones without any.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")

from mixscale.train.executors.worker import prepare  # noqa: E402 (after what precedes imports)

prepare()
