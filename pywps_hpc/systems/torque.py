"""TORQUE: the options that the service sets itself (qsub(1B))."""

from __future__ import annotations

from pywps_hpc.systems.options import NOT_SUBMITTED, SET_BY_SERVICE, use_key
from pywps_hpc.systems.pbs import OPTIONS, RESOURCES, Qsub

reserved = Qsub(
    options={
        **OPTIONS,
        "L": "set cpus, memory, walltime and gpus by the keys of these names",
        **dict.fromkeys("NoejktJdwDSVvuPCfF", SET_BY_SERVICE),
        **dict.fromkeys("IXxz", NOT_SUBMITTED),
    },
    with_value=frozenset("aAbcCdDeFijJkKlLmMNopPqrStTuvwW"),
    resources={**RESOURCES, "place": use_key("cpus")},
    attributes=frozenset({"group_list", "job_radix", "umask", "x"}),
).reserved
