"""Fixtures that all tests share: the two servers, and which tests need the cluster."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Helpers that assert; their failures show the values, as a test's own do.
pytest.register_assert_rewrite(
    *("batch_faults", "dialects", "dispatcher_harness", "failpoint_orders", "in_process_service"),
    *("plain_examples", "postgres", "scheduler_contract", "servers", "simulated_cluster", "sshd"),
    *("web_answers", "wps_client"),
)

import parallel
import reliability
import second_run
from in_process_service import pywps_left_as_it_was
from postgres import PATIENCE, Postgres
from pywps_hpc.jobs import JobStore
from reliability import witness as witness
from servers import DefaultServer, HpcServer
from web_answers import other as other
from web_answers import resolver as resolver
from web_answers import web as web

#: Says that the test cluster is up: ``make test`` sets it after starting one.
CLUSTER = "PYWPS_HPC_CLUSTER"

# How long an example takes says nothing where other tests run beside it.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    second_run.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    second_run.register(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    parallel.configure_worker(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return parallel.scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a cluster, its tests are left out and counted; with one, they run or fail."""
    parallel.check(items)
    is_up = os.environ.get(CLUSTER) == "1"
    left_out = [item for item in items if item.get_closest_marker("cluster") and not is_up]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("cluster")]
        config.stash[_LEFT_OUT] = len(left_out)
    parallel.arrange(config, items)


_LEFT_OUT = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    reliability.keep(session.config)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    count = config.stash.get(_LEFT_OUT, 0)
    if count:
        terminalreporter.write_line(
            f"{count} tests on real Slurm and Apptainer left out: {CLUSTER} is not 1, see make test"
        )


@pytest.fixture(scope="module", autouse=True)
def pywps_as_installed() -> Iterator[None]:
    """No module sees what another one's service made of PyWPS."""
    with pywps_left_as_it_was():
        yield


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """No test has the umask that another one left."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A new folder that other accounts may enter; those of ``tmp_path`` are below private ones."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server; what uses it is marked ``cluster``."""
    with Postgres() as server:
        yield server


ON_POSTGRESQL = pytest.param(
    "postgresql", marks=[pytest.mark.cluster, pytest.mark.batch_system("none")]
)


@pytest.fixture(params=["sqlite", ON_POSTGRESQL])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    server.clear()
    return server.url


def _wanted(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a test module sets for its servers: ``SECTIONS`` and ``ENVIRONMENT``."""
    return {
        "sections": getattr(request.module, "SECTIONS", {}),
        "environment": getattr(request.module, "ENVIRONMENT", {}),
    }


@pytest.fixture(scope="module")
def hpc_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HpcServer]:
    """The odd processes as batch jobs of the local scheduler, without a container."""
    with HpcServer(tmp_path_factory.mktemp("hpc"), **_wanted(request)) as server:
        yield server


@pytest.fixture(scope="module")
def default_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DefaultServer]:
    """The odd processes as PyWPS runs them by itself."""
    with DefaultServer(tmp_path_factory.mktemp("default"), **_wanted(request)) as server:
        yield server


@pytest.fixture
def store(database: str) -> Iterator[JobStore]:
    """An empty job table, once in each kind of database."""
    made = JobStore(database, PATIENCE)
    made.create()
    yield made
    made.engine.dispose()
