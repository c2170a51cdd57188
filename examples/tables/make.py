"""Write the tables of the quick start: simulated proxy runs, so that anybody can fit them.

    python examples/tables/make.py [FOLDER]

Forty runs: twenty mixtures of four domains, each with 2B and with 8B tokens, a model of 160M
parameters. A token of one domain is worth something to the others, too; the seed's noise is 0.004
nats.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

DOMAINS = ("web", "code", "books", "wiki")
PARAMETERS = 160_000_000
SCALES = (2_000_000_000, 8_000_000_000)
# Row v: what a token of each domain is worth for the loss on domain v.
WORTH = np.array(
    [
        [1.00, 0.05, 0.30, 0.20],
        [0.04, 1.00, 0.02, 0.02],
        [0.30, 0.02, 1.00, 0.15],
        [0.40, 0.02, 0.15, 1.00],
    ]
)
FLOOR = np.array([2.05, 0.75, 2.20, 1.60])
NOISE_NATS = 0.004


def main() -> None:
    """Write mixtures.csv and losses.csv, and the same as one table, runs.csv."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    rng = np.random.default_rng(7)
    shares = np.round(rng.dirichlet([2.0, 1.0, 1.0, 1.0], 20), 3)
    shares[:, 0] = np.round(1 - shares[:, 1:].sum(axis=1), 3)
    mixtures, losses = [], []
    for tokens in SCALES:
        for number, mixture in enumerate(shares):
            effective = WORTH @ (mixture * tokens / 1e9) ** 0.85
            loss = FLOOR + 1.1 * effective**-0.3 + NOISE_NATS * rng.normal(size=len(DOMAINS))
            name = f"mix{number:02d}-{tokens // 10**9}B"
            mixtures.append([name, PARAMETERS, tokens, *mixture.tolist()])
            losses.append([name, *np.round(loss, 4).tolist()])
    whose = ["run", "parameters", "tokens"]
    _write(folder / "mixtures.csv", [*whose, *DOMAINS], mixtures)
    _write(folder / "losses.csv", ["run", *DOMAINS], losses)
    both = [[*one, *other[1:]] for one, other in zip(mixtures, losses, strict=True)]
    columns = [*(f"w_{name}" for name in DOMAINS), *(f"loss_{name}" for name in DOMAINS)]
    _write(folder / "runs.csv", [*whose, *columns], both)


def _write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
