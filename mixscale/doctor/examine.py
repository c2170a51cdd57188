"""All looks at the installation and the machine, one after the other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mixscale.doctor import commands, gpus, machine, packages, ray
from mixscale.doctor.finding import Finding


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found."""

    version: str | None
    """Of mixscale; nothing when it runs from a checkout that is not installed."""
    findings: tuple[Finding, ...]
    commands: tuple[commands.CommandState, ...]

    @property
    def works(self) -> bool:
        """Whether the basic commands can work."""
        return all(finding.state != "error" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "version": self.version,
            "works": self.works,
            "findings": [asdict(finding) for finding in self.findings],
            "commands": [asdict(state) for state in self.commands],
        }


def examine(*, ask_torch: bool = False) -> Examination:
    """Look at the installation and at this machine.

    Args:
        ask_torch: Start torch in another process and ask it for devices, which takes seconds, also
            where no GPU is visible.
    """
    return Examination(
        version=packages.installed_version("mixscale"),
        findings=(
            packages.look_at_python(),
            *packages.look_at_base(),
            *packages.look_at_extras(),
            *packages.look_at_conflicts(),
            *gpus.look_at_gpus(ask_torch=ask_torch),
            machine.look_at_cores(),
            machine.look_at_memory(),
            *machine.look_at_shared_memory(),
            machine.look_at_temporary_folder(),
            *machine.look_at_caches(),
            *ray.look_at_ray(),
        ),
        commands=tuple(commands.command_states()),
    )
