"""Every exception of the package belongs to one tree, and is caught as before."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import pywps_hpc
from pywps_hpc import errors
from pywps_hpc.dispatch.schedulers.base import SchedulerError, SchedulerUnavailable
from pywps_hpc.errors import HpcError
from pywps_hpc.jobs import (
    LeadershipLost,
    LimitReached,
    SchemaTooNew,
    SchemaTooOld,
    TableMissing,
    TableUnavailable,
)
from pywps_hpc.settings import SettingsError

#: Of other families: the command line's and the web server's answers to a client, words of a
#: protocol that are caught where they are raised, and a program that has nothing but Python.
OTHERS = {"NoTable", "Malformed", "Refused", "Problem"}


def test_all_are_of_one_tree() -> None:
    found = {}
    for module in pkgutil.walk_packages(pywps_hpc.__path__, "pywps_hpc."):
        if module.name.endswith("__main__"):
            continue
        for name, thing in vars(importlib.import_module(module.name)).items():
            if _is_ours(thing):
                found[name] = thing
    assert len(found) > 15
    foreign = {
        name
        for name, thing in found.items()
        if not issubclass(thing, HpcError) and not _is_an_answer(thing)
    }
    assert foreign - OTHERS == set()


def _is_ours(thing: object) -> bool:
    return (
        inspect.isclass(thing)
        and issubclass(thing, Exception)
        and thing.__module__.startswith("pywps_hpc")
    )


def _is_an_answer(thing: type[Exception]) -> bool:
    """Whether it is PyWPS's or werkzeug's, by which the web server answers."""
    return any(base.__module__.startswith(("pywps.", "werkzeug.")) for base in thing.__mro__)


def test_the_docstring_shows_each_that_several_parts_know() -> None:
    assert errors.__doc__ is not None
    own = [name for name, thing in vars(errors).items() if inspect.isclass(thing)]
    assert [name for name in own if name not in errors.__doc__] == []


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (SettingsError("x"), (ValueError, HpcError)),
        (errors.ForeignSpool("x"), (SettingsError, ValueError)),
        (SchedulerUnavailable("x"), (SchedulerError, HpcError)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_is_caught_as_what_it_was(
    error: Exception, kinds: tuple[type[Exception], ...]
) -> None:
    for kind in kinds:
        assert isinstance(error, kind)


def test_what_may_succeed_later_says_so() -> None:
    assert TableUnavailable("x").transient
    assert SchedulerUnavailable("x").transient
    for lasting in (SettingsError, TableMissing, LeadershipLost, SchedulerError):
        assert not lasting("x").transient
    for lasting in (SchemaTooNew, SchemaTooOld, LimitReached):
        assert not lasting.transient
