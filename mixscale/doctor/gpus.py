"""The GPUs, and whether torch can use them; torch is asked in another process."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

from mixscale.doctor.ask import ask_python, last_words
from mixscale.doctor.finding import Finding
from mixscale.train.run.gpus import visible_gpus
from mixscale.train.run.memory import format_bytes

_SECONDS = 120
_NONE = Finding(topic="GPUs", state="note", text="none: runs train on the processor")
_ASK = """
import json, torch
names = []
if torch.cuda.is_available():
    for number in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(number)
        names.append([found.name, found.total_memory, torch.cuda.is_bf16_supported()])
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "gpus": names}))
"""


def look_at_gpus(*, ask_torch: bool) -> list[Finding]:
    """Say which GPUs there are.

    Args:
        ask_torch: Ask torch, which takes seconds, even where no GPU is visible.
    """
    count = visible_gpus()
    if not count and not ask_torch:
        return [_NONE]
    if importlib.util.find_spec("torch") is None:
        text = f"{count} visible; torch, which trains on them, is not installed"
        pip = "pip install 'mixscale[train]'"
        return [Finding(topic="GPUs", state="note", text=text, remedy=pip)]
    answer = _ask_torch()
    if isinstance(answer, str):
        return [Finding(topic="torch", state="warning", text=f"does not start: {answer}")]
    built = f"CUDA {answer['cuda']}" if answer["cuda"] else "the processor alone"
    torch = Finding(topic="torch", state="ok", text=f"torch {answer['version']}, made for {built}")
    if not answer["gpus"]:
        return [torch, _unused(count, answer)]
    return [torch, *(_gpu(*gpu) for gpu in answer["gpus"])]


def _gpu(name: str, memory: int, has_bf16: bool) -> Finding:
    text = f"{name}, {format_bytes(memory)}{', bfloat16' if has_bf16 else ', no bfloat16'}"
    return Finding(topic="GPU", state="ok", text=text)


def _unused(count: int, answer: dict[str, Any]) -> Finding:
    if not count:
        return _NONE
    why = "its driver is too old, or it is hidden" if answer["cuda"] else "it was made without CUDA"
    return Finding(
        topic="GPUs",
        state="warning",
        text=f"{count} visible, and torch can use none: {why}",
        remedy="nvidia-smi shows the driver; pytorch.org shows the torch for it",
    )


def _ask_torch() -> dict[str, Any] | str:
    done = ask_python(_ASK, _SECONDS)
    if isinstance(done, str):
        return done
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return last_words(done)
