"""The output folder of a build and what an interrupted build left in it."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixscale.contracts.atomic import TEMPORARY_PREFIX
from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import FILE_NAME, SPLITS
from mixscale.shards.sql.documents import UNFINISHED_DOCUMENTS

BUILD_FOLDER = ".build"
DOCUMENTS, REMAINDERS, SIGNATURES = "documents", "remainders", "signatures"
INPUTS = "inputs.json"
_KEY_FILE = "key"


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The folder that a build writes to."""

    out: Path

    @property
    def build(self) -> Path:
        """Results of units and other things that are removed when the build is whole."""
        return self.out / BUILD_FOLDER

    @property
    def units(self) -> Path:
        """Results of reading; each is named by all it depends on."""
        return self.build / "units"

    @property
    def final(self) -> Path:
        """Files of the last stages, which depend on all inputs together."""
        return self.build / "final"

    @property
    def unfinished_documents(self) -> Path:
        """What a build that refused its input knows of the records; read by `mixscale sql`."""
        return self.out / UNFINISHED_DOCUMENTS

    def documents(self, domain: str, number: int) -> Path:
        """Name one of the Parquet files with the documents of a domain."""
        return self.out / DOCUMENTS / domain / f"part-{number:05}.parquet"

    @property
    def inputs(self) -> Path:
        """The list of the input files."""
        return self.out / INPUTS

    def stream(self, domain: str, split: str) -> Path:
        """Name the folder of one stream."""
        return self.out / domain / split

    def is_whole(self) -> bool:
        """Return whether a finished shard set is here."""
        return (self.out / FILE_NAME).is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other builds out of the folder, and remove what a killed one was writing.

        Raises:
            UserError: Something that no build made is in it, or another build is at work there.
        """
        self._make()
        with (self.build / "lock").open("w") as lock:
            try:
                # The system releases it however this process ends.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(
                    f"{self.out}: another build is writing here; wait for it"
                ) from error
            for path in self.out.rglob(f"{TEMPORARY_PREFIX}*"):
                path.unlink()
            yield

    def _make(self) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise UserError(f"{self.out}: is a file; choose a folder for the shard set")
        is_ours = self.build.is_dir() or self.is_whole()
        if not is_ours and self.out.is_dir() and any(self.out.iterdir()):
            raise UserError(
                f"{self.out}: holds something that is not a shard set; choose a new folder"
            )
        self.units.mkdir(parents=True, exist_ok=True)

    def begin_final(self, key: str) -> None:
        """Prepare the last stages; what they left for other inputs or settings is removed."""
        key_file = self.final / _KEY_FILE
        if key_file.is_file() and key_file.read_text() == key:
            return
        shutil.rmtree(self.final, ignore_errors=True)
        self.final.mkdir(parents=True)
        key_file.write_text(key)

    def clear_output(self) -> None:
        """Remove the shard set of other inputs or settings; from here on nothing is whole."""
        cleared = self.final / "cleared"
        if cleared.exists():
            return
        (self.out / FILE_NAME).unlink(missing_ok=True)
        for path in self.out.iterdir():
            is_ours = path.name in (DOCUMENTS, REMAINDERS, SIGNATURES)
            if path.is_dir() and (is_ours or _is_domain(path)):
                shutil.rmtree(path)
        cleared.touch()

    def remainder(self, domain: str, split: str) -> Path:
        """Name the file with the tokens of a stream that are in no shard, which growing needs."""
        return self.out / REMAINDERS / f"{domain}.{split}.tokens"

    def signatures(self, unit: int) -> Path:
        """Name the file with the signatures of one unit's texts, which growing needs."""
        return self.out / SIGNATURES / f"{unit:05}.u32"

    def clean(self) -> None:
        """Remove what only the build itself needed."""
        shutil.rmtree(self.build, ignore_errors=True)


def _is_domain(folder: Path) -> bool:
    is_other = folder.name in ("runs", "sweeps", "fits")
    return not is_other and any((folder / split).is_dir() for split in SPLITS)
