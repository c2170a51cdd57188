"""How often the demo comes to a mixture that is better beyond the noise: the demo with many seeds.

    python -m benchmarks.demo [--seeds 10] [--first 1] [--out build/demo-seeds] [--workers 2]

Every seed draws initialisations, orders of samples, pools of the proxies and resamples anew; the
shard set is the same for all. Seeds that are done are not run again; a stopped one goes on where it
stopped. A seed counts as beyond the noise where the advice was to change and the measured gains
over equal shares and over the text as found are each larger than twice their standard deviation
between seeds, and larger than 0 with 95 % by the validation samples.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mixscale.contracts.atomic import write_json
from mixscale.demo.check import EQUAL, NATURAL, ONLY
from mixscale.demo.files import claim

_RESULT = "demo.json"
_MADE_BY_RUNS = ("runs", "sweeps", "fits", "index.duckdb*")
_LEAST_SEEDS = 3
"""To say how much gains differ between them."""


def run(folder: Path, seed: int, text_of: Path | None, workers: int | None) -> dict[str, Any]:
    """Run the demo with a seed, or read what it came to.

    Args:
        folder: Of this seed.
        seed: Of everything but the text.
        text_of: Folder of a demo that has the text and the shard set already.
        workers: Runs at a time.
    """
    result = folder / _RESULT
    if not result.is_file():
        claim(folder, seed)
        if text_of is not None and not (folder / "shardset" / "shardset.json").is_file():
            ignored = shutil.ignore_patterns(*_MADE_BY_RUNS)
            for name in ("corpus", "shardset"):
                shutil.copytree(text_of / name, folder / name, ignore=ignored, dirs_exist_ok=True)
        command = [sys.executable, "-m", "mixscale", "demo", "--json"]
        command += ["--out", str(folder), "--seed", str(seed)]
        command += ["--workers", str(workers)] if workers else []
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        write_json(result, json.loads(done.stdout))
    return json.loads(result.read_text(encoding="utf-8"))


def table(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Write a row of markdown for each seed, then what all of them say."""
    yield (
        "| seed | advice | mixture | predicted gain over equal shares (90 %) | measured over equal "
        "shares (95 %) | over the text as found | over only what counts | came true | "
        "beyond the noise |"
    )
    yield "|" + "---|" * 9
    for one in found:
        mixture = ", ".join(f"{name} {share:.0%}" for name, share in one["mixture"].items())
        yield (
            f"| {one['seed']} | {one['action']} | {mixture} | {_predicted(one)} | "
            + " | ".join(_gain(one, other) for other in (EQUAL, NATURAL, ONLY))
            + f" | {_word(one['came_true'])} | {_word(is_beyond_noise(one, found))} |"
        )
    yield ""
    for other in (EQUAL, NATURAL, ONLY):
        gains = [one["gains"][other] for one in found]
        spread = f", standard deviation {statistics.stdev(gains):.4f}" if len(gains) > 1 else ""
        yield f"gain over {other}: mean {statistics.fmean(gains):+.4f}{spread}"
    beyond = [is_beyond_noise(one, found) for one in found]
    yield f"beyond the noise: {sum(map(bool, beyond))} of {len(found)} seeds"
    yield f"prediction came true: {sum(bool(one['came_true']) for one in found)} of {len(found)}"


def is_beyond_noise(one: dict[str, Any], found: Sequence[dict[str, Any]]) -> bool | None:
    """Whether a seed's gains are; None with too few seeds to know the noise."""
    if len(found) < _LEAST_SEEDS:
        return None
    return one["action"] == "change" and all(
        one["gains"][other] > 2 * statistics.stdev(each["gains"][other] for each in found)
        and one["intervals"][other][0] > 0
        for other in (EQUAL, NATURAL)
    )


def _gain(one: dict[str, Any], other: str) -> str:
    low, high = one["intervals"][other]
    return f"{one['gains'][other]:+.3f} ({low:+.3f} to {high:+.3f})"


def _predicted(one: dict[str, Any]) -> str:
    if one["predicted_interval"] is None:
        return "none"
    low, high = one["predicted_interval"]
    return f"{one['predicted_gain']:+.3f} ({low:+.3f} to {high:+.3f})"


def _word(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "not known"}[value]


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--out", type=Path, default=Path("build/demo-seeds"))
    parser.add_argument("--workers", type=int, help="runs at a time")
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    text_of: Path | None = None
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        folder = arguments.out / f"seed-{seed:02}"
        found.append(run(folder, seed, text_of, arguments.workers))
        text_of = text_of or folder
        print(f"seed {seed}: done", file=sys.stderr, flush=True)
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
