from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

DOMAINS = ("web", "code", "books")
RUN = """\
train_loader:
  dataset:
    streams:
      web: {local: web, proportion: 0.5}
      code: {local: code, proportion: 0.25}
      books: {local: books, proportion: 0.25}
"""


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with mixtures.csv, losses.csv of 24 runs that name themselves, and run.yaml."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(3), 24)
    effective = shares @ np.array([[1.0, 0.3, 0.5], [0.05, 1.0, 0.05], [0.2, 0.1, 1.0]])
    losses = 2 + 0.5 * effective**-0.4 + 0.003 * rng.normal(size=(24, 3))
    for name, values in (("mixtures", shares), ("losses", losses)):
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["run", *DOMAINS])
            writer.writerows([f"r{i}", *row.tolist()] for i, row in enumerate(values))
    (folder / "run.yaml").write_text(RUN)
    return folder
