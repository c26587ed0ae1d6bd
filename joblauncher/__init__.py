"""What runs inside the batch job: verify the dump, run the process, leave the truth behind.

This package stands alone on the compute node: it needs the standard library, dill and PyWPS, and
neither a database, nor a scheduler, nor the network.
"""

#: The variable by which code knows that it runs inside a job; it holds the job id.
IN_JOB = "PYWPS_HPC_JOB"
