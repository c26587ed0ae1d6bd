"""The commands of TORQUE's stand-in; each is called by the script of its name."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import server
from server import Failure, Job

#: Resources of Resource_List that the server knows (pbs_resources(7B)).
RESOURCES = {"nodes", "mem", "vmem", "pmem", "walltime", "cput", "file"}


def qsub() -> None:
    """Takes a script on standard input; options stand in its ``#PBS`` lines."""
    server.require_server("qsub")
    script = sys.stdin.read()
    options = directives(script)
    try:
        resources = resource_list(options)
        queue = options.get("q", server.config()["queues"][0])
        if queue not in server.config()["queues"]:
            raise Failure("Unknown queue MSG=requested queue not found", server.UNKNOWN_QUEUE)
        with server.jobs() as known:
            limit = server.config()["max_user_queuable"]
            waiting = [job for job in known.values() if job["job_state"] != "C"]
            if limit and len(waiting) >= limit:
                words = "Maximum number of jobs already in queue for user MSG=total number of"
                raise Failure(
                    f"{words} current user's jobs exceeds the server limit", server.TOO_MANY_JOBS
                )
            number = str(last_number() + 1)
            (server.STATE / "last").write_text(number)
            numbers = {number: options}
            if "t" in options:
                first, last = map(int, options["t"].split("-"))
                numbers = {
                    f"{number}[{index}]": element(options, index)
                    for index in range(first, last + 1)
                }
            for one, its in numbers.items():
                known[one] = new_job(one, its, resources, queue, script)
                known[one]["_processors"] = processors(resources["nodes"])
    except Failure as failure:
        sys.stderr.write(f"qsub: submit error ({failure})\n")
        sys.exit(failure.code)
    launch(list(numbers))
    print(f"{number}{'[]' if 't' in options else ''}.{server.SERVER}")


def launch(numbers: list[str]) -> None:
    """A process for each job that waits for its turn and runs it."""
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    for number in numbers:
        mom = [sys.executable, str(Path(__file__).with_name("mom.py")), number]
        subprocess.Popen(mom, start_new_session=True, cwd="/", **quiet)  # type: ignore[call-overload]


def qstat() -> None:
    """``qstat -f -1 [-t | id ...]``"""
    server.require_server("qstat")
    flags, ids = sys.argv[1:3], sys.argv[3:]
    if flags != ["-f", "-1"]:
        sys.exit("the stand-in knows qstat -f -1 only")
    ids = [] if ids == ["-t"] else ids
    code, misses = 0, []
    with server.jobs() as known:
        for name in ids or list(known):
            try:
                sys.stdout.write(server.describe(server.find(known, name)))
            except Failure as failure:
                misses.append(f"qstat: {failure}\n")
                code = failure.code
    if len(misses) > 8:  # its memory is spoilt by then, see captured/torque/qstat_nine_unknown
        sys.stderr.write("Can not resolve name for server l`H. (rc = -1 - )\n")
        misses[8:] = [misses[7]] * len(misses[8:])
    sys.stderr.writelines(misses)
    sys.exit(code)


def qdel() -> None:
    def delete(job: Job) -> None:
        if job["job_state"] == "C":
            words = "Request invalid for state of job MSG=invalid state for job - COMPLETE"
            raise Failure(f"{words} {job['_id']}", server.WRONG_STATE)
        if job["job_state"] in "RES":
            job["_deleted_twice"] = job["_delete"]
            job["_delete"] = True
        else:
            server.end(job)

    for_each("qdel", sys.argv[1:], delete)


def qhold() -> None:
    def hold(job: Job) -> None:
        waits(job)
        job["Hold_Types"] = "u"
        if job["job_state"] in "QW":  # a running job is not held up
            job["job_state"] = "H"

    for_each("qhold", sys.argv[1:], hold)


def qrls() -> None:
    def release(job: Job) -> None:
        waits(job)
        job["Hold_Types"] = job["Hold_Types"].replace("u", "") or "n"
        if job["job_state"] == "H" and job["Hold_Types"] == "n":
            job["job_state"] = "W" if job["_begin"] > time.time() else "Q"

    for_each("qrls", sys.argv[1:], release)


def qsig() -> None:
    """``qsig -s suspend|resume id ...``"""

    def suspend(job: Job) -> None:
        wish = sys.argv[2]
        if job["job_state"] not in "RS":
            raise Failure(f"Request invalid for state of job {job['_id']}", server.WRONG_STATE)
        if not server.is_operator():
            raise Failure(f"Unauthorized Request  {job['_id']}", server.UNAUTHORIZED)
        job["_stopped"] = wish == "suspend"  # mom.py says when it has done so

    for_each("qsig", sys.argv[3:], suspend)


def pbsnodes() -> None:
    server.require_server("pbsnodes")
    text = (server.CAPTURED / "pbsnodes.stdout").read_text()
    with server.jobs() as known:
        running = ", ".join(job["_id"] for job in known.values() if job["job_state"] in "RES")
        state = "free" if server.free(known) > 0 else "job-exclusive"
    text = re.sub(r"(?m)^( +state = ).*", rf"\g<1>{state}", text)
    text = re.sub(r"(?m)^( +np = ).*", rf"\g<1>{server.config()['np']}", text)
    sys.stdout.write(re.sub(r"(?m)^( +jobs = ).*", rf"\g<1>{running}", text))


def for_each(command: str, ids: list[str], do: Callable[[Job], None]) -> None:
    """Each id for itself; the last failure gives the exit status."""
    server.require_server(command)
    code = 0
    with server.jobs() as known:
        for name in ids:
            try:
                do(server.find(known, name))
            except Failure as failure:
                words = str(failure)
                if command == "qdel":  # the only one with words of its own
                    words = words.replace("Unknown Job Id Error", "nonexistent job id:")
                sys.stderr.write(f"{command}: {words}\n")
                code = failure.code
    sys.exit(code)


def waits(job: Job) -> None:
    if job["job_state"] == "C":
        raise Failure(f"Request invalid for state of job {job['_id']}", server.WRONG_STATE)


def element(options: dict[str, str], index: int) -> dict[str, str]:
    """The options of an array's element (captured/torque/qstat_f1_array)."""
    own = {"N": f"{options.get('N', 'STDIN')}-{index}", "o": f"{options['o']}-{index}"}
    return {**options, **own, "index": str(index)}


def last_number() -> int:
    file = server.STATE / "last"
    return int(file.read_text()) if file.exists() else 1000


def directives(script: str) -> dict[str, str]:
    """The options in a script, as far down as the first line that is a command."""
    options: dict[str, str] = {}
    for line in script.splitlines():
        if line.strip() and not line.startswith("#"):
            break
        if line.startswith("#PBS "):
            words = shlex.split(line[5:])
            while words:
                name = words.pop(0).removeprefix("-")
                value = "" if name in ("h", "V") else words.pop(0)
                options[name] = (
                    f"{options[name]},{value}" if name == "l" and "l" in options else value
                )
    return options


def resource_list(options: dict[str, str]) -> dict[str, str]:
    wanted = dict(item.split("=", 1) for item in options.get("l", "").split(",") if item)
    for name in wanted:
        if name not in RESOURCES:
            words = f"Unknown resource type  Resource_List.{name}"
            raise Failure(words, server.UNKNOWN_RESOURCE)
    nodes = wanted.setdefault("nodes", "1")
    if processors(nodes) > server.config()["np"] or not nodes.startswith("1"):
        raise Failure(
            "Job exceeds queue resource limits MSG=cannot locate feasible nodes (nodes file is "
            "empty, all systems are busy, or no nodes have the requested feature)",
            server.EXCEEDS_LIMITS,
        )
    return wanted


def processors(nodes: str) -> int:
    found = re.search(r"ppn=(\d+)", nodes)
    return int(found.group(1)) if found else 1


def new_job(
    number: str, options: dict[str, str], resources: dict[str, str], queue: str, script: str
) -> Job:
    user, now, host = getpass.getuser(), time.asctime(), server.SERVER
    log = options.get("o", "/dev/null")
    begin = time.mktime(time.strptime(options["a"], "%Y%m%d%H%M.%S")) if "a" in options else 0
    waiting = "H" if "h" in options else "W" if begin > time.time() else "Q"
    home = os.path.expanduser("~")
    shown = {
        "Job_Name": options.get("N", "STDIN"),
        "Job_Owner": f"{user}@{server.DEFAULT}",
        "job_state": waiting,
        "queue": queue,
        "server": host,
        "Checkpoint": "u",
        "ctime": now,
        "Error_Path": f"{host}:{log}",
        "Hold_Types": "u" if "h" in options else "n",
        "Join_Path": options.get("j", "n"),
        "Keep_Files": "n",
        "Mail_Points": options.get("m", "a"),
        "mtime": now,
        "Output_Path": f"{host}:{log}",
        "Priority": 0,
        "qtime": now,
        "Rerunable": str(options.get("r") != "n"),
        **{f"Resource_List.{name}": value for name, value in resources.items()},
        "Resource_List.nodect": 1,
        "Variable_List": f"PBS_O_QUEUE={queue},PBS_O_HOME={home},PBS_O_LOGNAME={user}",
        "euser": user,
        "egroup": user,
        "queue_type": "E",
        "etime": now,
        "fault_tolerant": "False",
        "job_radix": 0,
        "submit_host": host,
        "init_work_dir": options.get("d", home),
        "request_version": 1,
    }
    if "index" in options:
        shown["job_array_id"] = options["index"]
    return shown | {
        "_id": f"{number}.{server.SERVER}",
        "_script": script,
        "_shell": options.get("S", "/bin/sh"),
        "_log": log,
        "_begin": begin,
        "_processors": 1,
        "_delete": False,
        "_stopped": False,
    }
