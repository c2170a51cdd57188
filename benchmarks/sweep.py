"""Total time of a sweep against the time that its runs train.

    python -m benchmarks.sweep EXPERIMENT_YAML [--workers 2] [--scale 280k] [--plan]

Runs `mixscale sweep` on a fresh folder. The time of a run is what its record says: from its first
batch to the end of its last evaluation. Everything else counts as the sweep's own: starting Python,
loading Composer, making models and data sets, writing records, a core that waits for the last run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from mixscale.contracts.config import parse_tokens
from mixscale.contracts.experiment import read_experiment
from mixscale.contracts.run_record import RunRecord
from mixscale.contracts.sweep_record import sweep_records
from mixscale.train.sweep.plan import Plan, plan
from mixscale.train.sweep.schedule import best_order, end_of


def write_experiment(source: Path, out: Path, scale: int | None) -> Path:
    """Copy an experiment so that it writes to `out`, at one scale if one is given."""
    experiment = read_experiment(source).model_dump(mode="json")
    experiment["out"] = str(out)
    if scale is not None:
        experiment["design"]["scales"] = [scale]
    path = out / "experiment.yaml"
    YAML().dump(experiment, path)
    return path


def time_sweep(experiment: Path, workers: int) -> float:
    """Run the command a user types; returns its seconds."""
    command = [sys.executable, "-m", "mixscale", "sweep", str(experiment)]
    start = time.perf_counter()
    subprocess.run([*command, "--workers", str(workers)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def compare(seconds: float, records: list[RunRecord], workers: int, planned: Plan | None) -> str:
    """Set the sweep's time against that of its runs."""
    times = [record.seconds for record in records]
    share = sum(times) / workers
    best = end_of([times[position] for position in best_order(times, workers)], workers)
    lines = [
        f"{len(times)} runs of {min(times):.1f} to {max(times):.1f} s, {workers} at a time: "
        f"{seconds:.1f} s",
        f"their times add up to {sum(times):.1f} s, {share:.1f} s for each place: "
        f"ratio {seconds / share:.3f}",
        f"without any overhead they would take {best:.1f} s ({best / share:.3f})",
    ]
    if planned is not None and planned.seconds is not None:
        error = planned.seconds / seconds - 1
        lines.append(f"the plan said {planned.seconds:.1f} s: {error:+.1%}")
    return "\n".join(lines)


def main() -> None:
    """Time one sweep."""
    parser = argparse.ArgumentParser(description="Time a sweep against its runs.")
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scale", type=parse_tokens, help="token budget of the base run")
    parser.add_argument("--plan", action="store_true", help="see what `plan` says before")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        experiment = write_experiment(arguments.experiment, Path(folder), arguments.scale)
        planned = plan(experiment, workers=arguments.workers) if arguments.plan else None
        seconds = time_sweep(experiment, arguments.workers)
        name = read_experiment(experiment).name
        records = list(sweep_records(folder, name))
    print(compare(seconds, records, arguments.workers, planned))


if __name__ == "__main__":
    main()
