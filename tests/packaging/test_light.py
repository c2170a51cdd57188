"""Without extras: everything but training works, and says what to install for the rest."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mixscale.runtime.extras import EXTRAS
from tests.packaging.installing import Installed, install, link_requirements

MIXTURES = """\
run,web,code,books
a,0.6,0.2,0.2
b,0.2,0.6,0.2
c,0.2,0.2,0.6
d,0.4,0.4,0.2
e,0.4,0.2,0.4
f,0.2,0.4,0.4
g,0.34,0.33,0.33
h,0.8,0.1,0.1
"""
LOSSES = """\
run,web,code,books
a,2.61,2.93,2.88
b,2.83,2.62,2.95
c,2.74,2.95,2.62
d,2.68,2.72,2.94
e,2.65,2.95,2.71
f,2.78,2.71,2.73
g,2.71,2.76,2.76
h,2.55,3.2,3.1
"""
RUN = """\
train_loader:
  dataset:
    streams:
      web: {local: web, proportion: 0.5}
      code: {local: code, proportion: 0.25}
      books: {local: books, proportion: 0.25}
"""


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel with what it requires without extras, and nothing more."""
    folder = tmp_path_factory.mktemp("light")
    return install(wheel, folder / "environment", [link_requirements(wheel, folder / "others")])


def test_nothing_of_training_is_required(light: Installed, tmp_path: Path) -> None:
    names = sorted({name for modules in EXTRAS.values() for name in modules} - {"filelock"})
    looked = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    done = light.run("python", "-c", looked, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_data_fits_and_reports(light: Installed, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(MIXTURES)
    (tmp_path / "l.csv").write_text(LOSSES)
    (tmp_path / "run.yaml").write_text(RUN)
    tables = ("--mixtures", "m.csv", "--losses", "l.csv", "--bootstrap", 5, "--out", "fits")
    for command in (
        ("build", corpus, "--out", "shardset", "--workers", 2, "--quiet"),
        ("stats", "shardset"),
        ("sql", "shardset", "SELECT domain, tokens FROM domains"),
        ("verify", "shardset"),
        ("fit", *tables, "--tokens", "1B", "--targets", "10B"),
        ("fit", *tables, "--law", "regmix"),
    ):
        done = light.run("mixscale", *command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    folders = sorted((tmp_path / "fits").iterdir())
    assert len(folders) == 2
    (scaling,) = (folder for folder in folders if "regmix" not in folder.name)
    done = light.run("mixscale", "apply", scaling, "--tokens", "20B", "run.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shares = re.findall(r"proportion: ([0-9.]+)", (tmp_path / "run.yaml").read_text())
    assert sum(map(float, shares)) == pytest.approx(1, abs=1e-9)
    (scaling / "report.html").unlink()
    assert light.run("mixscale", "report", scaling, cwd=tmp_path).returncode == 0
    assert "<html" in (scaling / "report.html").read_text()


def test_a_notebook_fits_without_training_or_data_frames(light: Installed, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(MIXTURES)
    (tmp_path / "l.csv").write_text(LOSSES)
    code = """
import sys
import mixscale as ms
fit = ms.fit_tables("m.csv", "l.csv", run_tokens="1B", bootstrap=5)
print(fit.optimum("10B").token_budget)
for asked in (lambda: ms.sweep("experiment.yaml"), fit.intervals.df):
    try:
        asked()
    except ms.UserError as error:
        print(error)
print("torch" in sys.modules)
"""
    done = light.run("python", "-c", code, cwd=tmp_path)
    budget, sweep, frame, torch = done.stdout.splitlines()
    assert (budget, torch) == ("10000000000", "False"), done.stderr
    assert sweep.endswith("pip install 'mixscale[train]'")
    assert frame == "this data frame needs pandas: pip install pandas"


def test_the_doctor_says_what_is_missing_for_which_command(
    light: Installed, tmp_path: Path
) -> None:
    done = light.run("mixscale", "doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["works"] is True
    install = {state["command"]: state["install"] for state in found["commands"]}
    assert {name for name, line in install.items() if line is None} == {
        "init", "build", "stats", "sql", "verify", "compare", "fit", "apply", "report", "doctor",
        "completion",
    }  # fmt: skip
    assert install["plan"] == "pip install 'mixscale[train]'"
    assert install["evaluate --tasks"] == "pip install 'mixscale[eval]'"
    assert install["sweep --executor ray"] == "pip install 'mixscale[train,ray]'"


def test_first_settings_are_written(light: Installed, corpus: Path, tmp_path: Path) -> None:
    done = light.run("mixscale", "init", corpus.parent, "--out", "new", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = light.run(
        "mixscale", "build", "new/corpus.yaml", "--out", "new/shardset", "--quiet", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("plan", "experiment.yaml"), "train"),
        (("sweep", "experiment.yaml"), "train"),
        (("train", "run.yaml"), "train"),
        (("evaluate", "model", "--tasks", "quiz"), "train"),
        (("export", "checkpoint", "--out", "model"), "train"),
        (("demo",), "train"),
        (("build", "corpus.yaml", "--out", "shardset", "--upload", "s3://a/b"), "train"),
        (("build", "corpus.yaml", "--out", "shardset", "--executor", "ray"), "ray"),
    ],
)
def test_a_command_without_its_extra_says_what_to_type(
    light: Installed, tmp_path: Path, command: tuple[str, ...], extra: str
) -> None:
    done = light.run("mixscale", *command, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(f": pip install 'mixscale[{extra}]'")
    assert list(tmp_path.iterdir()) == []


def test_every_package_of_an_extra_is_looked_for(wheel: Path) -> None:
    modules = {
        "accelerate": "accelerate",
        "filelock": "filelock",
        "lm-eval": "lm_eval",
        "mosaicml": "composer",
        "mosaicml-streaming": "streaming",
        "omegaconf": "omegaconf",
        "py-cpuinfo": "cpuinfo",
        "protobuf": "google",
        "ray": "ray",
        "sentencepiece": "sentencepiece",
        "torch": "torch",
        "torchmetrics": "torchmetrics",
    }
    (found,) = metadata.distributions(name="mixscale", path=[str(wheel)])
    required = [Requirement(text) for text in found.requires or ()]
    for extra, names in EXTRAS.items():
        packages = [
            requirement.name
            for requirement in required
            if requirement.marker
            and requirement.marker.evaluate({"extra": extra})
            # Another extra, which is listed by itself.
            and requirement.name != "mixscale"
        ]
        assert {modules[package] for package in packages} == set(names)
