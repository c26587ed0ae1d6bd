"""Commands run cleanly, to their end, and never longer than allowed."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from pywps_hpc.dispatch.channels.local import (
    ChannelTimeout,
    ChannelUnavailable,
    Completed,
    LocalChannel,
)
from servers import wait_for


def sh(channel: LocalChannel, script: str, stdin: str = "", timeout: float = 120) -> Completed:
    return channel.run(["/bin/sh", "-c", script], stdin=stdin, timeout=timeout)


def test_all_three_answers_come_back() -> None:
    answer = sh(LocalChannel(), "echo out; echo err >&2; exit 3")
    assert answer == (3, "out\n", "err\n")


def test_arguments_reach_the_command_as_they_are() -> None:
    awkward = ["a b", "$(id)", "'", '"', "*", "ü", ""]
    answer = LocalChannel().run(["printf", "%s\n", *awkward], timeout=120)
    assert answer.stdout == "\n".join(awkward) + "\n"


def test_standard_input_is_passed_and_empty_by_default() -> None:
    assert sh(LocalChannel(), "cat", stdin="Grüße\n").stdout == "Grüße\n"
    assert sh(LocalChannel(), "cat").stdout == ""


def test_command_that_reads_nothing_is_no_error() -> None:
    assert sh(LocalChannel(), "exec <&-; echo ok", stdin="x" * 1_000_000) == (0, "ok\n", "")


def test_large_output_comes_whole() -> None:
    answer = sh(LocalChannel(), "head -c 3000000 /dev/zero | tr '\\0' x")
    assert len(answer.stdout) == 3_000_000


def test_output_that_is_no_utf8_is_replaced() -> None:
    assert sh(LocalChannel(), r"printf 'a\377b'").stdout == "a\ufffdb"


def test_death_by_signal_is_a_negative_return_code() -> None:
    assert sh(LocalChannel(), "kill -9 $$").returncode == -9


def test_environment_is_clean_but_for_what_the_administrator_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SBATCH_PARTITION", "SQUEUE_FORMAT", "SLURM_TIME_FORMAT", "LC_ALL", "SECRET"):
        monkeypatch.setenv(name, "x")
    answer = LocalChannel({"SLURM_CONF": "/etc/a b"}).run(["env"], timeout=120)
    names = dict(line.split("=", 1) for line in answer.stdout.splitlines())
    assert names.keys() == {"PATH", "HOME", "USER", "LOGNAME", "LANG", "SLURM_CONF"}
    assert (names["LANG"], names["SLURM_CONF"]) == ("C", "/etc/a b")


def test_command_that_is_not_installed_is_named_with_the_way_out() -> None:
    with pytest.raises(ChannelUnavailable, match=r"not found: sbatchx .*PATH"):
        LocalChannel().run(["sbatchx"], timeout=120)


def test_path_of_the_administrator_decides_what_is_found() -> None:
    with pytest.raises(ChannelUnavailable):
        LocalChannel({"PATH": "/nowhere"}).run(["env"], timeout=120)


@pytest.mark.parametrize("argv", [["/etc/passwd"], ["a\0b"]])
def test_command_that_cannot_be_started_was_certainly_not_run(argv: list[str]) -> None:
    with pytest.raises(ChannelUnavailable, match="cannot run"):
        LocalChannel().run(argv, timeout=120)


def test_command_over_its_time_is_killed_with_all_it_started() -> None:
    nap = f"sleep 4321.{os.getpid()}"  # nobody else's
    begin = time.monotonic()
    with pytest.raises(ChannelTimeout, match=r"did not answer within 0\.5 s"):
        sh(LocalChannel(), f"{nap} & {nap}; echo never", timeout=0.5)
    assert time.monotonic() - begin < 60
    wait_for(lambda: subprocess.run(["pgrep", "-f", nap]).returncode == 1, "all are gone")


def test_grandchild_that_keeps_the_pipes_open_does_not_hold_us(tmp_path: Path) -> None:
    go = tmp_path / "go"
    stays = f"setsid timeout 120 sh -c 'until [ -e {go} ]; do sleep 0.1; done'"
    begin = time.monotonic()
    with pytest.raises(ChannelTimeout):
        sh(LocalChannel(), f"{stays} & sleep 600", timeout=0.5)
    assert time.monotonic() - begin < 60
    go.touch()
