"""What batch systems say of their limits. Slurm's and Grid Engine's answers are those of 22.05.8
and 8.1.9; those of PBS are written after the manual pages (qstat(1B), pbsnodes(8))."""

from __future__ import annotations

import pytest

from pywps_hpc.dispatch.schedulers.base import SchedulerError, SchedulerUnavailable
from pywps_hpc.dispatch.schedulers.sites import gridengine, pbs, questions_of, slurm
from pywps_hpc.dispatch.schedulers.sites.model import Association, Node, Site, joined
from pywps_hpc.systems import SYSTEMS

PARTITION = """\
PartitionName=batch AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES \
QoS=N/A DefaultTime=00:10:00 DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO \
MaxNodes=UNLIMITED MaxTime=01:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED \
Nodes=c[1-2] PriorityJobFactor=1 \
PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE PreemptMode=OFF State=UP \
TotalCPUs=16 TotalNodes=2 SelectTypeParameters=NONE JobDefaults=(null) DefMemPerNode=UNLIMITED \
MaxMemPerNode=UNLIMITED TRES=cpu=16,mem=16000M,node=2,billing=16
PartitionName=closed AllowAccounts=a,b DenyAccounts=c Default=NO MaxTime=UNLIMITED \
MaxCPUsPerNode=4 State=DRAIN MaxMemPerNode=4000
"""
QUEUES = """\
qname                 all.q
hostlist              vm
pe_list               smp mpi,[vm=make]
slots                 16
h_rt                  INFINITY
h_vmem                INFINITY
qname                 short.q
hostlist              vm \\
                      other
pe_list               NONE
h_rt                  01:00:00,[vm=00:30:00]
h_vmem                4G
"""
INSTANCES = """\
<?xml version='1.0'?>
<job_info>
  <queue_info>
    <Queue-List><name>all.q@a</name><slots_total>16</slots_total><state>d</state></Queue-List>
    <Queue-List><name>all.q@b</name><slots_total>8</slots_total></Queue-List>
    <Queue-List><name>short.q@a</name><slots_total>4</slots_total><state>d</state></Queue-List>
  </queue_info>
  <job_info></job_info>
</job_info>
"""
PBS_QUEUES = """\
Queue: batch
    queue_type = Execution
    resources_max.mem = 8gb
    resources_max.ncpus = 16
    resources_max.walltime = 24:00:00
    enabled = True
    started = True

Queue: night
    queue_type = Execution
    enabled = True
    started = False

"""
OPENPBS_NODES = """\
n1
     Mom = n1
     state = free
     resources_available.mem = 16777216kb
     resources_available.ncpus = 8
     resources_available.ngpus = 2

n2
     state = down
     resources_available.ncpus = 4
"""
TORQUE_NODES = """\
n1
     state = free
     np = 12
     gpus = 1
     status = rectime=1,ncpus=12,physmem=16777216kb,opsys=linux
"""


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_batch_system_is_asked(system: str) -> None:
    assert list(questions_of(system).ask("wps"))


def test_slurm_s_partitions_have_their_nodes() -> None:
    nodes = (
        "pywps-hpc|batch*|c1|8|8000|mixed|(null)\n"
        "pywps-hpc|closed|g1|64|99|drained*|gpu:a100:2(S:0),gpu:1\n"
    )
    site = joined([slurm.read_partitions(0, PARTITION, ""), slurm.read_nodes(0, nodes, "")])
    assert site.queues is not None
    batch, closed = site.queues["batch"], site.queues["closed"]
    assert (batch.is_default, batch.closed, batch.walltime) == (True, "", 3600)
    assert (batch.cpus, batch.memory, batch.accounts) == (None, None, frozenset())
    assert batch.nodes == (Node("c1", 8, 8000, 0),)
    assert (closed.closed, closed.walltime, closed.cpus, closed.memory) == ("DRAIN", None, 4, 4000)
    assert (closed.accounts, closed.refused_accounts) == ({"a", "b"}, {"c"})
    assert closed.nodes == (Node("g1", 64, 99, 3),)
    assert site.closed == {"closed": "all nodes: drained*"}


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("(null)", 0),
        ("gpu", 1),
        ("gpu:2", 2),
        ("gpu:a100:4(S:0-1)", 4),
        ("gpu:a100:4,gpu:v100:2,nvme:1", 6),
        ("nvme:gpu:3", 0),
        ("mgpu:3", 0),
    ],
)
def test_slurm_s_gpus_are_counted(gres: str, gpus: int) -> None:
    assert slurm.gpus(gres) == gpus


def test_slurm_s_configuration_tells_arrays_accounts_and_the_rate_of_requests() -> None:
    text = (
        "AccountingStorageEnforce = associations,limits\nMaxArraySize            = 1001\n"
        "SlurmctldParameters     = rl_enable,rl_refill_rate=4,rl_refill_period=60\n"
    )
    site = slurm.read_config(0, text, "")
    assert (site.enforces_accounts, site.array_size, site.request_rate) == (True, 1000, 4.0)
    quiet = slurm.read_config(0, "AccountingStorageEnforce = none\n", "")
    assert (quiet.enforces_accounts, quiet.request_rate) == (False, None)


def test_slurm_s_associations() -> None:
    text = "site|climate||normal,high|1-00:00:00|50\nsite|other|gpu|normal||\n"
    assert slurm.read_associations(0, text, "").associations == (
        Association("climate", "", frozenset({"normal", "high"}), 86400, 50),
        Association("other", "gpu", frozenset({"normal"})),
    )


@pytest.mark.parametrize(
    ("code", "stderr", "verdict"),
    [
        (0, "sbatch: Job 26010053 to start at 2026-11-29T01:46:23 using 1 processors", ""),
        (
            1,
            "sbatch: error: invalid partition specified: bacth\n"
            "allocation failure: Invalid partition name specified",
            "invalid partition specified: bacth; Invalid partition name specified",
        ),
    ],
)
def test_slurm_s_verdict(code: int, stderr: str, verdict: str) -> None:
    assert slurm.read_verdict(code, "", stderr) == verdict


def test_a_login_host_that_does_not_allow_the_question_is_no_verdict() -> None:
    for read in (slurm.read_verdict, gridengine.read_verdict):
        with pytest.raises(SchedulerUnavailable):
            read(126, "", "refused by this key's forced command: not a command of the service")


def test_grid_engine_s_queues_have_their_slots() -> None:
    parts = [gridengine.read_queues(0, QUEUES, ""), gridengine.read_instances(0, INSTANCES, "")]
    site = joined(parts)
    assert site.queues is not None
    whole, short = site.queues["all.q"], site.queues["short.q"]
    assert (whole.walltime, whole.memory, whole.environments) == (None, None, {"smp", "mpi"})
    assert (whole.closed, [node.cpus for node in whole.nodes]) == ("", [16, 8])
    assert (short.walltime, short.memory, short.environments) == (3600, 4096, frozenset())
    assert short.closed == "state d"


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "verdict"),
    [
        (0, "verification: found suitable queue(s)\n", "", ""),
        (
            1,
            "",
            'Unable to run job: unknown resource "gpu"\nExiting.\n',
            'unknown resource "gpu"',
        ),
        (
            1,
            "",
            'Unable to run job: Job 2930 cannot run in PE "smp" because it only offers 0 slots\n'
            "verification: no suitable queues\nExiting.\n",
            'cannot run in PE "smp" because it only offers 0 slots',
        ),
        (1, "", "verification: no suitable queues\nExiting.\n", "no suitable queues"),
    ],
)
def test_grid_engine_s_verdict(code: int, stdout: str, stderr: str, verdict: str) -> None:
    assert gridengine.read_verdict(code, stdout, stderr) == verdict


def test_grid_engine_s_configuration() -> None:
    text = (
        "#global:\nshell_start_mode unix \\\n  x\nmax_aj_instances             2000\n"
        "max_aj_tasks                 75000\nmax_u_jobs      0\n"
    )
    site = gridengine.read_config(0, text, "")
    assert (site.array_size, site.user_jobs) == (75000, None)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (OPENPBS_NODES, (Node("n1", 8, 16384, 2), Node("n2", 4, None, 0))),
        (TORQUE_NODES, (Node("n1", 12, 16384, 1),)),
    ],
)
def test_every_pbs_tells_queues_and_nodes(nodes: str, expected: tuple[Node, ...]) -> None:
    server = "Server: head\n    default_queue = batch\n    max_array_size = 10000\n"
    site = joined(
        [
            pbs.read_queues(0, PBS_QUEUES, ""),
            pbs.read_server(0, server, ""),
            pbs.read_nodes(0, nodes, ""),
        ]
    )
    assert site.queues is not None
    assert (site.default_queue, site.array_size) == ("batch", 10000)
    batch, night = site.queues["batch"], site.queues["night"]
    assert (batch.walltime, batch.cpus, batch.memory) == (86400, 16, 8192)
    assert (batch.closed, night.closed) == ("", "not started")
    assert batch.nodes == night.nodes == expected


@pytest.mark.parametrize(
    "read",
    [
        *(slurm.read_partitions, slurm.read_nodes, slurm.read_config, slurm.read_associations),
        *(gridengine.read_queues, gridengine.read_instances, gridengine.read_config),
        *(pbs.read_queues, pbs.read_server, pbs.read_nodes),
    ],
)
def test_a_question_that_is_not_answered_leaves_its_part_unknown(read: object) -> None:
    assert callable(read)
    with pytest.raises(SchedulerError):
        read(1, "", "no such thing")
    assert joined([]) == Site()
