"""Processors, memory and disks as processes here may use them."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from mixscale.doctor.finding import Finding
from mixscale.train.data.stale_memory import SHARED_MEMORY, stale_datasets
from mixscale.train.run.memory import format_bytes, memory_of_machine

_SMALL_SHARED_MEMORY = 256 << 20
_SMALL_DISK = 1 << 30
_OLD_SECONDS = 60
"""A dataset that is just starting has not yet marked its memory as in use."""


def look_at_cores() -> Finding:
    """Count the cores, and what a container may use of them."""
    cores = len(os.sched_getaffinity(0))
    quota = _quota()
    if quota is not None and quota < cores:
        text = f"{quota:.3g} of the {cores} cores, by the limit of the container"
        few = f"--workers {max(1, int(quota))}"
        return Finding(topic="cores", state="note", text=text, remedy=f"give {few} to commands")
    return Finding(topic="cores", state="ok", text=f"{cores}")


def look_at_memory() -> Finding:
    """Measure the memory, and what a container may use of it."""
    limit = memory_of_machine()
    whole, available = (_meminfo(name) for name in ("MemTotal", "MemAvailable"))
    parts = [] if limit is None else [format_bytes(limit)]
    if limit is not None and whole is not None and limit < whole:
        parts.append(f"the limit of the container (the machine has {format_bytes(whole)})")
    if available is not None:
        least = available if limit is None else min(available, limit)
        parts.append(f"{format_bytes(least)} of it free")
    return Finding(topic="memory", state="ok", text=", ".join(parts) or "not known")


def look_at_shared_memory(folder: Path = SHARED_MEMORY) -> list[Finding]:
    """Measure /dev/shm, which datasets and their workers share, and find what is left in it."""
    if not folder.is_dir():
        text = f"{folder} is not there: training datasets need it"
        return [Finding(topic="shared memory", state="warning", text=text)]
    usage = shutil.disk_usage(folder)
    text = f"{folder}: {format_bytes(usage.free)} of {format_bytes(usage.total)} free"
    small = usage.total < _SMALL_SHARED_MEMORY
    size = Finding(
        topic="shared memory",
        state="warning" if small else "ok",
        text=text,
        remedy="start the container with --shm-size=2g, or --ipc=host" if small else None,
    )
    return [size, *_stale(folder)]


def look_at_temporary_folder() -> Finding:
    """Try to write a temporary file, and measure the space for them."""
    try:
        folder = tempfile.gettempdir()
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(
            topic="temporary files",
            state="error",
            text=f"cannot be written: {error}",
            remedy="set TMPDIR to a folder that can be written to",
        )
    is_small = free < _SMALL_DISK
    return Finding(
        topic="temporary files",
        state="warning" if is_small else "ok",
        text=f"{folder}: {format_bytes(free)} free",
        remedy="large queries spill to this folder; set TMPDIR to a larger one"
        if is_small
        else None,
    )


def look_at_caches() -> list[Finding]:
    """See whether libraries can write their caches; without, models are fetched again each time."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub = Path(os.environ.get("HF_HOME") or home / "huggingface")
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
    note = " (HF_HUB_OFFLINE is set: nothing is fetched)" if offline else ""
    if _can_write(hub):
        return [Finding(topic="cache", state="ok", text=f"{hub}{note}")]
    return [
        Finding(
            topic="cache",
            state="warning",
            text=f"{hub} cannot be written to: tokenizers and models of the hub are not kept",
            remedy="set HF_HOME to a folder that can be written to",
        )
    ]


def _stale(folder: Path) -> list[Finding]:
    found = [(path, parts) for path, parts in stale_datasets(folder) if _is_old(path)]
    if not found:
        return []
    sizes = sum(_size(file) for path, parts in found for file in (path, *parts))
    return [
        Finding(
            topic="left by killed runs",
            state="note",
            text=f"shared memory of {len(found)} datasets, {format_bytes(sizes)}",
            remedy="the next run or sweep removes it",
        )
    ]


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _OLD_SECONDS
    except OSError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _can_write(folder: Path) -> bool:
    """Whether a folder can be written to, or made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _meminfo(name: str) -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(values[0]) * 1024 if values else None


def _quota() -> float | None:
    """Read how many cores' time the control group gives, version 2 or 1."""
    root = Path("/sys/fs/cgroup")
    try:
        quota, period = (root / "cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
        except OSError:
            return None
    return int(quota) / int(period) if quota.isdecimal() and int(period) else None
