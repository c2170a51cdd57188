"""Which of our files a block of YAML is a part of, and whether that file's reader takes it."""

from __future__ import annotations

import pydantic
import yaml

from mixscale.contracts.experiment import Experiment
from mixscale.fit.inputs.options import TableSettings
from mixscale.ingest.corpus import Corpus
from mixscale.train.config import RunConfig

FILES = (Corpus, Experiment, RunConfig, TableSettings)


def complaint(text: str) -> str | None:
    """Say why no file takes a block, which may be a part of one; None when one does."""
    values = yaml.safe_load(text.replace("{…}", "{}"))
    of = [file for file in FILES if set(values) <= set(file.model_fields)]
    if not of:
        return f"no file has all of the keys {list(values)}"
    said = [_wrong(file, values) for file in of]
    return None if None in said else "\n".join(str(one) for one in said)


def _wrong(file: type[pydantic.BaseModel], values: dict) -> str | None:
    """What is wrong besides keys that the rest of the file would have."""
    try:
        file.model_validate(values)
    except pydantic.ValidationError as error:
        wrong = [
            f"{file.__name__}: {'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors()
            if one["type"] != "missing"
        ]
        return "\n".join(wrong) or None
    return None
