"""What runs inside the batch job: verify the dump, run the process, leave the truth behind.

This package stands alone on the compute node: it needs the standard library, dill and PyWPS, and
neither a database, nor a scheduler, nor the network.
"""
