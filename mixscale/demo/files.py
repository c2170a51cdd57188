"""The settings of the demo, written into its folder."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import read_experiment

EXPERIMENT = "experiment.yaml"
SEED = 17
"""In the files as they are shipped."""


def claim(out: Path, seed: int) -> None:
    """Write what is missing of the demo's settings.

    Args:
        out: The demo's folder, made if it is not there.
        seed: Of the mixtures that are tried, of all initialisations and orders of samples.

    Raises:
        UserError: The folder holds something else, or a demo with another seed.
    """
    settings = out / EXPERIMENT
    if out.is_dir() and any(out.iterdir()) and not settings.is_file():
        raise UserError(f"{out}: not empty, and no folder of the demo; choose another with --out")
    out.mkdir(parents=True, exist_ok=True)
    # The file by which the folder is known to be the demo's comes first.
    for name in (EXPERIMENT, "corpus.yaml", "run.yaml"):
        if not (out / name).exists():
            with atomic_write(out / name) as stream:
                stream.write(_text(name, out, seed))
    if read_experiment(settings).seeds != (seed,):
        raise UserError(
            f"{settings}: this demo has other seeds than [{seed}]; choose another folder with "
            "--out, or give its seed with --seed"
        )


def _text(name: str, out: Path, seed: int) -> str:
    text = resources.files("mixscale.demo").joinpath(name).read_text(encoding="utf-8")
    # An absolute path in run.yaml lets the run start from any folder.
    text = text.replace("  shardset: shardset", f"  shardset: {out.resolve() / 'shardset'}")
    text = text.replace(f"  seed: {SEED}\n", f"  seed: {seed}\n")
    return text.replace(f"seeds: [{SEED}]", f"seeds: [{seed}]")
