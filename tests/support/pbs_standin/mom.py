"""Waits for one job's turn and runs it, as pbs_mom does: ``mom.py NUMBER``."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import server

UNITS = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}
#: Fields of statm.
ADDRESSES, RESIDENT = 0, 1
# resmom.h of TORQUE, job.h of OpenPBS
STDOUT_FAILED, OVER_MEMORY, OVER_WALLTIME = (-3, -27, -29) if server.OPENPBS else (-9, -10, -11)
#: OpenPBS tries so often, and then holds the job.
ATTEMPTS = 21


def main(number: str) -> None:
    while not start(number):
        time.sleep(0.1)
    with server.jobs() as known:
        job = dict(known[number])
    spool = Path(tempfile.mkdtemp(dir=server.STATE))
    live = server.config()["spool_as_final_name"]
    target = Path(job["_log"])
    try:
        if (
            live and target.is_symlink() and not server.OPENPBS
        ):  # start_exec.c, open_std_file: "something fishy"
            raise PermissionError("the log is a symbolic link")
        with open(target if live else spool / "OU", "ab", buffering=0) as log:
            exit_status = run(number, job, spool, log)
    except OSError:
        if server.OPENPBS:
            hold(number)
            return main(number)
        exit_status = STDOUT_FAILED
    with server.jobs() as known:
        known[number]["job_state"] = "E"
    if not live:
        deliver(spool / "OU", target)
    shutil.rmtree(spool)
    with server.jobs() as known:
        server.end(known[number], exit_status)


def hold(number: str) -> None:
    """Give up for now, as captured/openpbs/qstat_xf_log_logkmissing has it."""
    with server.jobs() as known:
        job = known[number]
        job["job_state"], job["Hold_Types"] = "H", "s"
        job["comment"] = "job held, too many failed attempts to run"
        job["start_count"], job["exit_status"] = ATTEMPTS, STDOUT_FAILED


def start(number: str) -> bool:
    """Whether the job runs now; ends this process if it was deleted."""
    with server.jobs() as known:
        job = known.get(number)
        if job is None or job["job_state"] == "C":
            sys.exit()
        if job["job_state"] == "W" and job["_begin"] <= time.time():
            job["job_state"] = "Q"
        if job["job_state"] != "Q":
            return False
        if server.free(known) < job["_processors"]:
            job["comment"] = lack(job)
            return False
        job["job_state"] = "R"
        job["exec_host"] = f"{server.SERVER}/0"
        job["comment"] = time.strftime("Job started on %a %b %d at %H:%M")
        job["start_time"] = job["mtime"] = time.asctime()
        job["start_count"] = 1
        return True


def lack(job: server.Job) -> str:
    """Why a job has to wait."""
    if not server.OPENPBS:
        return "Not Running: Not enough of the right type of nodes are available"
    most, need = server.config()["np"], job["_processors"]
    verdict = "Can Never Run" if need > most else "Not Running"
    return f"{verdict}: Insufficient amount of resource: ncpus (R: {need} A: 0 T: {most})"


def run(number: str, job: server.Job, spool: Path, log: IO[bytes]) -> int:
    script = spool / f"{job['_id']}.SC"
    script.write_text(job["_script"])
    script.chmod(0o700)
    # A shell that reads the script's path: it is the one that dies of MOM's signals, while a signal
    # that the script gives itself becomes that shell's exit code.
    shell = subprocess.Popen(
        [job["_shell"]],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        cwd=job["init_work_dir"],
        env=environment(job),
        start_new_session=True,
    )
    data = amount(job.get("Resource_List.mem", "0kb"))
    if (
        data and not server.OPENPBS
    ):  # mom_mach.c, mom_set_limits: each process for itself is refused more
        resource.prlimit(shell.pid, resource.RLIMIT_DATA, (data, data))
    assert shell.stdin is not None
    shell.stdin.write(f"{script}\n".encode())
    shell.stdin.close()
    began = time.time()
    limits = (
        seconds(job.get("Resource_List.walltime", "0")),
        # With $enforce mem OpenPBS's MOM adds up what is in use.
        data if server.OPENPBS else amount(job.get("Resource_List.vmem", "0kb")),
    )
    kind = "mem" if server.OPENPBS else "vmem"
    verdict, stopped, kill_at = None, False, 0.0
    while shell.poll() is None or (kill_at and members(shell.pid)):
        with server.jobs() as known:
            now = known[number]
            now["session_id"] = shell.pid
            wish, delete = now["_stopped"], now["_delete"]
            used = memory(shell.pid, RESIDENT if server.OPENPBS else ADDRESSES)
            elapsed = int(time.time() - began)
            now["resources_used.mem"] = f"{memory(shell.pid, RESIDENT) // 1024}kb"
            now["resources_used.vmem"] = f"{used // 1024}kb"
            now["resources_used.walltime"] = time.strftime("%H:%M:%S", time.gmtime(elapsed))
        if wish is not stopped:
            tell(shell.pid, signal.SIGSTOP if wish else signal.SIGCONT)
            stopped = wish
            with server.jobs() as known:
                known[number]["job_state"] = "S" if stopped else "R"
        if not kill_at and verdict is None:
            verdict = exceeded(log, kind, elapsed, used, *limits)
        if not kill_at and (delete or verdict is not None):
            tell(shell.pid, signal.SIGTERM)
            slow = stopped and server.OPENPBS
            kill_at = (
                time.time() + server.config()["kill_delay_suspended" if slow else "kill_delay"]
            )
        elif kill_at and time.time() >= kill_at:
            tell(shell.pid, signal.SIGKILL)
        time.sleep(0.1)
    code = shell.returncode
    tell(shell.pid, signal.SIGKILL)
    if delete:
        with server.jobs() as known:
            known[number]["_terminated"] = True
    if verdict is not None:
        return verdict
    return 256 - code if code < 0 else code


def exceeded(
    log: IO[bytes], kind: str, elapsed: int, used: int, walltime: int, most: int
) -> int | None:
    """The exit status of a job that is beyond a limit, which its log tells, too."""
    if walltime and elapsed > walltime:
        words, verdict = f"walltime {elapsed} exceeded limit {walltime}", OVER_WALLTIME
    elif most and used > most:
        words = f"{kind} {used // 1024}kb exceeded limit {most // 1024}kb"
        verdict = OVER_MEMORY
    else:
        return None
    log.write(f"=>> PBS: job killed: {words}\n".encode())
    return verdict


def deliver(spooled: Path, target: Path) -> None:
    """Copy the log over what is there; the administrator keeps one that cannot be delivered."""
    try:
        shutil.copyfile(spooled, target)
    except OSError:
        (server.STATE / "undelivered").mkdir(exist_ok=True)
        shutil.copyfile(spooled, server.STATE / "undelivered" / target.name)


def environment(job: server.Job) -> dict[str, str]:
    user = job["euser"]
    index = "PBS_ARRAY_INDEX" if server.OPENPBS else "PBS_ARRAYID"
    return {
        "HOME": os.path.expanduser("~"),
        "USER": user,
        "LOGNAME": user,
        "SHELL": "/bin/bash",
        "PATH": server.config()["path"],
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": job["_id"],
        "PBS_JOBNAME": job["Job_Name"],
        "PBS_QUEUE": job["queue"],
        "PBS_O_WORKDIR": "/",
        **({index: job["job_array_id"]} if "job_array_id" in job else {}),
    }


def members(session: int) -> list[int]:
    """The processes of a session, which none of them can leave unnoticed by MOM."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                # A name is cut off after 15 bytes, in the middle of a character, too.
                stat = (process / "stat").read_text(errors="replace")
                fields = stat.rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(process.name))
    return found


def tell(session: int, number: int) -> None:
    for process in members(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def memory(session: int, kind: int) -> int:
    """Bytes of all its processes together (proc(5), statm)."""
    pages = 0
    for process in members(session):
        try:
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[kind])
        except (OSError, IndexError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def amount(text: str) -> int:
    return int(text[:-2]) * UNITS[text[-2:]]


def seconds(text: str) -> int:
    total = 0
    for part in text.split(":"):
        total = 60 * total + int(part)
    return total


if __name__ == "__main__":
    main(sys.argv[1])
