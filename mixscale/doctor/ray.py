"""The Ray cluster that `--executor ray` would use; Ray itself is not imported."""

from __future__ import annotations

from mixscale.contracts.errors import UserError
from mixscale.doctor.finding import Finding
from mixscale.doctor.packages import missing_modules
from mixscale.runtime.ray_connection import LOCAL, cluster_address


def look_at_ray() -> list[Finding]:
    """Say where Ray would run; nothing when it is not installed."""
    if missing_modules("ray"):
        return []
    try:
        address = cluster_address()
    except UserError as error:
        return [Finding(topic="ray cluster", state="warning", text=str(error))]
    if address == LOCAL:
        text = "none: `--executor ray` starts Ray on this machine"
        remedy = "RAY_ADDRESS=HOST:PORT names a cluster"
        return [Finding(topic="ray cluster", state="note", text=text, remedy=remedy)]
    return [Finding(topic="ray cluster", state="ok", text=f"{address} answers")]
