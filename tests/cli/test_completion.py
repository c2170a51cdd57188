"""What a shell completes after the script of `mixscale completion` was read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A `mixscale` on the path, and the script of each shell in the folder."""
    program = tmp_path / "bin" / "mixscale"
    program.parent.mkdir()
    code = "import sys; from mixscale.cli.main import main; sys.argv[0] = 'mixscale'; main()"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    program.chmod(0o755)
    found = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    for shell in SHELLS:
        done = subprocess.run(
            [program, "completion", shell], capture_output=True, text=True, env=found, check=True
        )
        (tmp_path / shell).write_text(done.stdout)
    return found


def shell_path(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


BASH = """
source ./bash
COMP_WORDS=(%s)
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_mixscale_completion mixscale
printf '%%s\\n' "${COMPREPLY[@]}"
"""


def in_bash(words: str, tmp_path: Path, environment: dict[str, str]) -> list[str]:
    command = [shell_path("bash"), "--norc", "-c", BASH % words]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    # Outside of a completion bash says so of `compopt`, which asks it for names of files.
    complaints = [line for line in done.stderr.splitlines() if "compopt" not in line]
    assert complaints == []
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mixscale s", ["stats", "sql", "sweep"]),
        ("mixscale doctor --j", ["--json"]),
        ("mixscale build corpus.yaml --ex", ["--executor"]),
        ("mixscale build corpus.yaml --executor ''", ["local", "ray"]),
        ("mixscale completion ''", list(SHELLS)),
    ],
)
def test_bash(words: str, expected: list[str], tmp_path: Path, environment: dict[str, str]) -> None:
    assert in_bash(words, tmp_path, environment) == expected


def test_a_mistyped_command_is_no_error_while_completing(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    assert "--json" not in in_bash("mixscale biuld --j", tmp_path, environment)


def test_bash_completes_names_of_files(tmp_path: Path, environment: dict[str, str]) -> None:
    """A terminal with a real prompt: bash itself completes what is a file."""
    import pty
    import time

    (tmp_path / "corpus.yaml").write_text("")
    master, slave = pty.openpty()
    shell = subprocess.Popen(
        [shell_path("bash"), "--norc", "--noprofile", "-i"],
        stdin=slave, stdout=slave, stderr=slave, cwd=tmp_path, env=environment,
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    try:
        os.write(master, b"source ./bash\n")
        os.write(master, b"mixscale build corp\t")
        seen = b""
        end = time.monotonic() + 300
        while b"corpus.yaml" not in seen and time.monotonic() < end:
            seen += os.read(master, 4096)
        assert b"mixscale build corpus.yaml" in seen.replace(b"\x07", b"")
    finally:
        shell.kill()
        shell.wait()
        os.close(master)


def test_zsh_reads_the_script(tmp_path: Path, environment: dict[str, str]) -> None:
    code = (
        "autoload -Uz compinit && compinit -u -d ./dump && source ./zsh "
        "&& whence -w _mixscale_completion"
    )
    done = subprocess.run(
        [shell_path("zsh"), "-f", "-c", code],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "_mixscale_completion: function"


def test_fish(tmp_path: Path, environment: dict[str, str]) -> None:
    code = "source ./fish; complete --do-complete 'mixscale doctor --j'"
    done = subprocess.run(
        [shell_path("fish"), "--no-config", "-c", code],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=True,
    )  # fmt: skip
    assert done.stdout.split("\t")[0].strip() == "--json"


@pytest.mark.parametrize(
    ("shell", "question"),
    [
        ("bash", {"COMP_WORDS": "mixscale doctor --j", "COMP_CWORD": "2"}),
        ("zsh", {"COMP_WORDS": "mixscale doctor --j", "COMP_CWORD": "2"}),
        ("fish", {"COMP_WORDS": "mixscale doctor --j", "COMP_CWORD": "--j"}),
    ],
)
def test_the_answers_to_each_shell(
    shell: str, question: dict[str, str], environment: dict[str, str]
) -> None:
    """As the scripts ask, also for shells that are not installed."""
    asked = {**environment, **question, "_MIXSCALE_COMPLETE": f"{shell}_complete"}
    done = subprocess.run(["mixscale"], capture_output=True, text=True, env=asked, check=True)
    assert "--json" in done.stdout
    assert done.stderr == ""


def test_another_shell_is_refused(environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["mixscale", "completion", "tcsh"],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr
