"""Write an `experiment.yaml` into `out/evidence/experiments/` for each entry of recipes.yaml.

python -m examples.evidence.experiments
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixscale.contracts.atomic import atomic_write

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "out" / "evidence"
EXPERIMENTS = OUT / "experiments"


def recipes() -> list[Path]:
    """Write one experiment for each entry of recipes.yaml."""
    common = {
        "design": {"scales": ["400k"], "changes": "increased"},
        "seeds": [1, 2],
        "evaluation": {"points": 1},
    }
    return [_write(name, common, changes) for name, changes in _recipes().items()]


def recipe_names() -> list[str]:
    """Name the recipes that are tried."""
    return list(_recipes())


def _recipes() -> dict[str, Any]:
    entries = OmegaConf.to_container(OmegaConf.load(HERE / "recipes.yaml"))
    assert isinstance(entries, dict)
    return {str(name): changes for name, changes in entries.items()}


def _write(name: str, *changes: Any) -> Path:
    """Write scales.yaml with some keys changed; a null takes a key out."""
    base = OmegaConf.load(HERE / "scales.yaml")
    assert isinstance(base, DictConfig)
    paths = {"name": name, "shardset": str(Path("..") / "shardset"), "out": ".."}
    merged = OmegaConf.to_container(OmegaConf.merge(base, *changes, paths))
    path = EXPERIMENTS / f"{name}.yaml"
    with atomic_write(path) as stream:
        stream.write(OmegaConf.to_yaml(OmegaConf.create(_without_nulls(merged))))
    return path


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return value


def main() -> None:
    """Write them all."""
    for path in recipes():
        print(path)


if __name__ == "__main__":
    main()
