"""Options that are ours are refused at start, by the name of the key that does what was meant."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pywps_hpc.settings import SettingsError, load
from pywps_hpc.systems import options

REFUSED = {
    "slurm": {
        "memory": ["--mem=100M", "--mem 100M", "--me 5", "--me=5", "--mem-per-cpu=1", "--mem-p=1"],
        "walltime": ["-t5", "-t 5", "--time 5", "--time=5", "--tim=5", "--time-min=1", "-Ot5"],
        "cpus": ["-c4", "--cpus-per-task=4", "--cpus-per-t 4"],
        "nodes": ["-N2", "--nodes=2"],
        "tasks": ["-n 4", "--ntasks=4", "--ntasks-per-node=2", "--ntasks-per-gpu 1"],
        "gpus": ["-G1", "--gpus=1", "--gpus-per-node=1", "--gres=gpu:1", "--gres nvme:1,gpu:a:2"],
        "queue": ["-p x", "--partition=x", "--part=x"],
        "account": ["-A x", "-Ax", "--account=x"],
        "requeue": ["--requeue", "--no-requeue", "--requ", "--no-r"],
        "": [
            *("--array=1-3", "--array 1-3", "-a1-3", "-a 1-3", "--arr=1-3", "--output=/dev/null"),
            *("-o /dev/null", "-e /dev/null", "--error=x", "--job-name=x", "-J x", "-Jx", "--jo=x"),
            *("--hold", "-H", "--ho", "--chdir=/", "-D /", "--export=ALL", "--wrap=true"),
            *("--parsable", "--comment=x", "--signal=9", "--open-mode=truncate"),
            *("-M other", "--clusters=other", "--test-only", "-W"),
            *("--wait", "-QH", "--constraint=ib --hold", "-C ib -H", "hetjob", "--", "--uid=0"),
        ],
    },
    "gridengine": {
        "memory": ["-l h_vmem=1G", "-l s_vmem=1G", "-l arch=x,h_vmem=1G", "-l arch=x h_vmem=1G"],
        "walltime": ["-l h_rt=60", "-l s_rt=60", "-hard -l h_rt=60"],
        "cpus": ["-pe smp 4", "-pe smp 1-8", "-l slots=2"],
        "gpus": ["-l gpu=1"],
        "queue": ["-q x", "-l qname=x"],
        "account": ["-A x"],
        "requeue": ["-r y", "-r n"],
        "": [
            *("-N x", "-o /dev/null", "-e /dev/null", "-j n", "-t 1-3", "-wd /tmp", "-cwd", "-h"),
            *("-h u", "-hold_jid 5", "-V", "-v A=1", "-S /bin/sh", "-b y", "-notify", "-sync y"),
            *("-terse", "-clear", "-@ file", "-C x", "-now y", "-w v", "-w p", "-P models -h"),
            *("-pe smp -R y", "smp"),
        ],
    },
    "torque": {
        "memory": ["-l mem=1gb", "-lmem=1gb", "-l pmem=1gb", "-l vmem=1gb", "-l feature=x,mem=1gb"],
        "walltime": ["-l walltime=60", "-l cput=60"],
        "cpus": ["-l procs=4", "-l ncpus=4"],
        "nodes": ["-l nodes=2", "-l nodes=1:ppn=4"],
        "queue": ["-q x", "-qx"],
        "account": ["-A x"],
        "requeue": ["-r y"],
        "": [
            *("-N x", "-o /dev/null", "-e x", "-j n", "-t 1-3", "-d /", "-h", "-nh", "-I", "-V"),
            *("-v A=1", "-S /bin/sh", "-W depend=afterok:1", "-W block=true", "-z", "-L tasks=1"),
            *("-J 1-3", "-k oe", "-X", "-u root", "-EhM x"),
        ],
    },
    "openpbs": {
        "memory": ["-l mem=1gb", "-lpmem=1gb", "-l vmem=1gb", "-l arch=x,mem=1gb"],
        "walltime": ["-l walltime=60", "-l cput=60", "-l max_walltime=9", "-l soft_walltime=9"],
        "cpus": ["-l ncpus=4", "-l ompthreads=2"],
        "nodes": ["-l select=2:ncpus=4", "-l nodes=2:ppn=4", "-l nodect=2"],
        "tasks": ["-l mpiprocs=2"],
        "gpus": ["-l ngpus=1", "-l naccelerators=1"],
        "queue": ["-q x"],
        "account": ["-A x"],
        "requeue": ["-r y"],
        "": [
            *("-N x", "-o /dev/null", "-e x", "-j n", "-J 1-3", "-k n", "-h", "-I", "-X", "-V"),
            *("-v A=1", "-S /bin/sh", "-W depend=afterok:1", "-W block=true", "-W sandbox=PRIVATE"),
            *("-R oe", "-u root", "-C x", "-f", "-z", "-W stagein=x", "-P models -h"),
        ],
    },
}
ALLOWED = {
    "slurm": [
        *("--constraint=ib", "-C ib", "-Cta", "--qos=high", "-q high", "--exclude=n1", "-x n1"),
        *("--exclusive", "--nodelist=c1", "-w c1", "--reservation=x", "--begin=now+60", "-b now"),
        *("--nice=5", "--licenses=x", "--mail-type=END", "--gres=nvme:1", "--hint=nomultithread"),
        *(
            "--dependency=singleton",
            "--tmp=5G",
            "--mincpus=4",
            "--mem-bind=local",
            "-s",
            "--extra=x",
        ),
        *("--constraint 'ib&x'", "--threads-per-core=1", "--ntasks-per-core=1"),
    ],
    "gridengine": [
        *("-P models", "-l scratch=20G", "-l arch=lx-amd64", "-pe threads", "-p -10", "-R y"),
        *(
            "-a 202701010000",
            "-m e",
            "-M x@y",
            "-w n",
            "-w e",
            "-binding linear:1",
            "-soft",
            "-ar 5",
        ),
        *("-l mem_free=2G,hostname=n1", "-js 5"),
    ],
    "torque": [
        *("-l feature=ib", "-W group_list=models", "-W umask=077", "-p 5", "-a 2701010000", "-m e"),
        *("-M me@here", "-W x=NACCESSPOLICY:SINGLEJOB", "-l nice=5", "-l file=2gb", "-c none"),
    ],
    "openpbs": [
        *("-P models", "-l place=excl", "-l arch=linux", "-W group_list=models", "-W umask=077"),
        *("-p 5", "-a 2701010000", "-m e", "-M me@here", "-c n", "-l software=x"),
    ],
}


@pytest.mark.parametrize(
    ("system", "key", "line"),
    [
        (system, key, line)
        for system, keys in REFUSED.items()
        for key, lines in keys.items()
        for line in lines
    ],
)
def test_option_of_ours_is_refused_by_name(system: str, key: str, line: str) -> None:
    with pytest.raises(ValueError, match=r"^[^:]+: ") as refusal:
        options.check(system, [line], 0)
    if key:
        assert str(refusal.value).endswith(f"set it by the key {key}")


@pytest.mark.parametrize(
    ("system", "line"), [(system, line) for system, lines in ALLOWED.items() for line in lines]
)
def test_what_is_the_sites_own_is_taken(system: str, line: str) -> None:
    options.check(system, [line], 0)


def test_other_resources_do_not_replace_the_processors_asked_for() -> None:
    options.check("slurm", ["--gres=nvme:1"], 0)
    with pytest.raises(ValueError, match="--gres: set it by the key gpus"):
        options.check("slurm", ["--gres=nvme:1"], 2)


@pytest.mark.parametrize(
    ("hpc", "line", "words"),
    [
        ("scheduler = slurm", "--mem=100M", "--mem: set it by the key memory"),
        ("scheduler = slurm", "-t5", "-t: set it by the key walltime"),
        ("scheduler = gridengine", "-l h_rt=5", "-l h_rt: set it by the key walltime"),
        ("scheduler = torque", "-h", "-h: it would keep every job waiting; leave it out"),
        (
            "scheduler = drmaa\nsystem = slurm\ndrmaa_library = /lib/libdrmaa.so",
            "--array=1-3",
            "--array: the service sets it itself; leave it out",
        ),
    ],
)
@pytest.mark.parametrize("section", ["hpc.resources", "hpc.process.x"])
def test_start_is_refused_in_one_line(
    tmp_path: Path, hpc: str, line: str, words: str, section: str
) -> None:
    config = tmp_path / "pywps.cfg"
    head = f"[hpc]\nspool = {tmp_path}\n{hpc}\n[hpc.container]\nruntime = none\n"
    config.write_text(f"{head}[{section}]\nextra =\n    {line}\n")
    with pytest.raises(SettingsError) as refusal:
        load([config])
    assert str(refusal.value) == f"{config}: [{section}] extra: {words}"


APPLICATION = """\
from pywps import Service
from pywps_hpc import hpc

application = hpc(Service([]))
"""


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "pywps_hpc", "serve", "app:application", "--config", "pywps.cfg"],
        ["-m", "pywps_hpc", "web", "app:application", "--config", "pywps.cfg"],
        ["-m", "pywps_hpc", "dispatcher", "--config", "pywps.cfg"],
        ["-c", "import app"],  # another WSGI server
    ],
    ids=["serve", "web", "dispatcher", "hpc"],
)
def test_whatever_is_started_says_so_in_its_last_line(tmp_path: Path, command: list[str]) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    (tmp_path / "app.py").write_text(APPLICATION)
    (tmp_path / "pywps.cfg").write_text(
        f"[processing]\nmode = scheduler\n[hpc]\nspool = {spool}\nscheduler = slurm\n"
        "[hpc.container]\nruntime = none\n[hpc.resources]\nextra = --mem=100M\n"
    )
    started = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**os.environ, "PYWPS_CFG": "pywps.cfg"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode != 0
    last = started.stderr.strip().splitlines()[-1]
    assert last.endswith("pywps.cfg: [hpc.resources] extra: --mem: set it by the key memory")
