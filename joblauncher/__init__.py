"""What runs inside the batch job: verify the dump, run the process, leave the truth behind.

This package stands alone on the compute node: it imports the standard library, dill, PyWPS and what
PyWPS itself requires, and uses neither a database, nor a scheduler, nor the network but for inputs
by reference.
"""
