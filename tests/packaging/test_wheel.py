"""What is installed is `mixscale` alone, whole, and deaf to the modules of a user's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.packaging.installing import (
    FOLDERS,
    ROOT,
    Installed,
    add_script,
    build_wheel,
    files_of,
    install,
    running_packages,
)

USERS_MODULES = ("train", "fit", "shards", "contracts", "demo", "ingest")
EXPERIMENT = """\
name: tiny
shardset: {shardset}
design:
  type: explicit
  mixtures:
    even: {{prose: 0.5, code: 0.5}}
    prosaic: {{prose: 0.75, code: 0.25}}
  scales: [1280]
evaluation: {{tokens_per_domain: 512}}
targets: [100k]
run:
{shared}
"""
SHARED = """\
model:
  name: hf_causal_lm
  pretrained_model_name_or_path: gpt2
  pretrained: false
  config_overrides: {n_embd: 16, n_layer: 1, n_head: 2}
optimizer: {name: decoupled_adamw, lr: 0.01}
global_train_batch_size: 8
"""
RUN = """\
max_seq_len: 32
seed: 1
tokenizer: {{name: {shardset}/tokenizer}}
train_loader:
  dataset:
    streams:
      prose: {{local: {shardset}/prose, split: train, proportion: 0.5}}
      code: {{local: {shardset}/code, split: train, proportion: 0.5}}
    shuffle: true
    shuffle_seed: 1
    epoch_size: 40
eval_loader:
- label: prose
  dataset:
    streams: {{prose: {{local: {shardset}/prose, split: validation}}}}
max_duration: 1280tok
device_eval_batch_size: 8
{shared}
"""


def files_of_the_tree() -> set[str]:
    """Every file of the repository that belongs into a wheel, by its name there."""
    own = {path.relative_to(ROOT) for path in _files(ROOT / "mixscale")}
    mapped = {path.relative_to(ROOT) for folder in FOLDERS for path in _files(ROOT / folder)}
    return {str(path) for path in own} | {f"mixscale/{path}" for path in mapped}


def _files(folder: Path) -> list[Path]:
    found = []
    for path in folder.iterdir():
        if path.is_symlink() or path.name == "__pycache__":
            continue
        found += _files(path) if path.is_dir() else [path]
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an environment of its own, with the packages of this one."""
    folder = tmp_path_factory.mktemp("installed") / "environment"
    made = install(wheel, folder, running_packages())
    add_script(made, "composer")
    return made


@pytest.fixture(scope="module")
def users_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose own modules have the names of ours and must not be imported."""
    folder = tmp_path_factory.mktemp("user")
    for name in USERS_MODULES:
        (folder / f"{name}.py").write_text(f"raise RuntimeError('{name}.py of the user is run')\n")
    return folder


def test_the_wheel_holds_the_tree_and_nothing_else(wheel: Path) -> None:
    assert files_of(wheel) == files_of_the_tree()
    assert {"mixscale/py.typed", "mixscale/demo/experiment.yaml"} <= files_of(wheel)


def test_the_source_distribution_gives_the_same_wheel(
    sdist: Path, wheel: Path, tmp_path: Path
) -> None:
    assert files_of(build_wheel(sdist, tmp_path / "out")) == files_of(wheel)


def test_site_packages_gets_one_name(installed: Installed, users_folder: Path) -> None:
    added = {path.name for path in installed.site.iterdir()} - {"others.pth", "__pycache__"}
    assert {name for name in added if not name.endswith(".dist-info")} == {"mixscale"}
    done = installed.run(
        "python",
        "-c",
        "import mixscale, mixscale.fit.pipeline, mixscale.shards.sql.query as q, json\n"
        "print(json.dumps([mixscale.__file__, mixscale.fit.pipeline.__file__, q.__file__]))",
        cwd=users_folder,
    )
    assert done.returncode == 0, done.stderr
    for place in json.loads(done.stdout):
        assert Path(place).is_relative_to(installed.site / "mixscale")


@pytest.fixture(scope="module")
def shardset(installed: Installed, users_folder: Path, corpus: Path) -> Path:
    folder = users_folder / "shardset"
    command = ("mixscale", "build", corpus, "--out", folder, "--workers", 2, "--quiet")
    done = installed.run(*command, cwd=users_folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_build_beside_modules_of_our_names(
    installed: Installed, users_folder: Path, shardset: Path
) -> None:
    done = installed.run("mixscale", "verify", shardset, cwd=users_folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_sweep_beside_modules_of_our_names(
    installed: Installed, users_folder: Path, shardset: Path
) -> None:
    shared = "\n".join(f"  {line}" for line in SHARED.splitlines())
    experiment = users_folder / "experiment.yaml"
    experiment.write_text(EXPERIMENT.format(shardset=shardset, shared=shared))
    done = installed.run("mixscale", "sweep", experiment, "--workers", 2, cwd=users_folder)
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(path.read_text()) for path in shardset.glob("runs/*/result.json")]
    assert [record["status"] for record in records] == ["finished", "finished"]


def test_a_training_of_two_processes_beside_modules_of_our_names(
    installed: Installed, users_folder: Path, shardset: Path, tmp_path: Path
) -> None:
    run = users_folder / "run.yaml"
    run.write_text(RUN.format(shardset=shardset, shared=SHARED))
    command = ("composer", "-n", 2, "-m", "mixscale.train", run, tmp_path)
    done = installed.run(*command, cwd=users_folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = tmp_path.glob("runs/*/result.json")
    record = json.loads(result.read_text())
    assert record["status"] == "finished"
    assert record["seen_tokens"] == 1280
