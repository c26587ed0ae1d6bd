"""A process starts programs on its job's other nodes: batch script, request and answer together.

The script is run by a real shell, with stand-ins for the batch system's own commands that run what
they are given on this host. What is in the place of the launcher does what a process would do.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from joblauncher import ranks
from places import ROOT
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.jobs import Job
from pywps_hpc.settings import Container, ProcessSettings, Resources, Settings

JOB = "00000000-0000-4000-8000-000000000001"
#: How each system is told apart in what its stand-in is called with; $1 is then the node.
COMMANDS = {
    "slurm": (
        "srun",
        "for w; do case $w in --nodelist=*) node=${w#*=} ;; -*) ;; *) break ;; esac; "
        'shift; done; exec env ON=$node "$@"',
    ),
    "gridengine": ("qrsh", 'shift 2; node=$1; shift; exec env ON=$node bash -c "$*"'),
    "torque": ("pbsdsh", 'shift; node=$1; shift; exec env ON=$node "$@"'),
    "openpbs": ("pbs_tmrsh", 'node=$1; shift; exec env ON=$node "$@"'),
}


@pytest.fixture(params=COMMANDS)
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The batch script of a job on two nodes, up to where the launcher begins."""
    own = ProcessSettings(
        resources=Resources(nodes=2, tasks=4), container=Container(runtime="none")
    )
    folder = tmp_path / JOB
    (folder / "tmp").mkdir(parents=True)
    job = Job(JOB, "w0", "", "0" * 64)
    settings = Settings(spool=tmp_path, defaults=own)
    text = Scripts(settings, request.param).batch_job([job]).script
    name, body = COMMANDS[request.param]
    commands = tmp_path / "commands"
    commands.mkdir()
    for command, lines in ((name, body), ("scontrol", "printf 'n1\\nn2\\n'")):
        (commands / command).write_text(f"#!/bin/sh\n{lines}\n")
        (commands / command).chmod(stat.S_IRWXU)
    (tmp_path / "nodes").write_text("n1 2 all.q\nn2 2 all.q\n")
    path = tmp_path / "script"
    path.write_text(text.rpartition("\nexec env -i ")[0] + '\nexec "$@"\n')
    return path


def run(script: Path, process: str) -> subprocess.CompletedProcess[str]:
    """Run the script; in the place of the launcher stands a program of Python."""
    nodes = str(script.with_name("nodes"))
    environment = {
        **os.environ,
        "PATH": f"{script.with_name('commands')}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "PYWPS_HPC_TASKS": "4",
        "PE_HOSTFILE": nodes,
        "PBS_NODEFILE": nodes,
    }
    program = (
        "import os, subprocess, sys\nfrom pathlib import Path\nfrom joblauncher import ranks\n"
    )
    program += f"folder = Path({str(script.with_name(JOB))!r})\n"
    program += "ranks.prepare(folder, folder / 'tmp')\nagent = os.environ['HYDRA_LAUNCHER_EXEC']\n"
    # Files, as with a batch system: nobody waits for the end of a pipe.
    told, log = script.with_name("told"), script.with_name("log")
    with told.open("w") as stdout, log.open("w") as stderr:
        made = subprocess.run(
            ["bash", str(script), sys.executable, "-c", program + textwrap.dedent(process)],
            env=environment,
            stdout=stdout,
            stderr=stderr,
            timeout=60,
            cwd=script.parent,
        )
    return subprocess.CompletedProcess(
        made.args, made.returncode, told.read_text(), log.read_text()
    )


def test_a_command_runs_on_the_node_that_is_named_and_its_end_is_told(script: Path) -> None:
    made = run(
        script,
        """
        os.environ["OWN"] = "of the process's; $(touch bad)"
        line = 'echo "$PYWPS_HPC_NODE:$OWN"; exit'
        for node, code in (("n2", "3"), ("n1", "0"), ("elsewhere", "0")):
            ended = subprocess.run([agent, node, line, code], cwd=folder)
            print(node, ended.returncode, flush=True)
        print(Path(os.environ["HYDRA_HOST_FILE"]).read_text())
        """,
    )
    assert made.stdout.split("\n") == [
        "n2:of the process's; $(touch bad)",
        "n2 3",
        "n1:of the process's; $(touch bad)",
        "n1 0",
        "elsewhere 127",
        "n1:2",
        "n2:2",
        "",
        "",
    ], made.stderr
    assert not list(script.parent.rglob("bad"))


@pytest.mark.parametrize("script", ["slurm"], indirect=True)
def test_ending_the_remote_shell_ends_what_it_started(script: Path) -> None:
    made = run(
        script,
        """
        import signal, time
        shell = subprocess.Popen([agent, "n2", "echo begun; sleep 600 & sleep 600"],
                                 stdout=sys.stdout)
        time.sleep(4)
        shell.send_signal(signal.SIGTERM)
        print(shell.wait(30))
        """,
    )
    assert made.stdout.split() == ["begun", str(128 + 15)], made.stderr


@pytest.mark.parametrize("script", ["slurm"], indirect=True)
def test_a_request_that_is_nonsense_starts_nothing(script: Path) -> None:
    made = run(
        script,
        """
        import time
        (folder / "ranks/1").write_text("3\\n{}")
        (folder / "ranks/2").write_text("$(touch bad)\\n{}")
        (folder / "ranks/3").symlink_to("/etc/passwd")
        while len([n for n in os.listdir(folder / "ranks") if ".ended." in n]) < 3:
            time.sleep(0.1)
        print(sorted(n for n in os.listdir(folder / "ranks") if ".ended." in n))
        """,
    )
    assert made.stdout == "['1.ended.1', '2.ended.1', '3.ended.1']\n", made.stderr
    assert not list(script.parent.rglob("bad"))


HYDRA = """
=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES
=   PID 32218 RUNNING AT c2
=   EXIT CODE: {}
=   CLEANING UP REMAINING PROCESSES
"""


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        (HYDRA.format(9), "a rank on node c2 was ended by signal 9 (Killed)"),
        (HYDRA.format(3), "a rank on node c2 ended with exit code 3"),
        (
            "mpirun noticed that process rank 1 with PID 0 on node c1 exited on signal 11 (Seg…).",
            "a rank on node c1 was ended by signal 11 (Segmentation fault)",
        ),
        ("", "the ranks could not be run to their end (mpiexec: exit code 7)"),
    ],
)
def test_the_end_of_a_rank_is_told_in_words(printed: str, words: str) -> None:
    assert ranks.why(printed, 7) == words


def test_one_without_mpiexec_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ranks.RanksFailed, match="there is no mpiexec where this process runs"):
        ranks.run(["true"])
