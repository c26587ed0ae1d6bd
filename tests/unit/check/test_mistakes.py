"""Each ordinary mistake of an administrator is named, with its remedy, before a client meets it.

The mistakes stand in a table, which docs/check.md shows with the sentences that are told. Those
that concern a real batch system and container are made there as well
(tests/cluster/test_cluster_check.py).
"""

from __future__ import annotations

import os
import platform
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from check_site import CONFIG, NODES, PARTITIONS, SIF, CheckSite, bad
from joblauncher.shared import account
from places import ROOT
from pywps_hpc.check import addresses, application, storage
from pywps_hpc.check.findings import Level
from pywps_hpc.dispatch.schedulers.base import SchedulerUnavailable
from pywps_hpc.dispatch.schedulers.drmaa import DrmaaScheduler
from pywps_hpc.dispatch.schedulers.drmaa_session.remedies import with_remedy
from pywps_hpc.jobs import JobStore
from pywps_hpc.jobs.identity import tie
from pywps_hpc.settings.checks import host
from pywps_hpc.spool import Spool
from pywps_hpc.timing import TIMING
from sshd import Sshd, make_key

Make = Callable[[CheckSite], object]


@dataclass(frozen=True)
class Mistake:
    """One of the table.

    Attributes:
        what: the mistake, in an administrator's words.
        make: makes it.
        subject: of what is told.
        told: pattern of the sentence.
        remedy: pattern of the remedy.
        level: how bad it is.
        scheduler: of the site.
        offline: whether it shows without a batch system.
        application: whether the application has to be imported to see it; or another one.
        bind: where the service listens.
        also: pattern of what else is rightly told.
    """

    what: str
    make: Make
    subject: str
    told: str
    remedy: str
    level: Level = Level.ERROR
    scheduler: str = "local"
    offline: bool = True
    application: str = ""
    bind: str = ""
    also: str = "^$"


W = Level.WARNING


def hpc(**keys: object) -> Make:
    return lambda site: site.configure(hpc=keys)


def keys(section: str, **values: object) -> Make:
    return lambda site: site.configure(**{section: values})


def lines(text: str) -> Make:
    return lambda site: site.add(text)


def on_slurm(
    what: str, make: Make, subject: str, told: str, remedy: str, **rest: object
) -> Mistake:
    facts: dict[str, object] = {"scheduler": "slurm", "offline": False} | rest
    return Mistake(what, make, subject, told, remedy, **facts)  # type: ignore[arg-type]


def unimportable(way: str, what: str, told: str, remedy: str) -> Mistake:
    make, name = keys("odd", breaks=way), "unimportable:service"
    return Mistake(what, make, "application", told, remedy, application=name)


def resources(**values: object) -> Make:
    return keys("hpc.resources", **values)


def over_nodes(**values: object) -> Make:
    sections = {"hpc.resources": values, "hpc.container": {"network": "yes"}}
    return lambda site: site.configure(**sections)


def said(text: str, code: int = 255) -> Make:
    return lambda site: site.trouble(text, code)


def both(*makes: Make) -> Make:
    def make(site: CheckSite) -> None:
        for each in makes:
            each(site)

    return make


def templates(**files: str) -> Make:
    def make(site: CheckSite) -> None:
        folder = site.folder / "templates"
        folder.mkdir()
        for name, text in files.items():
            (folder / name.replace("_j2", ".sh.j2")).write_text(text)
        site.configure(hpc={"templates": folder})

    return make


def rewritten(change: Callable[[bytes], bytes]) -> Make:
    return lambda site: site.config.write_bytes(change(site.config.read_bytes()))


def owners(text: str, mode: int = 0o600) -> Make:
    def make(site: CheckSite) -> None:
        file = site.folder / "owners"
        file.write_text(text)
        file.chmod(mode)
        site.configure(hpc={"owners_file": file})

    return make


def owner_command(text: str) -> Make:
    def make(site: CheckSite) -> None:
        file = site.folder / "owner-command"
        file.write_text(text)
        file.chmod(0o755)
        site.configure(hpc={"owner_command": file})

    return make


def spool_of(mode: int) -> Make:
    return lambda site: (site.folder / "spool").chmod(mode)


def another_spool(site: CheckSite) -> None:
    """The table of one service, the spool of another."""
    database = site.folder / "elsewhere.sqlite"
    for place in (site.folder / "first", site.folder / "spool"):
        place.mkdir(mode=0o700, exist_ok=True)
    store = JobStore(f"sqlite:///{database}")
    store.create()
    tie(store, Spool(site.folder / "first"))
    store.engine.dispose()
    other = JobStore(f"sqlite:///{site.folder}/other.sqlite")
    other.create()
    tie(other, Spool(site.folder / "spool"))
    other.engine.dispose()
    site.configure(hpc={"database": f"sqlite:///{database}"})


def two_services(site: CheckSite) -> None:
    """The dispatcher of another service works on this one's spool and table."""
    store = JobStore(f"sqlite:///{site.folder}/spool/jobs.sqlite")
    store.create()
    tie(store, Spool(site.folder / "spool"))
    store.lead("node1:0:7:x", 3600.0, service="0123456789abcdef http://other.example.org/wps")
    store.engine.dispose()


def silent_dispatcher(site: CheckSite) -> None:
    folder = site.folder if site.scheduler == "slurm" else site.folder / "spool"
    store = JobStore(f"sqlite:///{folder}/jobs.sqlite")
    store.create()
    tie(store, Spool(site.folder / "spool"))
    store.engine.dispose()


def sqlite_is_a_folder(site: CheckSite) -> None:
    (site.folder / "spool/jobs.sqlite").mkdir()


def used_port(site: CheckSite) -> None:
    """Some other program listens where the service should."""
    taken = socket.create_server(("127.0.0.1", 0))
    _KEPT.append(taken)
    site.configure(server={"url": f"http://127.0.0.1:{taken.getsockname()[1]}/other"})


_KEPT: list[socket.socket] = []

FATAL = "FATAL:   While checking container encryption: could not open image "

#: Numbers of the list of ordinary mistakes -> what they are and what is told of them.
MISTAKES: dict[str, Mistake] = {
    "1": on_slurm(
        "wrong partition",
        resources(queue="bacth"),
        "[hpc.resources] queue",
        r"no queue or partition bacth; did you mean batch\?",
        "set queue to one of: batch, gpu, long",
    ),
    "1b": on_slurm(
        "wrong partition of one process",
        keys("hpc.process.hello", queue="lomg"),
        "[hpc.process.hello] queue",
        r"no queue or partition lomg; did you mean long\?",
        "set queue to one of",
    ),
    "2": on_slurm(
        "wrong account",
        resources(account="climat"),
        "[hpc.resources] account",
        r"may not charge climat; did you mean climate\?",
        "set account to one of: climate",
    ),
    "2b": on_slurm(
        "a partition that is not the account's",
        resources(queue="gpu", account="climate"),
        "[hpc.resources] account",
        "climate may not use gpu",
        "open to: ml",
    ),
    "3": on_slurm(
        "no association for the service's user",
        lambda site: site.site(associations=""),
        "[hpc.resources] account",
        "has no association with any account",
        "sacctmgr add user",
    ),
    "4": on_slurm(
        "walltime over the partition's limit",
        resources(walltime="02:00:00"),
        "[hpc.resources] walltime",
        "02:00:00 is more than batch allows .01:00:00.: such a job never starts",
        r"at most 01:00:00, or queue to .*long \(7-00:00:00\)",
    ),
    "4b": on_slurm(
        "walltime of one process over its account's limit",
        both(
            keys("hpc.process.hello", walltime="00:50:00"),
            lambda site: site.site(associations="site|climate||normal|00:30:00|\n"),
        ),
        "[hpc.process.hello] walltime",
        "more than the account allows .00:30:00.",
        "at most 00:30:00",
    ),
    "5": on_slurm(
        "memory beyond every node",
        resources(memory="90G"),
        "[hpc.resources] memory",
        "92160 MiB is more than any node of batch has .8000 MiB.",
        "at most 8000M",
    ),
    "5b": on_slurm(
        "memory of one process beyond every node",
        keys("hpc.process.hello", memory="90G"),
        "[hpc.process.hello] memory",
        r"more than any node.*\(process hello\)",
        "at most 8000M",
    ),
    "1c": on_slurm(
        "a queue that clients may choose and that does not exist",
        resources(client_queue="batch, lomg"),
        "[hpc.resources] client_queue",
        r"no queue or partition lomg; did you mean long\?",
        "set client_queue to one of: batch, gpu, long",
    ),
    "2c": on_slurm(
        "an owner's account that the service may not charge",
        keys("hpc.owner.anna", account="climat"),
        "[hpc.owner.anna] account",
        r"may not charge climat; did you mean climate\?",
        "set account to one of: climate",
    ),
    "4c": on_slurm(
        "a rule by the size of the inputs that goes over the partition's limit",
        resources(walltime="00:10:00 + 00:01:00 * input / 1G", max_walltime="02:00:00"),
        "[hpc.resources] max_walltime",
        "02:00:00 is more than batch allows .01:00:00.",
        "set max_walltime to at most 01:00:00",
    ),
    "5g": on_slurm(
        "more memory for clients to ask for than any node has",
        keys("hpc.process.hello", client_memory="1G..90G"),
        "[hpc.process.hello] client_memory",
        "92160 MiB is more than any node of batch has .8000 MiB.",
        "set client_memory to at most 8000M",
    ),
    "5c": on_slurm(
        "memory and processors that no node has together",
        both(
            resources(memory="7G", cpus="6"),
            lambda site: site.site(
                nodes=NODES.replace("c1|8|8000", "c1|4|8000").replace("c2|8|8000", "c2|8|4000")
            ),
        ),
        "[hpc.resources] cpus",
        "no node of batch has 6 cpus, 7168 MiB and 0 gpus together",
        "ask for less",
    ),
    "6": on_slurm(
        "more cpus than any node has",
        resources(cpus="16"),
        "[hpc.resources] cpus",
        "16 is more than any node of batch has .8.",
        "at most 8",
    ),
    "7": on_slurm(
        "gpus where there are none",
        resources(gpus="1"),
        "[hpc.resources] gpus",
        "1 is more than any node of batch has .0.",
        "set gpus to 0",
    ),
    "7b": on_slurm(
        "more nodes than the partition has",
        over_nodes(nodes="3"),
        "[hpc.resources] nodes",
        "3 is more than the nodes of batch that have 1 cpus, 512 MiB and 0 gpus .2.",
        "set nodes to at most 2",
    ),
    "7c": on_slurm(
        "more tasks on a node than it has cpus",
        over_nodes(nodes="2", tasks="24"),
        "[hpc.resources] cpus",
        "12 is more than any node of batch has .8.",
        "at most 8",
    ),
    "7d": Mistake(
        "several nodes without a batch system",
        over_nodes(nodes="2"),
        "[hpc.resources] nodes",
        "2: scheduler = local has one node",
        "set nodes = 1",
    ),
    "7e": on_slurm(
        "tasks that are not the same number on each node",
        over_nodes(nodes="2", tasks="3"),
        "[hpc.resources] tasks",
        "3 is not a multiple of nodes .2.",
        "set tasks to the same number for each node",
    ),
    "7f": on_slurm(
        "several nodes, and a container without network",
        lambda site: site.configure(
            **{"hpc.resources": {"nodes": "2"}, "hpc.container": {"network": "no"}}
        ),
        "[hpc.container] network",
        "have to reach each other by the network .nodes > 1.",
        "set network = yes",
    ),
    "8": Mistake(
        "`memory = 2`",
        resources(memory="2"),
        "[hpc.resources] memory",
        "2 means 2 MiB",
        "write a unit: 2G",
    ),
    "9": Mistake(
        "`walltime = 60`",
        resources(walltime="60"),
        "[hpc.resources] walltime",
        "'60' is not a time; write HH:MM:SS",
        "",
    ),
    "10": Mistake(
        "SQLite in a folder that cannot be used",
        sqlite_is_a_folder,
        "[hpc] database",
        "jobs.sqlite is not a file",
        "name a file",
    ),
    "11": Mistake(
        "spool not writable",
        spool_of(0o500),
        "[hpc] spool",
        "has mode 0500",
        "chmod 700",
    ),
    "12": Mistake(
        "spool missing",
        hpc(spool="/nowhere/spool"),
        "[hpc] spool",
        "/nowhere/spool is not a folder",
        "install -d -m 700 /nowhere/spool",
    ),
    "12b": Mistake(
        "spool relative",
        hpc(spool="spool"),
        "[hpc] spool",
        "'spool' is not an absolute path",
        "set it to: absolute path",
    ),
    "12c": Mistake(
        "a variable that is not set in spool",
        hpc(spool="${NO_SUCH_VARIABLE}/spool"),
        "[hpc] spool",
        r"\$\{NO_SUCH_VARIABLE\}/spool' is not an absolute path",
        "set it to: absolute path",
    ),
    "12d": on_slurm(
        "a variable that is not set in another value",
        keys("hpc.resources", queue="${NO_SUCH_VARIABLE}"),
        "[hpc.resources] queue",
        "the environment variable NO_SUCH_VARIABLE is not set",
        "set NO_SUCH_VARIABLE where the service is started",
        level=W,
        offline=True,
    ),
    "13": on_slurm(
        "spool not on the node",
        lambda site: site.command("run", f"#!/bin/sh\necho 72 > {site.commands}/ended.$1\n"),
        "[hpc] spool",
        "the job's folder is missing on the node",
        "mount the spool there under the same path",
    ),
    "14": Mistake(
        "spool with mode 0777",
        spool_of(0o777),
        "[hpc] spool",
        "has mode 0777",
        "chmod 700",
    ),
    "15": on_slurm(
        "image missing",
        lambda site: site.image.unlink(),
        "[hpc.container] image",
        r"the container image is missing on the compute node \(/.*/service.sif\) on \w+",
        "put it where every node sees it",
    ),
    "16": on_slurm(
        "image not readable for the account",
        said(f"{FATAL}/i.sif: /i.sif is not readable by the current user, check permissions"),
        "[hpc.container] image",
        r"cannot be read on the compute node \(/i.sif\)",
        "chmod a\\+r",
    ),
    "16b": on_slurm(
        "something else than an image",
        said(f"{FATAL}/i.sif: image format not recognized"),
        "[hpc.container] image",
        r"damaged, or is not an image \(/i.sif\)",
        "pywps-hpc image build",
    ),
    "17": on_slurm(
        "image with another Python",
        lambda site: site.another_python("3.1.4"),
        "[hpc.container] image",
        r"python 3.1.4 on \w+, 3\.\d+.* in the service: jobs are refused",
        "build the image with the service's versions",
    ),
    "18": on_slurm(
        "image lacks the service's module",
        keys("hpc.container", python_path=None),
        "[hpc.container] image",
        r"the module odd\w* of the service cannot be imported on",
        "build the image with the service's package|python_path",
        application="odd:service",
    ),
    "19": on_slurm(
        "image lacks pywps-hpc",
        said("/usr/bin/python3: No module named joblauncher", 1),
        "[hpc.container] image",
        "the compute environment lacks pywps-hpc",
        "pywps-hpc image build",
    ),
    "19b": on_slurm(
        "image lacks PyWPS",
        said("Traceback:\nModuleNotFoundError: No module named 'pywps'", 1),
        "[hpc.container] image",
        r"lacks a Python module that pywps-hpc needs \(pywps\)",
        "the same requirements",
    ),
    "19c": on_slurm(
        "image with an older pywps-hpc",
        said("joblauncher: the job's dump has a format that this launcher does not support", 65),
        "[hpc.container] image",
        "another version of pywps-hpc",
        "build it anew",
    ),
    "20": on_slurm(
        "apptainer not on the node",
        lambda site: (site.commands / "apptainer").unlink(),
        "[hpc.container] runtime",
        "the container runtime is missing on the compute node",
        "install it on the nodes",
    ),
    "20b": on_slurm(
        "no user namespaces on the node",
        said("ERROR  : Failed to create user namespace: user namespace disabled"),
        "[hpc.container] runtime",
        "does not let users start containers",
        "user.max_user_namespaces",
    ),
    "20c": on_slurm(
        "no FUSE on the node",
        said("FATAL: squashfuse_ll exited: fuse: failed to open /dev/fuse: Permission denied"),
        "[hpc.container] runtime",
        r"cannot mount images \(FUSE\)",
        "squashfuse",
    ),
    "21": Mistake(
        "a template with an undefined name",
        templates(local_j2="#!/bin/sh\n{{ no_such_name }}\n"),
        "[hpc] templates",
        "local.sh.j2: UndefinedError: 'no_such_name' is undefined",
        "",
    ),
    "21b": Mistake(
        "folder of templates missing",
        hpc(templates="/nowhere"),
        "[hpc] templates",
        "/nowhere is not a folder",
        "set it to: absolute path of a folder",
    ),
    "21c": Mistake(
        "a template with a mistake in its syntax",
        templates(local_j2="#!/bin/sh\n{% if %}\n"),
        "[hpc] templates",
        "local.sh.j2: TemplateSyntaxError: ",
        "correct the template",
    ),
    "22": Mistake(
        "a template misnamed",
        templates(locall_j2="#!/bin/sh\n"),
        "[hpc] templates",
        r"locall.sh.j2 is never used: .*did you mean local.sh.j2\?",
        "the names are base.sh.j2, ",
        level=W,
    ),
    "22b": on_slurm(
        "`module load` in a template fails",
        templates(
            slurm_j2='{% extends "default/slurm.sh.j2" %}{% block environment %}'
            "module load nothing\n{% endblock %}"
        ),
        "[hpc] templates",
        "the batch script says on .*module: .*not found",
        "block environment",
        level=W,
    ),
    "23": Mistake(
        "unknown key",
        hpc(pol_interval="2"),
        "[hpc] pol_interval",
        r"unknown key; did you mean poll_interval\?",
        "",
    ),
    "24": Mistake(
        "`[hpc.resource]`",
        lines("[hpc.resource]\nmemory = 1G\n"),
        "[hpc.resource]",
        "unknown section; known: .*hpc.resources",
        "",
    ),
    "25": Mistake(
        "`[hcp.container]`",
        lines("[hcp.container]\nnetwork = yes\n"),
        "[hcp.container]",
        r"unknown section; did you mean \[hpc.container\]\?",
        "",
        level=W,
    ),
    "25b": Mistake(
        "`[server] allowedinputpath`",
        keys("server", allowedinputpath="/data"),
        "[server] allowedinputpath",
        r"unknown key; did you mean allowedinputpaths\?",
        "",
        level=W,
    ),
    "26": Mistake(
        "`%` in a value of PyWPS's",
        keys("metadata:main", identification_abstract="100 % open"),
        "[metadata:main] identification_abstract",
        "'%' in PyWPS's own sections has to be written '%%'",
        "",
    ),
    "28": Mistake(
        "another port in `url` than the one served",
        keys("server", url="http://127.0.0.1:5001/wps"),
        "[server] url",
        "leads to port 5001, the service listens on 5000",
        "write port 5000 into url",
        bind="127.0.0.1:5000",
    ),
    "28b": Mistake(
        "`url` without a host",
        keys("server", url="/wps"),
        "[server] url",
        "names no host",
        "set it to the address of the endpoint",
        level=W,
    ),
    "29": Mistake(
        "`outputurl` left from before",
        keys("server", outputurl="http://old.example.org/outputs"),
        "[server] outputurl",
        "leads to another host or port than url",
        "remove outputurl",
        level=W,
    ),
    "30": Mistake(
        "`postgres://`",
        hpc(database="postgres://me@host/name"),
        "[hpc] database",
        r"write .*postgresql\+psycopg://user@host/name",
        "",
    ),
    "31": Mistake(
        "psycopg not installed",
        hpc(database="postgresql+psycopg2://me@127.0.0.1:1/name"),
        "[hpc] database",
        "psycopg2 is not installed",
        r"pip install 'pywps-hpc\[postgresql\]'",
    ),
    "32": Mistake(
        "database server down",
        hpc(database="postgresql+psycopg://me:secret@127.0.0.1:1/name", database_timeout="2"),
        "[hpc] database",
        r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/name: .*refused",
        "start the database server",
        also="everybody can read it",
    ),
    "33": Mistake(
        "folder of the SQLite file wrong",
        hpc(database="sqlite:////nowhere/jobs.sqlite"),
        "[hpc] database",
        "there is no folder /nowhere",
        "install -d",
    ),
    "34": Mistake(
        "one database, two spools",
        another_spool,
        "[hpc] spool, database",
        "is not the spool that .hpc. database belongs to",
        "a spool and a database of its own",
    ),
    "35": Mistake(
        "one spool, two services",
        two_services,
        "[hpc] spool, database",
        "the dispatcher of another service uses them .node1, .*http://other.example.org/wps",
        "a spool and a database of its own",
        offline=False,
        also="cannot be reached from this host",
    ),
    "36": on_slurm(
        "one `job_prefix`, two services",
        lambda site: (silent_dispatcher(site), site.foreign_job("w0123456789abcd")),
        "[hpc] job_prefix",
        r"'w' also begins the names of jobs which are not this service's \(w0123456789abcd\)",
        "a job_prefix of its own",
        level=W,
        also="^error    dispatcher",
    ),
    "37": Mistake(
        "typo in `allowedinputpaths`",
        keys("server", allowedinputpaths="/nowhere/data"),
        "[server] allowedinputpaths",
        "/nowhere/data is not a folder on this host",
        "correct the path",
    ),
    "37b": on_slurm(
        "typo in `binds`",
        said(
            "FATAL: container creation failed: while mounting /nodata: mount source /nodata "
            "doesn't exist"
        ),
        "[hpc.container] binds",
        r"a folder that jobs are to see is missing on the compute node.* \(/nodata\)",
        "correct the path, or mount it",
    ),
    "37c": Mistake(
        "typo in `python_path`, without a container",
        keys("hpc.container", python_path="/nowhere/code"),
        "[hpc.container] python_path",
        "/nowhere/code on .*: No such file",
        "correct it",
        offline=False,
    ),
    "38": on_slurm(
        "`python` wrong in the image",
        said("FATAL:   stat /opt/nopython: no such file or directory"),
        "[hpc.container] python",
        r"the interpreter is missing in the container \(/opt/nopython\)",
        "name the Python in the image",
    ),
    "38b": Mistake(
        "`python` wrong on the node",
        keys("hpc.container", python="/opt/nopython"),
        "[hpc.container] python",
        "the interpreter is missing",
        "name an interpreter|name the Python",
        offline=False,
    ),
    "39": on_slurm(
        "commands not found",
        hpc(command_path="/opt/slurm/bin"),
        "[hpc] command_path",
        r"command not found: squeue \(searched /opt/slurm/bin\)",
        "",
    ),
    "40": on_slurm(
        "the file that SLURM_CONF names is missing",
        both(
            hpc(command_environment="SLURM_CONF=/nowhere/slurm.conf"),
            lambda site: site.command(
                "squeue",
                "#!/bin/sh\necho 'squeue: fatal: Could not establish a configuration source' >&2"
                "\nexit 1\n",
            ),
        ),
        "[hpc] command_environment",
        "cannot be reached",
        "SLURM_CONF=/nowhere/slurm.conf: there is no such file",
    ),
    "41": on_slurm(
        "DRMAA library missing",
        hpc(scheduler="drmaa", system="slurm", drmaa_library="/nowhere/libdrmaa.so"),
        "[hpc] drmaa_library",
        "cannot open shared object",
        "must name a libdrmaa.so of this host",
    ),
    "44": Mistake(
        "SSH key that others can read",
        lambda site: _ssh(site, 0o644),
        "[hpc.ssh] key",
        "can be read by others .mode 0644.; chmod 600",
        "",
    ),
    "45": Mistake(
        "started as root",
        hpc(allow_root="no"),
        "account",
        "this is root, and so would be every process",
        "start it as the service's account",
    ),
    "46": Mistake(
        "no dispatcher",
        silent_dispatcher,
        "dispatcher",
        "none runs: clients get HTTP 503",
        "pywps-hpc serve, or pywps-hpc dispatcher",
        offline=False,
    ),
    "48": on_slurm(
        "partition down",
        lambda site: site.site(PARTITIONS.replace("State=UP", "State=DOWN", 1)),
        "[hpc.resources] queue",
        r"batch is closed \(DOWN\): jobs wait",
        "ask them, or set queue to another one: gpu, long",
        level=W,
    ),
    "49": Mistake(
        "section of a process that does not exist",
        keys("hpc.process.repeat_22", memory="1G"),
        "[hpc.process.repeat_22]",
        r"the service has no such process; did you mean \[hpc.process.repeat_2\]\?",
        "its processes are: ",
        level=W,
        application="odd:service",
    ),
    "50": Mistake(
        "file missing",
        lambda site: site.config.unlink(),
        "--config",
        "cannot be read: No such file",
        "",
    ),
    "50b": Mistake(
        "a key twice",
        lines("[hpc.ssh]\nuser = a\nuser = b\n"),
        "--config",
        r"line 36: \[hpc.ssh\] user is set a second time",
        "",
    ),
    "51": Mistake(
        "file with a password that everybody can read",
        both(lines("[mine]\npassword = x\n"), lambda site: site.config.chmod(0o644)),
        "*.cfg",
        r"everybody can read it, and \[mine\] password is in it",
        "chmod o=",
        level=W,
    ),
    "53": Mistake(
        "umask 777",
        lambda site: os.umask(0o777),
        "umask",
        "0777 takes this account its own rights",
        "UMask=",
        also="not writable|Permission|cannot be",
    ),
    "55": Mistake(
        "disk full",
        lambda site: _FULL.update(f_bavail=2),
        "[hpc] spool",
        "has 200 bytes left",
        "make room",
    ),
    "55b": Mistake(
        "no inodes left",
        lambda site: _FULL.update(f_favail=12),
        "[hpc] spool",
        "room for 12 more files",
        "make room",
        level=W,
    ),
    "56": Mistake(
        "port in use",
        used_port,
        "--bind 127.0.0.1:",
        "Address already in use",
        "choose a free HOST:PORT",
        offline=False,
        bind="used",
    ),
    "56b": Mistake(
        "bad `--bind`",
        lambda site: None,
        "--bind somewhere",
        "is not HOST:PORT",
        "choose a free HOST:PORT",
        offline=False,
        bind="somewhere",
    ),
    "57": Mistake(
        "gunicorn missing",
        lambda site: _MISSING.append("gunicorn"),
        "application",
        "gunicorn is not installed",
        r"pip install 'pywps-hpc\[server\]'",
        level=W,
        application="odd:service",
    ),
    "58": Mistake(
        "`mode` wrong",
        keys("processing", mode="distributed"),
        "[processing] mode",
        "must be scheduler",
        "",
    ),
    "59": Mistake(
        "PyWPS's log file relative",
        keys("logging", file="pywps.log"),
        "[logging] file",
        "pywps.log is relative",
        "/var/log/pywps/pywps.log",
        level=W,
    ),
    "59b": Mistake(
        "PyWPS's log file where nobody can write",
        keys("logging", file="/nowhere/pywps.log"),
        "[logging] file",
        "/nowhere/pywps.log: No such file",
        "",
    ),
    "60": Mistake(
        "MODULE:APP wrong",
        lambda site: None,
        "application",
        "there is no module no_such_module",
        "MODULE:NAME",
        application="no_such_module:app",
    ),
    "60b": unimportable(
        "closed",
        "the application opens a file that the account may not",
        r"stations.nc cannot be opened: Permission denied \(\S+unimportable.py, line \d+\)",
        "let the account .* open it, or run this as the account of the service",
    ),
    "60c": unimportable(
        "missing",
        "the application opens a file that is not there",
        r"stations.nc cannot be opened: No such file or directory \(\S+unimportable.py, line \d+\)",
        "make it, or correct its name where the application has it",
    ),
    "60d": unimportable(
        "busy",
        "a file of the application cannot be opened for another reason",
        r"stations.nc cannot be opened: Too many open files \(\S+unimportable.py, line \d+\)",
        "make sure that the account .* can open it on this host",
    ),
    "60e": unimportable(
        "package",
        "the application needs a package that is not installed",
        r"ModuleNotFoundError: No module named 'no_such_package' \(\S+unimportable.py, line \d+\)",
        "install what it needs for .*python",
    ),
    "60f": unimportable(
        "itself",
        "the application's own code fails while it is imported",
        r"RuntimeError: the stations are not here \(\S+unimportable.py, line \d+\)",
        "correct that there; the whole traceback is shown by: .*python.* -c 'import unimportable'",
    ),
    "60g": unimportable(
        "ends",
        "the application ends its interpreter while it is imported",
        "unimportable:service cannot be imported: exit status 3",
        "its interpreter ended: see what it says to .*python.* -c 'import unimportable'",
    ),
    "61": Mistake(
        "unknown runtime",
        keys("hpc.container", runtime="docker"),
        "[hpc.container] runtime",
        "'docker' is not one of: apptainer, singularity, none",
        "",
    ),
    "62": on_slurm(
        "bad constraint in `extra`",
        both(
            resources(extra="--constraint=ib"),
            lambda site: (site.commands / "verdict").write_text(
                "allocation failure: Invalid feature specification\n"
            ),
        ),
        "[hpc.resources] extra",
        "Invalid feature specification",
        "correct or remove the option in extra",
    ),
    "63": on_slurm(
        "`extra` overrides an option of ours",
        resources(extra="--output=/tmp/x"),
        "[hpc.resources] extra",
        "--output: the service sets it itself; leave it out",
        "",
        offline=True,
    ),
    "64": on_slurm(
        "`--hold` in `extra`",
        resources(extra="--hold"),
        "[hpc.resources] extra",
        "--hold: it would keep every job waiting",
        "",
        offline=True,
    ),
    "65": on_slurm(
        "http inputs with `network = no` and `fetch = node`",
        keys("hpc.inputs", schemes="http, https"),
        "[hpc.inputs] fetch",
        "jobs have no network .*: inputs given by http or https fail in ",
        "set fetch = server, or network = yes",
        level=W,
        offline=True,
        application="odd:service",
    ),
    # Of the same kinds
    "66": on_slurm(
        "`array_size` over the site's limit",
        hpc(array_size="5000"),
        "[hpc] array_size",
        "5000 is more than the site allows .1000.",
        "at most 1000",
        level=W,
    ),
    "67": on_slurm(
        "more active jobs than the account may submit",
        lambda site: site.site(associations="site|climate||normal||50\n"),
        "[hpc] max_active",
        "takes 50 jobs of this account at once; the service accepts any number",
        "at most 50",
        level=W,
    ),
    "68": on_slurm(
        "polls more often than the site allows",
        lambda site: site.site(
            config=CONFIG.replace(
                "= (null)", "= rl_enable,rl_bucket_size=40,rl_refill_rate=4,rl_refill_period=60"
            )
        ),
        "[hpc] poll_interval",
        "the site allows 4 a minute",
        "set poll_interval to 30",
    ),
    "69": on_slurm(
        "a QOS that the account may not use",
        resources(extra="--qos=high"),
        "[hpc.resources] extra",
        "the QOS high is not one that the account may use",
        "use one of: normal",
    ),
    "70": Mistake(
        "nothing is ever removed",
        keys("hpc.retention", age="0"),
        "[hpc.retention] age",
        "the spool grows",
        "30d",
        level=W,
    ),
    "71": on_slurm(
        "no container on the nodes",
        keys("hpc.container", runtime="none"),
        "[hpc.container] runtime",
        "without a container",
        "set runtime = apptainer",
        level=W,
        offline=True,
    ),
    "72": Mistake(
        "more processors than this host has, without a batch system",
        resources(cpus="4096"),
        "[hpc.resources] cpus",
        "4096 is more than this host has",
        "set cpus to at most",
        offline=False,
    ),
    "74": on_slurm(
        "all nodes of the partition down",
        lambda site: site.site(nodes=NODES.replace("idle", "drained").replace("mixed", "down*")),
        "[hpc.resources] queue",
        r"batch is closed \(all nodes: down\*, drained\)",
        "ask them$",
        level=W,
    ),
    "75": on_slurm(
        "an option that the runtime does not know",
        said('Error for command "exec": unknown flag: --nonsense\n', 1),
        "[hpc.container] options",
        r"does not know one of its options \(--nonsense\)",
        "correct or remove it",
    ),
    "76": Mistake(
        "a template from Windows",
        templates(local_j2='{% extends "default/local.sh.j2" %}\r\n'),
        "[hpc] templates",
        "has line breaks of Windows",
        "sed -i",
    ),
    "77": Mistake(
        "`outputurl` and `outputpath` of another web server",
        keys("server", outputurl="http://wps.example.org:5000/files", outputpath="/srv/files"),
        "[server] outputurl",
        "outputurl and outputpath are not used: outputs are kept with their jobs",
        "remove both",
        level=W,
    ),
    "73": on_slurm(
        "no room in the node's /tmp",
        said("FATAL: while extracting /i.sif: write /tmp/rootfs-7/x: no space left on device"),
        "[hpc.container] image",
        "no space left for temporary files",
        "make room in /tmp",
    ),
    "14b": Mistake(
        "spool of another account",
        lambda site: _OTHERS.append(1),
        "[hpc] spool",
        r"belongs to another account \(number \d+\)",
        "chown",
    ),
    "42": on_slurm(
        "DRMAA library of another system",
        both(
            hpc(scheduler="drmaa", system="slurm", drmaa_library="/opt/sge/libdrmaa.so"),
            lambda site: _SAID.append("InternalException: Please set SGE_ROOT."),
        ),
        "[hpc] drmaa_library",
        "Please set SGE_ROOT",
        "seems to be gridengine's, but .hpc. system is slurm",
    ),
    "43": on_slurm(
        "SSH host key unknown",
        lambda site: _sshd(site, known=False),
        "[hpc.ssh] known_hosts",
        "its key is unknown",
        "ssh-keyscan",
    ),
    "78": on_slurm(
        "SSH key with a passphrase",
        lambda site: _sshd(site, locked=True),
        "[hpc.ssh] key",
        "is not a private key without a passphrase",
        "ssh-keygen -p",
    ),
    "79": Mistake(
        "a template without the job",
        templates(local_j2="#!/bin/sh\nmodule load apptainer\n"),
        "[hpc] templates",
        "local.sh.j2 makes a script that does not start the job",
        'extends "default/local.sh.j2"',
    ),
    "80": Mistake(
        "a template that extends itself",
        templates(local_j2='{% extends "local.sh.j2" %}'),
        "[hpc] templates",
        "extends itself",
        'extends "default/local.sh.j2"',
    ),
    "81": Mistake(
        "a misspelt block in a template",
        templates(
            local_j2='{% extends "default/local.sh.j2" %}{% block enviroment %}x{% endblock %}'
        ),
        "[hpc] templates",
        "the block enviroment, which nothing prints; did you mean environment",
        "the blocks are",
        level=W,
    ),
    "82": Mistake(
        "a block of a template left open",
        templates(local_j2="{% block environment %}\nmodule load x\n"),
        "[hpc] templates",
        "Unexpected end of template",
        "correct the template",
    ),
    "83": on_slurm(
        "quotes around a value",
        resources(queue='"batch"'),
        "[hpc.resources] queue",
        "may not contain quotes",
        "without quotes",
        offline=True,
    ),
    "84": on_slurm(
        "`python_path` with colons",
        keys("hpc.container", python_path="/usr:/bin"),
        "[hpc.container] python_path",
        "/usr:/bin cannot be bound",
        "one folder a line",
        offline=True,
    ),
    "85": on_slurm(
        "`binds` with the spool in it",
        keys("hpc.container", binds="/:/host"),
        "[hpc.container] binds",
        "the bind / holds the spool",
        "a folder without the spool",
        offline=True,
    ),
    "86": on_slurm(
        "`image` a `docker://` address",
        keys("hpc.container", image="docker://debian:12"),
        "[hpc.container] image",
        "is not an absolute path",
        "pywps-hpc image build",
        offline=True,
    ),
    "87": on_slurm(
        "`image` a folder",
        lambda site: site.configure(**{"hpc.container": {"image": site.commands}}),
        "[hpc.container] image",
        "is a folder without a system in it",
        r"name the \.sif file",
        offline=True,
    ),
    "88": Mistake(
        "two sections of one process",
        lines("[hpc.process.repeat_2]\nmemory = 1G\n[hpc.process.Repeat_2]\nmemory = 2G\n"),
        "[hpc.process.Repeat_2]",
        "differ in case or blanks only",
        "remove one",
        level=W,
    ),
    "89": on_slurm(
        "`localhost` in `url`",
        keys("server", url="http://localhost:5000/wps"),
        "[server] url",
        "means this host on every host",
        "name by which clients reach",
        level=W,
        offline=True,
    ),
    "90": Mistake(
        "`https` in `url`, and no proxy",
        keys("server", url="https://127.0.0.1:5000/wps"),
        "[server] url",
        "is https, but the service itself speaks http on port 5000",
        "write http",
        bind="127.0.0.1:5000",
    ),
    "91": Mistake(
        "`url` with a query",
        keys("server", url="http://wps.example.org:5000/wps?service=WPS"),
        "[server] url",
        "has more than a path",
        "as clients see it",
        level=W,
    ),
    "92": on_slurm(
        "`poll_interval` huge",
        hpc(poll_interval="3600", poll_backoff="3600"),
        "[hpc] poll_interval",
        "is asked every 3600 s only",
        "at most 300",
        level=W,
    ),
    "93": on_slurm(
        "`poll_backoff` below `poll_interval`",
        hpc(poll_interval="30", poll_backoff="5"),
        "[hpc] poll_backoff",
        "5 s is less than poll_interval",
        "at least poll_interval",
        level=W,
    ),
    "94": on_slurm(
        "job table in `/tmp`",
        hpc(database="sqlite:////tmp/pywps-hpc-no-such-table.sqlite"),
        "[hpc] database",
        "is in /tmp, which the system empties",
        "a place that is kept",
        level=W,
        offline=True,
    ),
    "95": Mistake(
        "three strokes instead of four in `database`",
        hpc(database="sqlite:///jobs.sqlite"),
        "[hpc] database",
        "is relative: each part of the service has a table of its own",
        "sqlite:////",
    ),
    "96": Mistake(
        "both metrics at one address",
        keys("hpc.metrics", web="9464", dispatcher="9464"),
        "[hpc.metrics] dispatcher",
        "is the address of web, too",
        "a port of its own",
    ),
    "97": Mistake(
        "results kept for minutes only",
        keys("hpc.retention", age="10min"),
        "[hpc.retention] age",
        "removed 10 min after a job's end",
        "some days",
        level=W,
    ),
    "98": Mistake(
        "minutes or months in `age`",
        keys("hpc.retention", age="6m"),
        "[hpc.retention] age",
        "'6m' may mean minutes or months",
        "6mo for months",
    ),
    "99": Mistake(
        "`walltime = 1:00`",
        resources(walltime="1:00"),
        "[hpc.resources] walltime",
        "'1:00' is not a time",
        "HH:MM:SS",
    ),
    "100": on_slurm(
        "commands that may not be run",
        both(
            lambda site: site.configure(hpc={"command_path": site.commands}),
            lambda site: (site.commands / "squeue").chmod(0o644),
        ),
        "[hpc] command_path",
        "cannot run squeue: it is not executable for this account",
        "give it the right to",
    ),
    "102": on_slurm(
        "a template whose environment ends the script",
        templates(
            slurm_j2='{% extends "default/slurm.sh.j2" %}\n'
            "{% block environment %}exit 0\n{% endblock %}"
        ),
        "[hpc] templates",
        "ended before the launcher began",
        "take exit, exec",
    ),
    "103": Mistake(
        "a section twice",
        lines("[hpc.resources]\nmemory = 1G\n"),
        "--config",
        r"line \d+: \[hpc.resources\] is there a second time",
        "write its keys into the first one",
    ),
    "104": Mistake(
        "a line without `=`",
        lines("[hpc.process.repeat_2]\nmemory 2G\n"),
        "--config",
        r"line \d+: 'memory 2G' is neither .SECTION. nor KEY = VALUE",
        "as a comment",
    ),
    "105": Mistake(
        "a byte order mark",
        rewritten(lambda content: b"\xef\xbb\xbf" + content),
        "--config",
        "begins with a byte order mark",
        "sed -i",
    ),
    "106": Mistake(
        "file in another encoding",
        rewritten(lambda content: content + b"[metadata:main]\nprovider_name = M\xfcller\n"),
        "--config",
        r"line \d+ is not in UTF-8",
        "iconv -f LATIN1 -t UTF-8",
    ),
    "107": Mistake(
        "a comment behind an amount",
        keys("hpc.process.repeat_2", memory="2G ; enough"),
        "[hpc.process.repeat_2] memory",
        "'2G ; enough' is not an amount of memory",
        "write a comment on a line of its own",
    ),
    "108": on_slurm(
        "a comment behind text",
        hpc(command_environment="SLURM_CONF=/etc/slurm.conf # of the cluster"),
        "[hpc] command_environment",
        "'# of the cluster' is part of the value",
        "write a comment on a line of its own",
        level=W,
        offline=True,
    ),
    "109": Mistake(
        "a key that is indented",
        rewritten(lambda content: content.replace(b"\nscheduler", b"\n\tscheduler")),
        "[hpc] spool",
        "control characters",
        "write each key at the beginning of its line",
    ),
    "110": on_slurm(
        "typographic quotes",
        resources(queue="“batch”"),
        "[hpc.resources] queue",
        "“batch”: the quotes are part of it",
        "write it without them",
        offline=True,
    ),
    "111": Mistake(
        "`url` in quotes",
        keys("server", url='"http://wps.example.org:5000/wps"'),
        "[server] url",
        "the quotes are part of it",
        "write it without them",
        also="names no host|begins neither",
    ),
    "112": Mistake(
        "a key in the section of a process that holds for all",
        keys("hpc.process.repeat_2", poll_interval="5"),
        "[hpc.process.repeat_2] poll_interval",
        "unknown key",
        r"write it in \[hpc\]",
    ),
    "113": Mistake(
        "`[DEFAULT]`",
        lines("[DEFAULT]\nmemory = 2G\n"),
        "[DEFAULT]",
        "does not hold for pywps-hpc",
        "write its keys into the sections",
        level=W,
    ),
    "114": Mistake(
        "blanks in the brackets of a section",
        lines("[ hpc.process.repeat_2 ]\nmemory = 2G\n"),
        "[ hpc.process.repeat_2 ]",
        "unknown section",
        r"did you mean \[hpc.process.repeat_2\]",
        level=W,
    ),
    "115": Mistake(
        "a queue without a batch system",
        resources(queue="batch"),
        "[hpc.resources] queue",
        "has no effect: local has none",
        "remove it",
        level=W,
    ),
    "116": on_slurm(
        "`parallel_environment` on Slurm",
        resources(parallel_environment="smp"),
        "[hpc.resources] parallel_environment",
        "has no effect: slurm has none",
        "remove it",
        level=W,
        offline=True,
    ),
    "117": on_slurm(
        "`slots` with a batch system",
        hpc(slots="8"),
        "[hpc] slots",
        "has no effect: it is for scheduler = local",
        "remove it",
        level=W,
        offline=True,
    ),
    "118": on_slurm(
        "a DRMAA library, and `scheduler = slurm`",
        hpc(drmaa_library="/usr/lib/libdrmaa.so"),
        "[hpc] drmaa_library",
        "has no effect: it is for scheduler = drmaa",
        "remove it",
        level=W,
        offline=True,
    ),
    "119": on_slurm(
        "`[hpc.ssh]` without `channel = ssh`",
        keys("hpc.ssh", host="login1"),
        "[hpc.ssh] host",
        "has no effect: commands run on this host",
        "set .hpc. channel = ssh",
        level=W,
        offline=True,
    ),
    "120": Mistake(
        "a size of results without its unit",
        keys("hpc.retention", size="200"),
        "[hpc.retention] size",
        "200 means 200 bytes",
        "write a unit: 200G",
        level=W,
    ),
    "121": Mistake(
        "a size of outputs without its unit",
        hpc(max_output_size="5"),
        "[hpc] max_output_size",
        "5 means 5 bytes",
        "write a unit: 5G",
        level=W,
    ),
    "122": Mistake(
        "memory for clients to ask for, without units",
        resources(client_memory="1..16"),
        "[hpc.resources] client_memory",
        "1 MiB are permitted",
        "write units: 1G..16G",
        level=W,
    ),
    "123": Mistake(
        "an owner's memory without its unit",
        keys("hpc.owner.anna", max_memory="16"),
        "[hpc.owner.anna] max_memory",
        "16 means 16 MiB",
        "write a unit: 16G",
        level=W,
    ),
    "124": Mistake(
        "more processors for clients to ask for than this host has",
        resources(client_cpus="1..4096"),
        "[hpc.resources] client_cpus",
        "4096 is more than this host has",
        "set client_cpus to at most",
        offline=False,
    ),
    "125": on_slurm(
        "typo in `command_path`",
        hpc(command_path="/opt/slrum/bin:/usr/bin"),
        "[hpc] command_path",
        "/opt/slrum/bin is not a folder on this host",
        "with ':' between",
        level=W,
        offline=True,
    ),
    "126": on_slurm(
        "`image` a file that is none",
        keys("hpc.container", image="/etc/hosts"),
        "[hpc.container] image",
        "/etc/hosts does not begin as an image does",
        r"name the \.sif file",
        offline=True,
    ),
    "127": on_slurm(
        "`python_path` a file",
        keys("hpc.container", python_path="/etc/hosts"),
        "[hpc.container] python_path",
        "/etc/hosts is a file",
        "name the folder",
        offline=True,
    ),
    "128": on_slurm(
        "a word in `options` that is no option",
        keys("hpc.container", options="exec"),
        "[hpc.container] options",
        "exec: no option",
        "from a '-' on",
        offline=True,
    ),
    "129": Mistake(
        "metrics at an address of another host",
        keys("hpc.metrics", web="192.0.2.77:9464"),
        "[hpc.metrics] web",
        "nothing can listen on 192.0.2.77 here",
        "name an address of the host",
        level=W,
    ),
    "130": Mistake(
        "a blank in `url`",
        keys("server", url="http://wps.example.org:5000/my wps"),
        "[server] url",
        "has white space in it",
        "as clients see it",
        level=W,
    ),
    "131": Mistake(
        "a misspelt scheme in `url`",
        keys("server", url="htp://wps.example.org/wps"),
        "[server] url",
        "begins neither with http:// nor with https://",
        "as clients see it",
        level=W,
    ),
    "132": Mistake(
        "`outputurl` that is no address",
        keys("server", outputurl="outputs/"),
        "[server] outputurl",
        "outputs/ is no address",
        "remove outputurl",
    ),
    "133": Mistake(
        "commas between folders in `allowedinputpaths`",
        keys("server", allowedinputpaths="/tmp,/var"),
        "[server] allowedinputpaths",
        "/tmp,/var cannot be bound",
        "write ':' between folders",
    ),
    "134": on_slurm(
        "an account in `owners_file` that the service may not charge",
        owners("[anna]\naccount = climat\n"),
        "[hpc] owners_file",
        r".anna. account: the user \w+ may not charge climat; did you mean climate\?",
        "set account to one of: climate",
    ),
    "135": on_slurm(
        "`owners_file` in the form of the configuration",
        owners("[hpc.owner.anna]\naccount = climate\n"),
        "[hpc] owners_file",
        "sections have the owners' own names here",
        r"write \[anna\]",
        offline=True,
    ),
    "136": on_slurm(
        "`owners_file` without sections",
        owners("anna = climate\n"),
        "[hpc] owners_file",
        "line 1: 'anna = climate' is in no section",
        "above it",
        offline=True,
    ),
    "137": on_slurm(
        "`owners_file` that everybody can write",
        owners("[anna]\naccount = climate\n", 0o666),
        "[hpc] owners_file",
        "can be written by everybody",
        "chmod o-w",
        level=W,
        offline=True,
    ),
    "138": on_slurm(
        "`owner_command` fails",
        owner_command("#!/bin/sh\nexit 3\n"),
        "[hpc] owner_command",
        "ended with 3; while that is so, clients get HTTP 503",
        "run it by hand",
    ),
    "140": Mistake(
        "notices to nobody",
        keys("hpc.notices", events="ended"),
        "[hpc.notices] events",
        "nobody is told",
        "set webhook or mail",
        level=W,
    ),
    "141": Mistake(
        "a mail server that is none",
        keys("hpc.notices", mail="hpc@example.org", smtp="127.0.0.1:1"),
        "[hpc.notices] smtp",
        "127.0.0.1:1 takes no mail: Connection refused",
        "name the host and port of a mail server",
        level=W,
        offline=False,
    ),
    "142": Mistake(
        "a webhook that nobody listens at",
        keys("hpc.notices", webhook="http://127.0.0.1:1/hooks/s3cret"),
        "[hpc.notices] webhook",
        "127.0.0.1:1 cannot be reached: Connection refused",
        "correct it",
        level=W,
        offline=False,
    ),
    "139": Mistake(
        "configuration that everybody can write",
        lambda site: site.config.chmod(0o666),
        "*.cfg",
        "everybody can write it",
        "chmod o-w",
        level=W,
    ),
}
_NUMBERED = len(MISTAKES)
_HERE = platform.machine()


def a_file(key: str, text: bytes = b"", *, section: str = "hpc.ssh") -> Make:
    """A key names a file with this in it."""

    def make(site: CheckSite) -> None:
        path = site.folder / f"{key}.pub"
        path.write_bytes(text)
        path.chmod(0o600)
        site.configure(hpc={"scheduler": "slurm", "channel": "ssh"}, **{section: {key: path}})

    return make


def dangling_spool(site: CheckSite) -> None:
    (site.folder / "spool").rmdir()
    (site.folder / "spool").symlink_to("/nowhere/spool")


def spool_file(site: CheckSite) -> None:
    (site.folder / "spool").rmdir()
    (site.folder / "spool").touch()


def spool_with_comma(site: CheckSite) -> None:
    (site.folder / "my,spool").mkdir(mode=0o700)
    site.configure(hpc={"spool": site.folder / "my,spool"})


def folder_for_template(site: CheckSite) -> None:
    templates()(site)
    (site.folder / "templates/local.sh.j2").mkdir()


def template_of(content: bytes) -> Make:
    def make(site: CheckSite) -> None:
        templates()(site)
        (site.folder / "templates/local.sh.j2").write_bytes(content)

    return make


def image_for(machine: bytes) -> Make:
    return lambda site: site.image.write_bytes(SIF + b"01\0" + machine + b"\0".ljust(99, b"\0"))


_EXTENDS = b'{% extends "default/local.sh.j2" %}'
_BOUND = {"schemes": "file"}


def slips(section: str, *made: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """What, key, value, told, remedy of mistakes in one key of a section."""
    for what, key, value, *rest in made:
        yield (what, keys(section, **{key: value}), f"[{section}] {key}", *rest)


#: Errors: what, how it is made, subject, told, remedy.
ERRORS = (
    *slips(
        "hpc.resources",
        ("the batch system's own word for a key", "partition", "batch", "unknown key", "queue"),
        ("the same of another system", "ppn", "4", "unknown key", "did you mean cpus"),
        ("`project` for the account", "project", "climate", "unknown key", "did you mean account"),
        ("`gpus` as in `--gres`", "gpus", "gpu:2", "gpu is no type", "write 2"),
    ),
    *slips(
        "hpc",
        ("the batch system in capital letters", "scheduler", "SLURM", "not one of", "mean slurm"),
        ("the batch system's other name", "scheduler", "SGE", "not one of", "gridengine"),
        ("`retention` as a key", "retention", "30d", "unknown key", r"\[hpc.retention\]"),
        ("a folder of the system as the spool", "spool", "/var", "of the system", "/var/pywps-hpc"),
        ("a comment behind the spool", "spool", "/srv/x # big", "'# big' is part", "of its own"),
        (
            *("a database that is not supported", "database", "mysql://me@host/name"),
            *("mysql:// is not supported", "postgresql"),
        ),
        (
            *("a path for the database's URL", "database", "/var/lib/jobs.sqlite"),
            *("is no URL", "write sqlite:////path"),
        ),
        (
            *("a job table in memory", "database", "sqlite:///:memory:"),
            *("a table of its own", "write sqlite:////path"),
        ),
        (
            *("a port of the database that is no number", "database"),
            *("postgresql+psycopg://me:x@host:abc/name", "port is no number", "host:5432"),
        ),
        (
            *("`@` in the database's password", "database"),
            *("postgresql+psycopg://me:p@ss@host/name", "two @ in it", "%40"),
        ),
        (
            *("quotes around a variable of the commands", "command_environment"),
            *('SLURM_CONF="/etc/slurm.conf"', "quotes", "write SLURM_CONF=/etc/slurm.conf"),
        ),
        (
            *("`export` before a variable of the commands", "command_environment"),
            *("export A=1", "NAME=value", "write A=1"),
        ),
        (
            *("commas between variables of the commands", "command_environment"),
            *("A=1, B=2", "commas end no value", "a line of its own"),
        ),
        (
            *("`user_header` as WSGI has it", "user_header", "HTTP_X_REMOTE_USER"),
            *("not the name of a header", "write X-Remote-User"),
        ),
        (
            *("`Authorization` as `user_header`", "user_header", "Authorization"),
            *("names no account", "name the header"),
        ),
        ("a header to pass with its colon", "pass_headers", "X-Key:", "not the name", "X-Key"),
        ("an option to pass without its section", "pass_options", "key", "no section", "SECTION"),
    ),
    *slips(
        "hpc.container",
        ("the runtime in capital letters", "runtime", "Apptainer", "not one of", "apptainer"),
        ("`gpu_support` by its maker's name", "gpu_support", "nvidia", "not one of", "mean nv"),
        (
            *("options of the runtime in one line", "options", "--nv --cleanenv"),
            *("for one option", "one a line"),
        ),
    ),
    *slips(
        "hpc.inputs",
        (
            *("an address with its mask for a network", "allowed_networks", "10.0.0.1/8"),
            *("host bits set", "write 10.0.0.0/8"),
        ),
        (
            *("an address of the web for a host", "allowed_networks", "https://data.example.org/x"),
            *("address of the web", "write data.example.org"),
        ),
        (
            *("a range of addresses", "allowed_networks", "10.0.0.1-10.0.0.9"),
            *("is a range", "write networks"),
        ),
    ),
    *slips(
        "hpc.notices",
        ("a mail server without its port", "smtp", "mail.example.org", "a port", "org:PORT"),
        ("a mail server as a URL", "smtp", "smtp://mail.example.org:25", "a port", "org:25"),
        ("a sender that is no address", "sender", "pywps", "not a mail address", "name@host"),
    ),
    *slips(
        "hpc.metrics",
        ("metrics at a URL", "web", "http://127.0.0.1:9100/metrics", "a port", "127.0.0.1:9100"),
    ),
    *slips(
        "hpc.owner.anna",
        ("an owner's limit by another name", "max_jobs", "3", "unknown key", "mean max_active"),
        ("an owner's `memory`", "memory", "3G", "unknown key", "mean max_memory"),
    ),
    *slips(
        "logging",
        (
            *("a format of PyWPS's log with an unknown field", "format", "%(time)s %(message)s"),
            *("makes no line .*'time'", "remove it"),
        ),
        (
            *("a path for the database of PyWPS's log", "database", "/var/lib/pywps.sqlite"),
            *("is no URL", "write sqlite:////path/to/file, or remove it"),
        ),
        (
            *("a driver of that database that nobody has", "database", "postgres://u:x@h/n"),
            *("postgres:// is not known", "postgresql.*, or remove it"),
        ),
        (
            *("a folder of that database that is missing", "database", "sqlite:////nowhere/x"),
            *("/nowhere/x: No such file", "set it to another path"),
        ),
    ),
    *slips(
        "server",
        (
            *("folders of inputs on several lines", "allowedinputpaths", "/tmp\n /var"),
            *("several lines", "':' between"),
        ),
        ("a size in words", "maxrequestsize", "20 megabytes", "not a size", "write 20mb"),
    ),
    (
        *("a section in capital letters", rewritten(lambda text: text.replace(b"[hpc]", b"[HPC]"))),
        *("[HPC]", "unknown section", r"write \[hpc\]"),
    ),
    (
        *("blanks in a section's name", rewritten(lambda text: text.replace(b"[hpc]", b"[ hpc ]"))),
        *("[ hpc ]", "unknown section", r"write \[hpc\]"),
    ),
    (
        *("a section for a key", lines("[hpc.database]\nurl = sqlite:////x\n"), "[hpc.database]"),
        *("unknown section", r"database as a key of \[hpc\]"),
    ),
    (
        *("line ends of another system", rewritten(lambda text: text.replace(b"\n", b"\r"))),
        *("--config", "carriage returns alone", "sed -i"),
    ),
    (
        *("a spool that is a link to nothing", dangling_spool, "[hpc] spool"),
        *("symbolic link to /nowhere/spool", "another path"),
    ),
    ("a spool that is a file", spool_file, "[hpc] spool", "but a file", "name a folder"),
    (
        *("an account in the login host", keys("hpc.ssh", host="wps@login1"), "[hpc.ssh] host"),
        *("has an account in it", "host = login1, user = wps"),
    ),
    (
        *("a port in the login host", keys("hpc.ssh", host="login1:2222"), "[hpc.ssh] host"),
        *("has a port in it", "host = login1, port = 2222"),
    ),
    (
        *("the public SSH key", a_file("key", b"ssh-ed25519 AAAA wps"), "[hpc.ssh] key"),
        *("is a public key", "name the private one"),
    ),
    (
        *("a template that is a folder", folder_for_template, "[hpc] templates"),
        *("cannot be read: Is a directory", "make it a file"),
    ),
    (
        *("a template in another encoding", template_of(_EXTENDS + b"{# \xfc #}")),
        *("[hpc] templates", "not in UTF-8", "iconv"),
    ),
    (
        *("a template with a byte order mark", template_of(b"\xef\xbb\xbf" + _EXTENDS)),
        *("[hpc] templates", "byte order mark", "sed -i"),
    ),
)
#: Warnings, likewise.
WARNINGS = (
    *slips(
        "hpc",
        ("`sync_timeout` of a day", "sync_timeout", "86400", "keeps a connection", "300 is usual"),
        ("`database_timeout` of hours", "database_timeout", "3:00:00", "given up", "15 is usual"),
        ("`trusted_proxies` alone", "trusted_proxies", "127.0.0.1", "no effect", "user_header"),
        ("more `slots` than this host has", "slots", "4096", "more than this host", "at most"),
        ("`max_dump_size` of a kilobyte", "max_dump_size", "1K", "that small", "100M"),
    ),
    *slips(
        "hpc.resources",
        ("`max_memory` without a rule", "max_memory", "8G", "is not a rule", "3 \\* input"),
    ),
    *slips(
        "hpc.container",
        ("keys of pilots without a batch system", "pilot_idle", "60", "no effect", "warm = yes"),
    ),
    *slips(
        "processing",
        (
            *("keys of PyWPS's own batch mode", "drmaa_native_specification", "-q x"),
            *("for another mode", "remove it; .*hpc.resources"),
        ),
    ),
    *slips(
        "server",
        (
            *("an IPv6 address without brackets in `url`", "url", "http://2001:db8::1/wps"),
            *("without brackets", "as clients see it"),
        ),
        (
            *("a port of `url` that is no number", "url", "http://wps.example.org:http/wps"),
            *("1 to 65535", "as clients see it"),
        ),
        (
            *("a password in `url`", "url", "http://me:pw@wps.example.org/wps"),
            *("every client", "as clients see it"),
        ),
        ("a bound of requests of zero", "maxrequestsize", "0", "each request", "write 20mb"),
        ("one input larger than a request", "maxsingleinputsize", "2gb", "maxrequestsize", "set"),
    ),
    (
        "`max_active_per_owner` above `max_active`",
        hpc(max_active=10, max_active_per_owner=50),
        *("[hpc] max_active_per_owner", "allows 10 jobs in all", "less than 10"),
    ),
    (
        "every host as a trusted proxy",
        hpc(user_header="X-Remote-User", trusted_proxies="0.0.0.0/0"),
        *("[hpc] trusted_proxies", "names his own account", "name the hosts"),
    ),
    (
        *("every network for inputs", keys("hpc.inputs", **_BOUND, allowed_networks="0.0.0.0/0")),
        *("[hpc.inputs] allowed_networks", "every host of the site", "name the hosts"),
    ),
    (
        "one network allowed and blocked",
        keys("hpc.inputs", allowed_networks="10.0.0.0/8", blocked_networks="10.0.0.0/8"),
        *("[hpc.inputs] blocked_networks", "no effect", "remove one"),
    ),
    (
        *("one input larger than all together", keys("hpc.inputs", max_bytes="100G")),
        *("[hpc.inputs] max_bytes", "max_bytes_per_job", "set it to less"),
    ),
    (
        *("a section named after the batch system", lines("[slurm]\npartition = batch\n")),
        *("[slurm]", "unknown section", r"mean \[hpc.resources\]"),
    ),
    ("a folder without templates", templates(), "[hpc] templates", "no template", "local.sh.j2"),
    (
        "a template of another batch system",
        templates(slurm_j2='{% extends "default/slurm.sh.j2" %}'),
        *("[hpc] templates", "scheduler is local", "local.sh.j2"),
    ),
)
#: Errors on a cluster, likewise.
ON_SLURM = (
    *slips(
        "hpc.resources",
        ("a comma between options in `extra`", "extra", "--exclusive, -b", "of the command", "no"),
        ("blanks around = in `extra`", "extra", "--constraint = a", "of the command", "no blank"),
    ),
    (
        *("a comma in the spool's path", spool_with_comma, "[hpc] spool"),
        *("cannot be bound in a container", "name it otherwise"),
    ),
)
#: Warnings there.
WARNINGS_ON_SLURM = (
    *slips(
        "hpc",
        ("`grace` in milliseconds", "grace", "60000", "shown as running", "60 is usual"),
        ("`command_timeout` of a tenth", "command_timeout", "0.1", "that fast", "30 is usual"),
        ("`submit_timeout` of a second", "submit_timeout", "1", "within minutes", "3600 is usual"),
        ("a relative folder in `command_path`", "command_path", "bin:/usr/bin", "relative", "abs"),
    ),
    (
        *("an image for other processors", image_for(b"04" if _HERE != "aarch64" else b"02")),
        *("[hpc.container] image", "and this host is", "nodes' architecture"),
    ),
)
for _kind, _level, _scheduler in (
    (ERRORS, Level.ERROR, "local"),
    (WARNINGS, W, "local"),
    (ON_SLURM, Level.ERROR, "slurm"),
    (WARNINGS_ON_SLURM, W, "slurm"),
):
    for _facts in _kind:
        MISTAKES[f"{143 + len(MISTAKES) - _NUMBERED}"] = Mistake(
            *_facts, level=_level, scheduler=_scheduler
        )
#: A file system with room (statvfs(3)), and what is changed of it.
_ROOM = {
    "f_frsize": 100,
    "f_blocks": 1 << 40,
    "f_bavail": 1 << 39,
    "f_files": 9,
    "f_favail": 1 << 20,
}
_FULL: dict[str, int] = {}
#: Packages that are not installed.
_MISSING: list[str] = []


def _ssh(site: CheckSite, mode: int) -> None:
    key = site.folder / "key"
    key.write_text("x")
    key.chmod(mode)
    known = site.folder / "known_hosts"
    known.write_text("x")
    known.chmod(0o600)
    site.configure(
        hpc={"scheduler": "slurm", "channel": "ssh", "allow_root": None},
        **{"hpc.ssh": {"host": "h", "user": "u", "key": key, "known_hosts": known}},
    )


def _sshd(site: CheckSite, *, known: bool = True, locked: bool = False) -> None:
    """A login host that is there."""
    folder = site.folder / "sshd"
    folder.mkdir(mode=0o700)
    server = Sshd(folder)
    server.start()
    _SERVERS.append(server)
    own = server.ssh
    hosts, key = folder / "hosts", own.key
    hosts.write_text(server.known_line("ed25519") if known else "")
    hosts.chmod(0o600)
    if locked:
        key = make_key(folder / "locked", passphrase="secret words")
    site.configure(
        hpc={"scheduler": "slurm", "channel": "ssh"},
        **{
            "hpc.ssh": {
                **{"host": own.host, "port": own.port, "user": own.user, "key": key},
                **{"known_hosts": hosts, "timeout": 20},
            }
        },
    )


_SERVERS: list[Sshd] = []
#: What a DRMAA library says; whether the spool is another account's.
_SAID: list[str] = []
_OTHERS: list[int] = []


def _with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    if _OTHERS:
        monkeypatch.setattr(host.os, "geteuid", lambda: 4711)

    def probe(self: DrmaaScheduler) -> str:
        raise SchedulerUnavailable(with_remedy(_SAID[0], "slurm"))

    if _SAID:
        monkeypatch.setattr(DrmaaScheduler, "probe", probe)


@pytest.fixture(autouse=True)
def undone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a mistake changes of this process, and the account of a service."""
    mask = os.umask(0o022)
    os.umask(mask)
    monkeypatch.setenv("ODD_WORD", "forty")
    monkeypatch.setattr(addresses, "TIMING", replace(TIMING, check_answer=0.5))
    _FULL.clear()
    _MISSING.clear()
    yield
    os.umask(mask)
    while _KEPT:
        _KEPT.pop().close()
    while _SERVERS:
        _SERVERS.pop().stop()
    _SAID.clear()
    _OTHERS.clear()


def _with_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    if _FULL:
        full = SimpleNamespace(**(_ROOM | _FULL))
        monkeypatch.setattr(storage.os, "statvfs", lambda path: full)


def _without(monkeypatch: pytest.MonkeyPatch) -> None:
    if _MISSING:
        monkeypatch.setattr(application, "find_spec", lambda name: name not in _MISSING or None)


def _as_account(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    if number != "45":
        monkeypatch.setattr(account, "is_root", lambda: False)
    elif os.geteuid() != 0:
        monkeypatch.setattr(account, "is_root", lambda: True)


@pytest.mark.parametrize("number", MISTAKES)
def test_a_mistake_is_named_with_its_remedy_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    mistake = MISTAKES[number]
    _as_account(monkeypatch, number)
    site = CheckSite(tmp_path, mistake.scheduler)
    mistake.make(site)
    _with_disk(monkeypatch)
    _without(monkeypatch)
    _with_others(monkeypatch)
    bind = mistake.bind
    if bind == "used":
        bind = f"127.0.0.1:{_KEPT[0].getsockname()[1]}"
    found = bad(site.check(offline=mistake.offline, application=mistake.application, bind=bind))
    lines = "\n".join(finding.line for finding in found)
    assert found, "nothing is told"
    named = [
        finding
        for finding in found
        if finding.subject.startswith(mistake.subject) or mistake.subject in ("*.cfg", "--config")
        if re.search(mistake.told, f"{finding.what}; {finding.remedy}")
    ]
    assert named, lines
    told = named[0]
    assert told.level is mistake.level, told.line
    assert told.remedy, told.line
    assert re.search(mistake.remedy, told.remedy), told.line
    rest = [f for f in found if f is not told and not re.search(mistake.also, f.line)]
    assert not rest, lines
    assert "\n" not in told.line
    assert "Traceback" not in told.line


@pytest.mark.parametrize("scheduler", ["local", "slurm"])
def test_a_healthy_site_is_all_green_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    _as_account(monkeypatch, "")
    site = CheckSite(tmp_path, scheduler)
    before = {path for path in tmp_path.rglob("*") if "commands" not in path.parts}
    found = site.check()
    assert not bad(found), "\n".join(finding.line for finding in bad(found))
    assert any(finding.subject.startswith("node ") for finding in found)
    assert {path for path in tmp_path.rglob("*") if "commands" not in path.parts} == before


def _rows() -> dict[str, list[str]]:
    """The rows of the documentation's tables of mistakes, by their first column."""
    text = (ROOT / "docs/check.md").read_text(encoding="utf-8").partition("\n## Mistakes")[2]
    rows = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) >= 4 and row[0] != "mistake"}


@pytest.mark.parametrize("number", MISTAKES)
def test_the_documentation_has_what_is_told(number: str) -> None:
    mistake = MISTAKES[number]
    level, subject, told, remedy = _rows()[mistake.what]
    told, remedy = (text.replace("&lt;", "<").replace("&gt;", ">") for text in (told, remedy))
    assert level == mistake.level.name.lower()
    assert mistake.subject in ("*.cfg", *[subject.strip("`")[: len(mistake.subject)]])
    assert re.search(mistake.told, f"{told}; {remedy}")
    assert re.search(mistake.remedy, remedy)


def test_the_documentation_has_no_other_mistakes() -> None:
    assert _rows().keys() == {mistake.what for mistake in MISTAKES.values()}
