"""OpenPBS and PBS Professional: the options that the service sets itself (qsub(1B))."""

from __future__ import annotations

from pywps_hpc.systems.options import NOT_SUBMITTED, SET_BY_SERVICE, use_key
from pywps_hpc.systems.pbs import OPTIONS, RESOURCES, Qsub

#: Key -> options that say the same, which may stand in ``extra`` where the key is not set.
KEYS: dict[str, tuple[str, ...]] = {}
#: Key that this system does not support -> what to do instead.
UNSUPPORTED = {
    "qos": "OpenPBS has no quality of service; set queue instead",
    "reservation": "a reservation of OpenPBS is a queue: set queue to its name (R123)",
}
#: Keys that have no effect.
UNUSED = frozenset({"parallel_environment"})

reserved = Qsub(
    options={
        **OPTIONS,
        # -R would remove the log, -P (a project) is the site's own.
        **dict.fromkeys("NoejkJRSVvuCf", SET_BY_SERVICE),
        **dict.fromkeys("IXzG", NOT_SUBMITTED),
    },
    with_value=frozenset("aAcCejJklmMNopPqrRSuvW"),
    resources={
        **RESOURCES,
        "mpiprocs": use_key("tasks"),
        "nodect": use_key("nodes"),
        "ompthreads": use_key("cpus"),
        **dict.fromkeys(("min_walltime", "max_walltime", "soft_walltime"), use_key("walltime")),
        "naccelerators": use_key("gpus"),
    },
    attributes=frozenset({"group_list", "tolerate_node_failures", "umask"}),
).reserved
