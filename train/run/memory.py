"""The memory that a run needs, against what the machine has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mixscale.contracts.errors import UserError

_CONTROL_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class MemoryNeed:
    """What one run needs, in bytes; traced without computing anything (`memory_trace.py`)."""

    parameters: int
    on_gpu: bool
    microbatch: int
    """Samples in a forward pass of training."""
    evaluation_batch: int
    sequence_length: int
    weights: int
    gradients: int
    optimizer: int
    """Its states, and the copies of the weights that algorithms keep."""
    training: int | None
    """Most that is there at once while training, weights and all; None when it cannot be traced."""
    evaluation: int | None
    """The same while evaluating."""
    fragments: int
    """What the allocator is expected to keep besides, of blocks that are freed."""
    program: int
    """What a process takes besides: libraries, buffers; on a GPU its context."""
    shared: int
    """What the runs on a machine take once, together: libraries loaded before they start."""
    machine: int | None
    """What the GPU or the machine has; None when that is not known."""

    @property
    def state(self) -> int:
        """What is there all the time once the first step is taken."""
        return self.weights + self.gradients + self.optimizer

    @property
    def least(self) -> int:
        """What one run takes without a doubt: what is known of it, and nothing lost."""
        return self.program + max(self.state, self.training or 0, self.evaluation or 0)

    @property
    def run(self) -> int:
        """What one run is expected to take."""
        return self.least + self.fragments

    def together(self, runs: int) -> int:
        """What runs side by side on one device are expected to take."""
        return self.shared + runs * self.run

    def can_fit(self, runs: int) -> bool:
        """Whether runs side by side on one device may fit; true where that is not known."""
        return self.machine is None or self.shared + runs * self.least <= self.machine

    def is_tight(self, runs: int) -> bool:
        """Whether they may not fit after all."""
        return self.machine is not None and self.together(runs) > 0.9 * self.machine


def check_fits(need: MemoryNeed, runs: int) -> None:
    """Refuse runs that cannot fit.

    Args:
        need: Of each of them.
        runs: How many lie side by side on one device.

    Raises:
        UserError: Gives the numbers and what to lower.
    """
    if not need.can_fit(runs):
        raise UserError(f"{too_much(need, runs)}; --ignore-memory goes on all the same")


def too_much(need: MemoryNeed, runs: int) -> str:
    """Say that runs do not fit, and what would."""
    assert need.machine is not None
    device = "GPU" if need.on_gpu else "machine"
    many = f"{runs} runs at a time need" if runs > 1 else "a run needs"
    fitting = int(0.9 * need.machine - need.shared) // need.run
    ways = []
    if 0 < fitting < runs:
        fewer = f"--gpus-per-run {1 / fitting:.3g}" if need.on_gpu else f"--workers {fitting}"
        ways.append(f"{fewer}, which fits")
    elif need.shared + need.program + need.state <= need.machine:
        if (need.training or 0) >= (need.evaluation or 0):
            ways.append(f"a device_train_microbatch_size below {need.microbatch}")
        else:
            ways.append(f"a device_eval_batch_size below {need.evaluation_batch}")
    ways.append("a smaller model")
    return (
        f"memory: {many} about {format_bytes(need.together(runs))}, and the {device} has "
        f"{format_bytes(need.machine)}: {parts(need)}. Take {' or '.join(ways)}"
    )


def parts(need: MemoryNeed) -> str:
    """Say what the memory of one run consists of."""
    each = [
        f"weights {format_bytes(need.weights)}",
        f"gradients {format_bytes(need.gradients)}",
        f"optimizer {format_bytes(need.optimizer)}",
    ]
    if need.training is None or need.evaluation is None:
        each.append("activations unknown")
    else:
        training, evaluation = (
            format_bytes(max(peak - need.state, 0)) for peak in (need.training, need.evaluation)
        )
        each.append(
            f"activations {training} with {need.microbatch} samples of {need.sequence_length} "
            f"tokens, {evaluation} in evaluation with {need.evaluation_batch}"
        )
    each.append(f"the program {format_bytes(need.program)}")
    return ", ".join(each)


def memory_of_machine() -> int | None:
    """Return the bytes that processes here may use: of the machine, or of their control group."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    return min([whole, *_limits()])


def _limits() -> list[int]:
    """Read the limits of the control groups that this process is in, version 2 or 1."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    limits = []
    for line in groups:
        _, controllers, place = line.split(":", 2)
        name = "memory.limit_in_bytes" if "memory" in controllers.split(",") else "memory.max"
        root = _CONTROL_GROUPS / "memory" if name != "memory.max" else _CONTROL_GROUPS
        folder = root / place.lstrip("/")
        for parent in (folder, *folder.parents):
            if parent.is_relative_to(root):
                limits += _limit(parent / name)
    return limits


def _limit(path: Path) -> list[int]:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return []
    return [int(text)] if text.isdecimal() else []


def format_bytes(number: float) -> str:
    """Write bytes for people, with three digits: 512 B, 1.25 MiB, 23.4 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1023.5:
            return f"{number:.3g} {unit}" if number < 999.5 else f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.3g} TiB"
