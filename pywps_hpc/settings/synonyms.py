"""What other programs call our keys and values: the names that an administrator writes first."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

from pywps_hpc.systems import CALLED

#: Names of keys elsewhere (sbatch(1), qsub(1), other bridges) -> ours.
_KEYS = {
    **dict.fromkeys(("partition", "partitions", "destination", "q"), "queue"),
    **dict.fromkeys(("project", "charge", "allocation", "account_name", "billing"), "account"),
    **dict.fromkeys(
        ("cpus_per_task", "ncpus", "ppn", "cores", "ncores", "slots", "threads", "num_cpus"), "cpus"
    ),
    **dict.fromkeys(("ntasks", "mpiprocs", "ranks", "np", "num_tasks"), "tasks"),
    **dict.fromkeys(("nnodes", "num_nodes", "select", "hosts"), "nodes"),
    **dict.fromkeys(
        ("mem", "mem_per_node", "mem_per_cpu", "ram", "vmem", "pmem", "h_vmem", "mem_free"),
        "memory",
    ),
    **dict.fromkeys(
        ("time", "time_limit", "timelimit", "h_rt", "wall_time", "duration", "runtime_limit"),
        "walltime",
    ),
    **dict.fromkeys(("gres", "gpu", "ngpus", "gpus_per_node"), "gpus"),
    **dict.fromkeys(("pe", "parallel_env"), "parallel_environment"),
    **dict.fromkeys(("options", "native", "native_specification", "extra_args", "args"), "extra"),
    **dict.fromkeys(("batch_system", "system", "backend", "manager"), "scheduler"),
    **dict.fromkeys(("spool_dir", "spooldir", "workdir", "work_dir"), "spool"),
    **dict.fromkeys(("db", "database_url", "dsn", "db_url"), "database"),
    **dict.fromkeys(("hostname", "server", "login_host"), "host"),
    **dict.fromkeys(("username", "login", "account_name"), "user"),
    **dict.fromkeys(("identity_file", "identityfile", "private_key", "key_file"), "key"),
    **dict.fromkeys(("mounts", "bind", "volumes", "bind_paths"), "binds"),
    **dict.fromkeys(("sif", "container", "image_path"), "image"),
    **dict.fromkeys(("env", "variables"), "environment"),
    **dict.fromkeys(("pythonpath",), "python_path"),
    **dict.fromkeys(("max_age", "days", "keep", "period"), "age"),
    **dict.fromkeys(("max_size",), "size"),
    **dict.fromkeys(("max_jobs", "jobs", "limit", "quota"), "max_active"),
    **dict.fromkeys(("email", "recipients", "to"), "mail"),
    **dict.fromkeys(("url", "hook"), "webhook"),
    **dict.fromkeys(("smtp_server", "smtp_host", "mail_server"), "smtp"),
    **dict.fromkeys(("from", "mail_from"), "sender"),
}
#: What people call batch systems and the like otherwise, in lower case and without signs.
_VALUES = {
    **CALLED,
    **dict.fromkeys(("no", "off", "false"), ("none",)),
    **dict.fromkeys(("asynchronous",), ("async",)),
    **dict.fromkeys(("synchronous",), ("sync",)),
    **dict.fromkeys(("nvidia", "cuda"), ("nv",)),
    **dict.fromkeys(("amd", "hip"), ("rocm",)),
    **dict.fromkeys(("failure", "error", "errors"), ("failed",)),
    **dict.fromkeys(("finished", "success", "end"), ("ended",)),
    **dict.fromkeys(("dispatcher", "service", "yes"), ("server",)),
}


def key_named(name: str, known: Collection[str]) -> str:
    """Which of these keys has this name, here or elsewhere; empty: none."""
    plain = name.lower().replace("-", "_")
    ours = next((key for key in (plain, _KEYS.get(plain, "")) if key in known), "")
    return ours or (f"max_{plain}" if f"max_{plain}" in known else "")


def key_meant(name: str, known: Collection[str]) -> str:
    """The same, or one that is spelt likewise; empty: nobody knows."""
    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    return key_named(name, known) or next(iter(near), "")


def values_meant(value: str, allowed: Collection[str]) -> list[str]:
    """Which of the allowed values may have been meant by one that is not among them."""
    plain = re.sub(r"[\W_]", "", value.lower())
    meant = [name for name in _VALUES.get(plain, (plain,)) if name in allowed]
    return meant or difflib.get_close_matches(value.lower(), allowed, n=1)
