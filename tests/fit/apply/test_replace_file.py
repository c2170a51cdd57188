"""Files that are replaced: links, modes and backups."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mixscale.contracts.errors import UserError
from mixscale.fit.apply.replace_file import replace_file


def test_the_first_backup_stays(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("first")
    kept = [replace_file(path, text, backup=True) for text in ("second", "third", "fourth")]
    assert [backup.name for backup in kept if backup] == [
        "run.yaml.bak", "run.yaml.bak.1", "run.yaml.bak.2",
    ]  # fmt: skip
    assert [backup.read_text() for backup in kept if backup] == ["first", "second", "third"]
    assert path.read_text() == "fourth"
    assert len(list(tmp_path.iterdir())) == 4


def test_a_link_stays_one_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    target = tmp_path / "configs" / "run.yaml"
    target.write_text("old")
    link = tmp_path / "latest.yaml"
    link.symlink_to("configs/run.yaml")
    second = tmp_path / "second.yaml"
    second.symlink_to("latest.yaml")
    assert replace_file(second, "new", backup=True) == tmp_path / "second.yaml.bak"
    assert link.is_symlink()
    assert second.is_symlink()
    assert target.read_text() == "new"
    assert not target.is_symlink()


@pytest.mark.parametrize("mode", [0o640, 0o755, 0o600])
def test_the_mode_stays(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("old")
    path.chmod(mode)
    kept = replace_file(path, "new", backup=True)
    assert kept is not None
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(kept.stat().st_mode) == mode


@pytest.mark.parametrize("kind", ["folder", "loop", "dangling"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.yaml"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("run.yaml" if kind == "loop" else "nowhere.yaml")
    with pytest.raises(UserError, match=r"run\.yaml"):
        replace_file(path, "new", backup=True)
    assert list(tmp_path.iterdir()) == [path]
