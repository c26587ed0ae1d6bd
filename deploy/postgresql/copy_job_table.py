"""Copy the job table of a service to another database: ``copy_job_table.py FROM TO``.

Both are URLs as in ``[hpc] database``. The service has to be stopped. The tables of the other
database are made, and have to be empty; nothing is changed in the first one.
"""

from __future__ import annotations

import sys

import sqlalchemy as sa

from pywps_hpc.jobs import JobStore
from pywps_hpc.jobs.schema import metadata

#: Rows at once.
PART = 1000


def copy(source: str, target: str) -> dict[str, int]:
    """How many rows of each table were copied.

    Raises:
        SystemExit: the other database is in use.
    """
    old, new = JobStore(source), JobStore(target)
    old.create()  # brings it to the form of this version
    new.create()
    copied = {}
    with old.engine.connect() as reader, new.engine.begin() as writer:
        for table in metadata.sorted_tables:
            # Making the tables has written facts of the new database, such as its version.
            if table.name == "hpc_jobs":
                if writer.scalar(sa.select(sa.func.count()).select_from(table)):
                    sys.exit(f"{target}: there are jobs already; give an empty database")
            else:
                writer.execute(sa.delete(table))
            copied[table.name] = 0
            for part in reader.execute(sa.select(table)).partitions(PART):
                # By the columns' keys: some have another name in the database.
                rows = [dict(zip(table.c.keys(), row, strict=True)) for row in part]
                writer.execute(sa.insert(table), rows)
                copied[table.name] += len(rows)
    return copied


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for name, number in copy(*sys.argv[1:]).items():
        print(f"{name}: {number}")
