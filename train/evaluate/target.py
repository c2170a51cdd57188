"""The model that is to be evaluated: of a run, of a checkpoint, or a Hugging Face folder."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RESULT, RUN_YAML, RunRecord, find_run, read_record
from mixscale.train.config import RunConfig, load_run_config
from mixscale.train.run.checkpoints import LATEST, checkpoint_folder
from mixscale.train.run.export import export_checkpoint

CONFIG = "config.json"
_NOT_THE_MODEL = {"README.md", ".gitattributes"}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A model in a Hugging Face folder."""

    name: str
    folder: Path
    run: Path | None = None
    """Folder of the run that trained it."""

    @property
    def record(self) -> RunRecord | None:
        """The run's record."""
        return None if self.run is None else read_record(self.run / RESULT)

    def sha256(self) -> str:
        """Hash config, weights and tokenizer."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and path.name not in _NOT_THE_MODEL:
                digest.update(f"{path.name}\n".encode())
                with path.open("rb") as stream:
                    while block := stream.read(2**24):
                        digest.update(block)
        return digest.hexdigest()


@contextlib.contextmanager
def open_target(source: str | Path, folders: Sequence[str | Path] = (".",)) -> Iterator[Target]:
    """Find a model; one in a checkpoint is exported into a temporary folder.

    Args:
        source: A Hugging Face folder; a checkpoint of Composer, or a folder of them; a run's id,
            folder or record.
        folders: Those with `runs/`, in which an id is looked for.

    Raises:
        UserError: There is no such model, or the run kept none.
    """
    path = Path(source)
    with tempfile.TemporaryDirectory() as temporary:
        if (path / CONFIG).is_file():
            yield Target(name=path.resolve().name, folder=path)
        elif path.exists() and not (path / RESULT).is_file() and path.name != RESULT:
            yield Target(name=path.stem, folder=_exported(path, temporary))
        else:
            run = find_run(source, folders)
            yield Target(name=run.resolve().name, folder=_of_run(run, temporary), run=run)


def _exported(source: Path, temporary: str) -> Path:
    folder = Path(temporary, "model")
    export_checkpoint(source, folder)
    return folder


def _of_run(run: Path, temporary: str) -> Path:
    exported = exported_model(run)
    if exported is not None:
        return exported
    for folder in (run / "checkpoints", _saved(run)):
        if folder is not None and (folder / LATEST).is_file():
            return _exported(folder, temporary)
    raise UserError(
        f"{run}: this run kept no model on this machine: `save_folder`, or the callback "
        f"hf_checkpointer, in its {RUN_YAML} does. Train it again with one of them, or evaluate "
        "from experiment.yaml (`evaluation: {tasks: …}`)"
    )


def _saved(run: Path) -> Path | None:
    return (
        checkpoint_folder(load_run_config(run / RUN_YAML)) if (run / RUN_YAML).is_file() else None
    )


def exported_model(run: Path) -> Path | None:
    """Find the last model that a run wrote as a Hugging Face folder, where it did."""
    places = [run]
    if (run / RUN_YAML).is_file():
        places += _writer_folder(load_run_config(run / RUN_YAML))
    for place in places:
        written = [
            (int(path.name[2:]), path)
            for path in place.glob("huggingface/ba*")
            if path.name[2:].isdecimal() and (path / CONFIG).is_file()
        ]
        if written:
            return max(written)[1]
    return None


def _writer_folder(config: RunConfig) -> list[Path]:
    writer = config.callbacks.get("hf_checkpointer") or {}
    folder = str(writer.get("save_folder") or "")
    if not folder or "://" in folder:
        return []
    return [Path(folder.replace("{run_name}", config.run_name or ""))]
