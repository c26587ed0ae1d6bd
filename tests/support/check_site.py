"""A healthy site for ``pywps-hpc check``, in a folder: a Slurm and an Apptainer made of scripts,
which answer as the real ones were seen to, and run the job; or no batch system at all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pywps_hpc.check.findings import Finding
from pywps_hpc.check.run import Options, findings
from servers import SERVICES, write_config

URL = "http://wps.example.org:5000/wps"

#: How an image in SIF begins.
SIF = b"#!/usr/bin/env run-singularity\n".ljust(32, b"\0") + b"SIF_MAGIC\0"

PARTITIONS = """\
PartitionName=batch AllowAccounts=ALL AllowQos=ALL Default=YES QoS=N/A DefaultTime=00:10:00 \
MaxTime=01:00:00 MaxCPUsPerNode=UNLIMITED Nodes=c[1-2] State=UP MaxMemPerNode=UNLIMITED
PartitionName=long AllowAccounts=ALL AllowQos=ALL Default=NO MaxTime=7-00:00:00 \
MaxCPUsPerNode=UNLIMITED Nodes=c[1-2] State=UP MaxMemPerNode=UNLIMITED
PartitionName=gpu AllowAccounts=ml DenyAccounts=(null) AllowQos=ALL Default=NO MaxTime=UNLIMITED \
MaxCPUsPerNode=UNLIMITED Nodes=g1 State=UP MaxMemPerNode=UNLIMITED
"""
NODES = """\
pywps-hpc|batch*|c1|8|8000|idle|(null)
pywps-hpc|batch*|c2|8|8000|mixed|(null)
pywps-hpc|long|c1|8|8000|idle|(null)
pywps-hpc|long|c2|8|8000|mixed|(null)
pywps-hpc|gpu|g1|64|256000|idle|gpu:a100:4(S:0-1)
"""
CONFIG = """\
Configuration data as of 2026-11-29T01:31:23
AccountingStorageEnforce = associations
ClusterName             = site
MaxArraySize            = 1001
MaxJobCount             = 10000
SlurmctldParameters     = (null)
"""
ASSOCIATIONS = "site|climate||normal||\n"
SQUEUE = "pywps-hpc|JOBID|STATE|REASON|NAME|end"

#: The part of sbatch and squeue that runs jobs: one after the other is in the background, and the
#: queue knows what has not ended.
_SBATCH = """\
#!/bin/sh
if [ "$1" = --test-only ]; then
  cat > /dev/null; [ ! -s {folder}/verdict ] || {{ cat {folder}/verdict >&2; exit 1; }}
  echo "sbatch: Job 7 to start now" >&2; exit 0
fi
cat > {folder}/script.$$
( cd /; setsid env -i PATH={folder}:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 sh {folder}/run $$ ) \
  > /dev/null 2>&1 < /dev/null &
echo $$
"""
_RUN = """\
log=$(sed -n 's/^#SBATCH --output=//p' {folder}/script.$1)
sh {folder}/script.$1 >> "$log" 2>&1; echo $? > {folder}/ended.$1
"""
_SQUEUE = """\
#!/bin/sh
[ "$1" != --version ] || {{ echo slurm 22.05.8; exit; }}
echo '{header}'
for script in {folder}/script.*; do
  number=${{script##*.}}
  [ ! -e "$script" ] || [ -e {folder}/ended.$number ] ||
    echo "pywps-hpc|$number|${{STATE:-RUNNING}}|None|wcheck|end"
done
"""
_SACCT = """\
#!/bin/sh
for word in "$@"; do case $word in --format=*) columns=${{word#--format=}} ;; esac; done
echo "$columns" | tr , '|'
for end in {folder}/ended.*; do
  code=$(cat $end); state=COMPLETED; [ $code = 0 ] || state=FAILED
  [ $code -lt 128 ] || code=$((code - 128))
  for column in $(echo "$columns" | tr , ' '); do
    case $column in
      JobID) value=${{end##*.}} ;; State) value=$state ;; ExitCode) value=$code:0 ;;
      JobName) value=wcheck ;; *Raw) value=1 ;; *) value=2026-11-29T01:31:23 ;;
    esac
    [ $column = JobID ] || printf '|'
    printf '%s' "$value"
  done
  echo
done
"""
_APPTAINER = """\
#!/bin/sh
[ ! -s {folder}/trouble ] || {{ cat {folder}/trouble >&2; exit $(cat {folder}/code); }}
while [ "$1" != {image} ]; do shift; done
[ -e {image} ] || {{
  echo "FATAL:   While checking container encryption: could not open image {image}: failed to" \
    "retrieve path for {image}: lstat {image}: no such file or directory" >&2; exit 255; }}
shift 2
exec {python} "$@" --allow-root
"""


@dataclass
class CheckSite:
    """A service's configuration, and the commands that it finds.

    Attributes:
        folder: for all of it.
        scheduler: ``local`` or ``slurm``.
    """

    folder: Path
    scheduler: str = "local"
    application: str = "odd:service"
    config: Path = field(init=False)

    def __post_init__(self) -> None:
        self.commands = self.folder / "commands"
        self.image = self.folder / "service.sif"
        self.image.write_bytes(SIF)
        self.configure()
        if self.scheduler == "slurm":
            self._install()

    def configure(self, **sections: Mapping[str, object] | None) -> None:
        """Write the configuration: a healthy one, with these changes."""
        given: dict[str, dict[str, object]] = {
            "server": {"outputurl": None, "outputpath": None},
            "hpc.inputs": {"schemes": "file"},
            "hpc.retention": {"age": "30d"},
        }
        if self.scheduler == "slurm":
            given["hpc"] = {
                "scheduler": "slurm",
                "command_path": f"{self.commands}:/usr/bin:/bin",
                "database": f"sqlite:///{self.folder}/jobs.sqlite",
                "poll_interval": "2",
                "poll_backoff": "10",
            }
            given["hpc.container"] = {"runtime": "apptainer", "image": self.image}
        for section, changed in sections.items():
            if changed is None:
                given.pop(section, None)
            else:
                given.setdefault(section, {}).update(changed)
        self.config = write_config(self.folder, URL, **given)
        self.config.chmod(0o600)

    def add(self, text: str) -> None:
        """More lines of the configuration."""
        with self.config.open("a") as file:
            file.write(text)

    def command(self, name: str, text: str) -> None:
        """Replace a command; its text is a shell script, or what it prints."""
        self.commands.mkdir(exist_ok=True)
        path = self.commands / name
        script = text if text.startswith("#!") else f"#!/bin/sh\ncat << 'end'\n{text}end\n"
        path.write_text(script)
        path.chmod(0o755)

    def trouble(self, said: str, code: int = 255) -> None:
        """What the container runtime says instead of starting."""
        (self.commands / "trouble").write_text(said)
        (self.commands / "code").write_text(str(code))

    def another_python(self, version: str) -> None:
        """The image's interpreter says that it is of this version."""
        (self.commands / "launcher.py").write_text(
            "import platform, runpy, sys\n"
            f"platform.python_version = lambda: {version!r}\n"
            "sys.argv[1:4] = []  # -I -m joblauncher\n"
            'runpy.run_module("joblauncher", run_name="__main__")\n'
        )
        runtime = self.commands / "apptainer"
        head, _, _ = runtime.read_text().rpartition("exec ")
        launcher = f'{sys.executable} {self.commands}/launcher.py "$@" --allow-root'
        runtime.write_text(f"{head}exec {launcher}\n")

    def foreign_job(self, name: str) -> None:
        """Some other service of this account has a job in the queue."""
        squeue = self.commands / "squeue"
        squeue.write_text(squeue.read_text() + f"echo 'pywps-hpc|7|PENDING|Priority|{name}|end'\n")

    def _install(self) -> None:
        self.commands.mkdir(exist_ok=True)
        known = {
            "folder": self.commands,
            "header": SQUEUE,
            "image": self.image,
            "python": sys.executable,
        }
        for name, text in (
            *(("sbatch", _SBATCH), ("squeue", _SQUEUE), ("sacct", _SACCT), ("run", _RUN)),
            *(("apptainer", _APPTAINER), ("scancel", "#!/bin/sh\n")),
        ):
            path = self.commands / name
            path.write_text(text.format(**known))
            path.chmod(0o755)
        self.site()

    def site(
        self,
        partitions: str = PARTITIONS,
        nodes: str = NODES,
        config: str = CONFIG,
        associations: str = ASSOCIATIONS,
    ) -> None:
        """What the batch system tells of itself."""
        (self.commands / "partitions").write_text(partitions)
        (self.commands / "config").write_text(config)
        here = self.commands
        self.command(
            "scontrol",
            f'#!/bin/sh\n[ "$4" = partition ] && exec cat {here}/partitions\n'
            f'[ "$2" = config ] && exec cat {here}/config\n',
        )
        self.command("sinfo", nodes)
        self.command("sacctmgr", associations)

    def check(
        self,
        *,
        offline: bool = False,
        application: str | None = None,
        bind: str = "",
        wait: float = 20.0,
    ) -> list[Finding]:
        """All that the check finds."""
        name = self.application if application is None else application
        before = os.getcwd()
        os.chdir(SERVICES)
        try:
            return list(findings(Options(self.config, name, bind, offline, wait)))
        finally:
            os.chdir(before)


def bad(found: Iterable[Finding]) -> list[Finding]:
    """Warnings and errors."""
    return [finding for finding in found if finding.level.value]
