"""The manual page and the shell's completion, made from the commands themselves."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from cli_desk import ENVIRONMENT
from pywps_hpc.cli import commands

#: Macros of groff_man(7) that the page uses.
MACROS = {".TH", ".SH", ".SS", ".TP", ".PP", ".B"}


@pytest.fixture(scope="module")
def page() -> str:
    done = CliRunner().invoke(commands, ["man"])
    assert done.exit_code == 0, done.output
    return done.stdout


def leaves(group: click.Group, path: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        own = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            found |= leaves(command, own)
        else:
            found[own] = command
    return found


def test_every_command_and_option_stands_in_the_manual_page(page: str) -> None:
    plain = page.replace("\\-", "-")
    for path, command in leaves(commands).items():
        _, title, rest = plain.partition(f'.SS "{path} ')
        assert title, path
        section = re.split(r"^\.S[SH] ", rest, flags=re.M)[0]
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert option in section, (path, option)


def test_the_manual_page_is_roff_without_a_warning(page: str) -> None:
    requests = re.findall(r"^[.'].*", page, flags=re.M)
    assert {line.split()[0] for line in requests} <= MACROS
    assert not re.search(r"\\(?![-&efI(])", page)
    if groff := shutil.which("groff"):
        line = [groff, "-man", "-Tutf8", "-ww", "-z"]
        done = subprocess.run(line, input=page, capture_output=True, text=True, check=True)
        assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "offered"), [("pywps-hpc us", "usage"), ("pywps-hpc usage --acc", "--accounting")]
)
def test_the_shell_completes_commands_and_options(words: str, offered: str) -> None:
    asked = {
        "_PYWPS_HPC_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "pywps_hpc"],
        env=ENVIRONMENT | asked,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"plain,{offered}" in done.stdout.splitlines()
