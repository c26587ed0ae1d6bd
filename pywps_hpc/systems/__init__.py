"""The batch systems that have commands of their own, by name: the registry.

A system's name in the configuration is also the name of its modules and of its template:

* ``systems/NAME.py``: the options that an administrator must not set, and the keys that the system
  does not support (read by the settings);
* ``dispatch/schedulers/dialects/NAME.py``: its dialect, with all that only the dispatcher needs;
* ``dispatch/schedulers/sites/NAME.py``: how it is asked for what the site allows (``check``);
* ``job_templates/NAME.sh.j2``: its batch script.

This package imports neither the settings nor the dispatcher: both import it.
"""

#: One line a system.
SYSTEMS = (
    "slurm",
    "gridengine",
    "torque",
    "openpbs",
)
#: Another name in the configuration -> the batch system's.
ALIASES = {"pbspro": "openpbs"}
#: What people call a batch system in other places, in lower case and without signs -> the batch
#: systems that may be meant.
CALLED = {
    **dict.fromkeys(("sge", "ge", "uge", "oge", "ogs", "soge", "univa"), ("gridengine",)),
    **dict.fromkeys(("pbs", "qsub"), ("openpbs", "torque")),
    **dict.fromkeys(("sbatch", "slurmdrmaa"), ("slurm",)),
    **dict.fromkeys(("maui", "moab", "torquepbs"), ("torque",)),
}
