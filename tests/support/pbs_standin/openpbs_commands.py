"""The commands of OpenPBS's stand-in; each is called by the script of its name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import commands
import server
from server import Failure, Job

SERVER = "pbs1"
CAPTURED = server.CAPTURED.parent / "openpbs"
# pbs_error.h, modulo 256.
UNKNOWN_JOB, INVALID, UNAUTHORIZED, FINISHED, WRONG_STATE = 153, 156, 159, 35, 168
UNKNOWN_QUEUE, UNKNOWN_RESOURCE, TOO_MANY_JOBS, NO_CONNECTION = 170, 187, 38, 162
#: qsub's own.
USAGE, DIRECTIVE = 2, 1
RESOURCES = {"ncpus", "mem", "vmem", "pmem", "walltime", "ngpus", "place", "file"}
OPTIONS = set("aAcCehjJklmMNopPqrRSuvVWz")
NEVER_STARTED = "Subjob finished"


def qsub() -> None:
    """``qsub -f``: a script on standard input; options stand in its ``#PBS`` lines."""
    require_server("qsub")
    script = sys.stdin.read()
    options = commands.directives(script)
    try:
        for name, value in options.items():
            if name not in OPTIONS:
                said = f"invalid option -- '{name}'\nqsub: directive error: -{name} {value} "
                raise Failure(said, DIRECTIVE)
        if "J" in options:
            first, last = map(int, options["J"].split("-"))
            if last <= first:
                usage = (CAPTURED / "qsub_array_of_one.stderr").read_text()
                raise Failure(usage.removeprefix("qsub: ").rstrip("\n"), USAGE)
            if options.get("r") == "n":
                said = " cannot submit non-rerunable Array Job\nqsub: directive error: -r n "
                raise Failure(said, DIRECTIVE)
        resources = resource_list(options.get("l", ""))
        queue = options.get("q", server.config()["queues"][0])
        if queue not in server.config()["queues"]:
            raise Failure("Unknown queue", UNKNOWN_QUEUE)
        with server.jobs() as known:
            limit = server.config()["max_user_queuable"]
            if limit and sum(job["job_state"] != "C" for job in known.values()) >= limit:
                raise Failure("would exceed complex's per-user limit", TOO_MANY_JOBS)
            number = str(commands.last_number() + 1)
            (server.STATE / "last").write_text(number)
            jobs = {number: options}
            if "J" in options:
                jobs = {f"{number}[{at}]": element(options, at) for at in range(first, last + 1)}
            for one, its in jobs.items():
                job = commands.new_job(one, its, resources, queue, script)
                home = os.path.expanduser("~")
                processors = int(resources["ncpus"])
                own = {"_id": f"{one}.{SERVER}", "_processors": processors, "init_work_dir": home}
                known[one] = job | own
    except Failure as failure:
        sys.stderr.write(f"qsub: {failure}\n")
        sys.exit(failure.code)
    commands.launch(list(jobs))
    print(f"{number}{'[]' if 'J' in options else ''}.{SERVER}")


def qstat() -> None:
    """``qstat [-x] -f -w id ...``"""
    require_server("qstat")
    past = sys.argv[1] == "-x"
    start = 2 if past else 1
    if sys.argv[start : start + 2] != ["-f", "-w"]:
        sys.exit("the stand-in knows qstat -f -w and qstat -x -f -w only")
    code = 0
    with server.jobs() as known:
        for name in sys.argv[start + 2 :]:
            if past and not server.config()["history"]:
                said = "qstat: PBS is not configured to maintain job history"
                sys.stderr.write(f"{said} {whole(name)}\n")
                continue
            try:
                job = find(known, name)
                if not past and letter(known, job) == "F":
                    sys.stderr.write(
                        f"qstat: {job['_id']} Job has finished, use -x or -H to obtain historical "
                        "job information\n"
                    )
                    code = FINISHED
                else:
                    sys.stdout.write(describe(known, job))
            except Failure as failure:
                sys.stderr.write(f"qstat: {failure}\n")
                code = failure.code
    sys.exit(code)


def qselect() -> None:
    """``qselect [-x] -T -N name``"""
    require_server("qselect")
    past, (option, name) = "-x" in sys.argv, sys.argv[-2:]
    if option != "-N" or "-T" not in sys.argv:
        sys.exit("the stand-in knows qselect -T -N only")
    if past and not server.config()["history"]:
        sys.stderr.write("qselect: PBS is not configured to maintain job history\n")
        return
    with server.jobs() as known:
        for job in known.values():
            if job["Job_Name"] == name and (past or job["job_state"] != "C"):
                print(job["_id"])


def qdel() -> None:
    def delete(known: dict[str, Job], job: Job) -> None:
        if job["job_state"] == "C":
            raise Failure(f"Job has finished {job['_id']}", FINISHED)
        if job["job_state"] in "RES":
            job["_delete"] = True
        else:
            job["_terminated"] = True
            job.pop("exit_status", None)
            server.end(job)

    for_each("qdel", sys.argv[1:], delete)


def qhold() -> None:
    def hold(known: dict[str, Job], job: Job) -> None:
        whole_job(job)
        job["Hold_Types"] = "".join(sorted({*job["Hold_Types"]} - {"n"} | {"u"}))
        if job["job_state"] in "QW":  # a running job is not held up
            job["job_state"] = "H"

    for_each("qhold", sys.argv[1:], hold)


def qrls() -> None:
    def release(known: dict[str, Job], job: Job) -> None:
        whole_job(job)
        job["Hold_Types"] = job["Hold_Types"].replace("u", "") or "n"
        if job["job_state"] == "H" and job["Hold_Types"] == "n":
            job["job_state"] = "W"  # until its time has come

    for_each("qrls", sys.argv[1:], release)


def qsig() -> None:
    """``qsig -s suspend|resume id ...``"""

    def signal(known: dict[str, Job], job: Job) -> None:
        wish = sys.argv[2]
        if job["job_state"] == "C":
            raise Failure("Job has finished", FINISHED)
        if not server.is_operator():
            raise Failure(f"Unauthorized Request  {job['_id']}", UNAUTHORIZED)
        if job["job_state"] == "S" and wish == "suspend":
            raise Failure(f"Request invalid for state of job {job['_id']}", WRONG_STATE)
        job["_stopped"] = wish == "suspend"  # mom.py says when it has done so

    for_each("qsig", sys.argv[3:], signal)


def for_each(command: str, ids: list[str], do: Callable[[dict[str, Job], Job], None]) -> None:
    """Each id for itself; the last failure gives the exit status."""
    require_server(command)
    code = 0
    with server.jobs() as known:
        for name in ids:
            try:
                do(known, find(known, name))
            except Failure as failure:
                sys.stderr.write(f"{command}: {failure}\n")
                code = failure.code
    sys.exit(code)


def whole_job(job: Job) -> None:
    """Only a job that is not over, and an array as a whole, can be held."""
    if job["job_state"] == "C":
        raise Failure("Job has finished", FINISHED)
    if "job_array_id" in job:
        raise Failure(f"Invalid request {job['_id']}", INVALID)


def element(options: dict[str, str], index: int) -> dict[str, str]:
    """The options of an array's element: it has the array's own name."""
    log = options["o"].replace("^array_index^", str(index))
    return {**options, "o": log, "index": str(index)}


def resource_list(text: str) -> dict[str, str]:
    wanted = dict(item.split("=", 1) for item in text.split(",") if item)
    count, *chunk = wanted.pop("select", "1:ncpus=1").split(":")
    resources = {"ncpus": "1"} | dict(item.split("=", 1) for item in chunk)
    for name in resources:
        if name not in RESOURCES:
            raise Failure(f"Unknown resource: {name}", UNKNOWN_RESOURCE)
    for name in wanted:
        if name not in RESOURCES:
            raise Failure(f"Unknown resource Resource_List.{name}", UNKNOWN_RESOURCE)
    assert count == "1"
    return resources | wanted


def whole(name: str) -> str:
    """An id with its server."""
    return name if "." in name else f"{name}.{SERVER}"


def find(known: dict[str, Job], name: str) -> Job:
    number, _, host = whole(name).partition(".")
    job = known.get(number)
    if job is None or host != SERVER or (letter(known, job) == "F" and not has_history()):
        raise Failure(f"Unknown Job Id {whole(name)}", UNKNOWN_JOB)
    return job


def has_history() -> bool:
    return bool(server.config()["history"])


def letter(known: dict[str, Job], job: Job) -> str:
    """The state that qstat shows: an element is over (X), and finished (F) with its array."""
    if job["job_state"] != "C":
        # An element of an array that is held reads Q.
        state = str(job["job_state"])
        return "Q" if state == "H" and "job_array_id" in job and job["Hold_Types"] == "u" else state
    return "X" if any(one["job_state"] != "C" for one in elements(known, job)) else "F"


def elements(known: dict[str, Job], job: Job) -> list[Job]:
    """Those of its array; none if it is no element of one."""
    array = job["_id"].partition("[")[0]
    return [one for one in known.values() if one["_id"].startswith(f"{array}[")]


def describe(known: dict[str, Job], job: Job) -> str:
    """As ``qstat -f -w`` prints it, in so far as anybody reads it."""
    state = letter(known, job)
    shown = {
        "Job_Name": job["Job_Name"],
        "Job_Owner": f"{job['euser']}@{SERVER}",
        **{name: value for name, value in job.items() if name.startswith("resources_used.")},
        "job_state": state,
        "queue": job["queue"],
        "server": SERVER,
        "Hold_Types": job["Hold_Types"],
        "Join_Path": "oe",
        "Keep_Files": "oed",
        "Rerunable": job["Rerunable"],
        **{name: value for name, value in job.items() if name.startswith("Resource_List.")},
        "substate": substate(job, state),
        "comment": job.get("comment", ""),
    }
    if "start_count" in job:
        shown["run_count"] = job["start_count"]
    if "exit_status" in job:
        shown["Exit_status"] = job["exit_status"]
    if job.get("_terminated") and "job_array_id" in job and "start_count" not in job:
        shown["comment"] = NEVER_STARTED
        # Its own record is gone; once the array is over the array's attributes are shown, see
        # captured/openpbs/qstat_xf_array_over_with_an_element_that_never_ran.
        shown["substate"] = 10
        if state == "F":
            codes = [one.get("exit_status", 0) for one in elements(known, job)]
            shown["Exit_status"] = int(any(codes))
            shown["substate"] = 93 if any(codes) else 92
    lines = [f"    {name} = {value}" for name, value in shown.items() if value != ""]
    return "\n".join([f"Job Id: {job['_id']}", *lines, "", ""])


def substate(job: Job, state: str) -> int:
    """job.h, JOB_SUBSTATE_*."""
    if state in "FX":
        if job.get("_terminated"):
            return 91
        return 93 if job.get("exit_status") else 92
    return {"Q": 10, "H": 20, "W": 30, "R": 42, "S": 43}.get(state, 42)


def require_server(command: str) -> None:
    """Complain as the real commands did when their server was down."""
    if not server.config()["down"]:
        return
    text = (CAPTURED / f"down_{command}.stderr").read_text()
    sys.stderr.write(text)
    sys.exit(int((CAPTURED / f"down_{command}.rc").read_text()))
