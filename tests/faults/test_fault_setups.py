"""Batch systems as some sites set them up: they forget soon, keep no accounting, or hold no job to
its memory by cgroups."""

from __future__ import annotations

import time

import pytest

import servers
from batch_faults import ON_SITES, SITES, Slurm, Watch, agree, faulty_server, release, row_of, send
from pywps_hpc.dispatch.decide import messages
from reliability import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]
#: slurmctld takes some ten seconds until it tells a slurmdbd that is back what happened meanwhile.
GRACE, PATIENT = 10.0, 30.0
SECTIONS: dict[str, dict[str, object]] = {
    "hpc": {"poll_interval": 0.5, "poll_backoff": 1, "grace": GRACE, "command_timeout": 5},
    "hpc.resources": {"memory": "300M"},
}
NO_CGROUPS = {
    "ProctrackType": "proctrack/linuxproc",
    "TaskPlugin": "task/none",
    "JobAcctGatherType": "jobacct_gather/linux",
    "JobAcctGatherParams": "OverMemoryKill",
    "JobAcctGatherFrequency": "task=1",
}

NO_ACCOUNTING = {
    "AccountingStorageType": "accounting_storage/none",
    "AccountingStorageHost": None,
    "AccountingStoragePort": None,
    "AccountingStoragePass": None,
    "AccountingStorageEnforce": None,
    "AccountingStoreFlags": None,
}


def _id(server: servers.HpcServer, job: Watch) -> str:
    job.until("ProcessStarted", "left")
    return str(row_of(server, job, "running")["native_id"])


@pytest.mark.parametrize("name", ON_SITES)
def test_records_of_ended_jobs_have_aged_out(name: str, witness: Witness) -> None:
    """The service stands still while its jobs end, for so long that nobody knows them any more."""
    site = SITES[name]()
    sections = SECTIONS if name == "Slurm" else {"hpc": SECTIONS["hpc"]}
    with faulty_server("setups", site, sections, records=False) as server, site.forgetful():
        bad = send(server, wait=1)
        native_ids = [_id(server, bad)]
        good = send(server, wait=1)
        native_ids += [_id(server, good)]
        assert good.state == "ProcessStarted"
        server.kill9_all()
        release(server, good)
        servers.wait_for(lambda: server.has_succeeded(good.job_id), "one ends by itself")
        servers.shoot(server.job_processes())  # and the other one leaves no word
        site.purge(native_ids)
        begun = time.time()
        server.start()
        agree(server, site, [good, bad])
        assert good.state == "ProcessSucceeded", good.told()
        assert bad.message == messages.LOST
    how = (
        "all parts of the service killed until slurmctld (MinJobAge) and accounting have no record"
        if name == "Slurm"
        else "all parts of the service killed until the accounting file was rotated"
    )
    for job, end in ((good, "a result"), (bad, "no word")):
        fault = f"records of a job have aged out that left {end}"
        witness(fault, how, job.message, job.ended - begun, name)


def test_accounting_comes_late(witness: Witness) -> None:
    """slurmctld has forgotten a job before the accounting, which was down, hears of its end; the
    service stood still meanwhile."""
    site = Slurm()
    sections = SECTIONS | {"hpc": SECTIONS["hpc"] | {"grace": PATIENT}}
    with faulty_server("setups", site, sections) as server, site.forgetful():
        job = send(server, wait=1)
        native_id = _id(server, job)
        with site.down("slurmdbd"):
            server.kill9_all()
            site.cancel(native_id)
            site.await_forgotten(native_id)
            server.start()
            time.sleep(PATIENT + 2)
            assert job.state == "ProcessStarted", job.told()  # that is not "lost"
            begun = time.time()
        told = job.end()
        assert told.startswith("cancelled by an administrator of the cluster"), job.told()
        agree(server, site, [job])
    witness(
        "accounting late: nobody knows meanwhile how a job ended",
        "slurmdbd and the service stopped until slurmctld (MinJobAge) had no record; "
        "the service started, and slurmdbd later than the grace",
        told,
        job.ended - begun,
        "Slurm",
    )


def test_a_site_without_accounting(witness: Witness) -> None:
    site = Slurm()
    with (
        faulty_server("setups", site, SECTIONS, records=False) as server,
        site.set_up(**NO_ACCOUNTING),
    ):
        bad, good = send(server, wait=1), send(server)
        native_id = _id(server, bad)
        begun = time.time()
        site.cancel(native_id)
        told = bad.end()
        assert told.startswith("cancelled by an administrator of the cluster"), bad.told()
        assert good.end() == "PyWPS Process counts finished"
        agree(server, site, [bad, good])
    witness(
        "accounting off: the site keeps none",
        "a Slurm with accounting_storage/none; scancel by root",
        told,
        bad.ended - begun,
        "Slurm",
    )


def test_memory_limit_without_cgroups(witness: Witness) -> None:
    site = Slurm()
    with faulty_server("setups", site, SECTIONS) as server, site.set_up(**NO_CGROUPS):
        job = send(server, "greedy", mebibytes=600)
        told = job.end()
        assert told.startswith("killed: used more than the 300 MB asked for"), job.told()
        agree(server, site, [job])
        known = site.knew_at(str(row_of(server, job, "failed")["native_id"]))
    witness(
        "memory limit, without cgroups",
        "the process takes more than it asked for, on a Slurm that measures it every second",
        told,
        max(0.0, job.ended - known),
        "Slurm",
    )
