"""A pilot is killed while its jobs stand at every step of a launcher, on a real batch system."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import failpoint_orders
import pilot_site
import servers
import wps_client as client
from pilot_site import Queue

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
STEPS = [s for s in failpoint_orders.STEPS if s.startswith(("launch.", "publish.", "conclude."))]
#: A success that a document has told stands, as does a failure (conclude.2).
SUCCEED = {"publish.2", "conclude.1", "conclude.3"}


@pytest.fixture(params=[pilot_site.param("slurm")])
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    yield from pilot_site.queue_of(request, request.param)


def test_a_pilot_killed_at_any_step_of_its_jobs_loses_doubles_and_hides_nothing(
    queue: Queue,
) -> None:
    own = {**failpoint_orders.JOB_SECTION, "pilot_slots": len(STEPS)}
    with pilot_site.service(queue, "odd:service", **own) as server:
        jobs: dict[str, str] = {}
        with failpoint_orders.held(server):
            for step in STEPS:
                process = "os_exit" if step == "conclude.2" else "sleeper"
                inputs = [] if process == "os_exit" else [("seconds", "0.1")]
                jobs[step] = client.submit(server.url, process, inputs)
                job = server.job(client.job_id_of(jobs[step]))
                failpoint_orders.of_job(job).give(step, "stop")
        for step, location in jobs.items():
            job = server.job(client.job_id_of(location))
            failpoint_orders.of_job(job).await_done(step)
        waiting = client.submit(server.url, "sleeper", [("seconds", "0.1")])
        servers.wait_for(
            lambda: pilot_site.state(server, waiting) == "queued", "it waits in the pilot", 20
        )
        pilot_site.kill(server)
        ends = {step: client.await_end(location) for step, location in jobs.items()}
        told = {step: client.message_of(document) for step, document in ends.items()}
        for step, document in ends.items():
            if step in SUCCEED:
                assert client.state_of(document) == "ProcessSucceeded", step
            else:
                assert client.state_of(document) == "ProcessFailed", step
                why = "exit code 3" if step == "conclude.2" else "the pilot that ran it ended"
                assert why in told[step]
        document = client.await_end(waiting)
        assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
        for location in (*jobs.values(), waiting):
            assert server.job(client.job_id_of(location)).attempts() == {0}
            document = client.get(location).content
            ended = client.state_of(document) == "ProcessSucceeded"
            assert pilot_site.state(server, location) == ("succeeded" if ended else "failed")
