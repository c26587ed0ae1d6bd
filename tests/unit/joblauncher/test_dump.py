"""What goes to the node by name, what by value, and in which state it arrives there.

Each test writes a service's modules, sends ``job`` of one of them from one fresh interpreter, and
calls it in another.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

#: Loads a module as a server does, and writes the dump of its ``job``, twice.
_SEND = """
import importlib, importlib.util, runpy, sys
from pathlib import Path
folder, how, out = sys.argv[1:4]
sys.path.insert(0, folder)
from joblauncher.shared import dump as payload
if how == "import":
    module = vars(importlib.import_module("app"))
elif how == "main":
    source = Path(folder, "app.py").read_text()
    exec(compile(source, str(Path(folder, "app.py")), "exec"), globals())
    module = globals()
else:
    spec = importlib.util.spec_from_file_location(how, Path(folder, "app.py"))
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[how] = loaded
    spec.loader.exec_module(loaded)
    module = vars(loaded)
first, second = payload.dump(module["job"]), payload.dump(module["job"])
assert first == second
Path(out).write_bytes(first)
"""
_RUN = """
import faulthandler, json, sys
from pathlib import Path
faulthandler.dump_traceback_later(20, exit=True)
sys.path.append(sys.argv[1])
from joblauncher.shared import dump as payload
job = payload.load(Path(sys.argv[2]).read_bytes())
print(json.dumps(job()))
"""
#: How a server comes by the module: an import, a script, and what mod_wsgi and uWSGI do.
HOWS = ("import", "main", "_mod_wsgi_1f3870be274f6c49", "uwsgi_file_app")


def carry(folder: Path, how: str = "import", **sources: str) -> Any:
    """What ``job()`` returns on the other side.

    Args:
        folder: to work in.
        how: how the module ``app`` is loaded, one of :data:`HOWS`.
        sources: text of modules; all but ``app`` can be imported on the other side, and it too if
            it was imported here.
    """
    here, there = folder / "here", folder / "there"
    for place in (here, there):
        place.mkdir()
    for name, source in sources.items():
        for place in (here, there) if name != "app" or how == "import" else (here,):
            (place / f"{name}.py").write_text(textwrap.dedent(source))
    dump = folder / "dump"
    _python(_SEND, here, how, dump)
    return json.loads(_python(_RUN, there, dump))


def _python(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("how", HOWS)
def test_a_lock_arrives_free(tmp_path: Path, how: str) -> None:
    app = """
    import functools, threading
    LOCK, PLAIN = threading.RLock(), threading.Lock()
    def make():
        inner = threading.RLock()
        inner.acquire(); PLAIN.acquire()
        class Local:
            own = threading.Condition()
            @functools.cached_property
            def table(self):
                return "read"
        local = Local()
        def job():
            with LOCK, inner, Local.own:
                return [PLAIN.acquire(timeout=1), local.table]
        return job
    job = make()
    """
    # An importable module is imported anew there, and takes its lock itself.
    assert carry(tmp_path, how, app=app) == [how != "import", "read"]


@pytest.mark.parametrize("how", HOWS)
def test_one_object_stays_one(tmp_path: Path, how: str) -> None:
    parts = """
    import ctypes, sqlite3, threading
    CACHE, UNSET = {}, object()
    CONNECTION, LIBRARY, HERE = sqlite3.connect(":memory:"), ctypes.CDLL(None), threading.local()
    def remember(key, value):
        CACHE[key] = value
    def is_unset(value=UNSET):
        return value is UNSET
    def make_reader(cache=CACHE):
        missing = UNSET
        return lambda key: [cache.get(key), is_unset(missing)]
    reader = make_reader()
    """
    app = """
    from parts import CACHE, CONNECTION, UNSET, is_unset, make_reader, reader, remember
    COUNT, OWN = 0, []
    def count():
        global COUNT
        COUNT += 1
        OWN.append(COUNT)
    def make():
        cache, default, other = CACHE, UNSET, make_reader()
        def job(value=UNSET):
            remember("grid", "0.5")
            count(), count()
            row = CONNECTION.execute("select 7").fetchone()[0]
            same = [is_unset(value), is_unset(default), is_unset(UNSET), other is not reader]
            return [cache.get("grid"), CACHE.get("grid"), same, other("grid"), COUNT, OWN, row]
        return job
    job = make()
    """
    found = carry(tmp_path, how, app=app, parts=parts)
    assert found == ["0.5", "0.5", [True] * 4, ["0.5", True], 2, [1, 2], 7]


@pytest.mark.parametrize("how", HOWS)
def test_what_is_not_needed_stops_nothing(tmp_path: Path, how: str) -> None:
    app = """
    import contextvars, ctypes, enum, multiprocessing, socket, sqlite3, threading
    CONNECTION, SOCKET, LIBRARY = sqlite3.connect(":memory:"), socket.socket(), ctypes.CDLL(None)
    HERE, VARIABLE = threading.local(), contextvars.ContextVar("VARIABLE", default=5)
    def make_level():
        class Level(enum.IntEnum):
            LOW, HIGH = 1, 2
            @property
            def shout(self):
                return self.name + "!"
        return Level
    Level = make_level()
    def rows():
        return CONNECTION.execute("select 1")
    GUARD = multiprocessing.Lock()
    class Store:
        connection, lock = sqlite3.connect(":memory:"), threading.Lock()
        table = {"three": 3}
        def close(self):
            self.connection.close()
            SOCKET.close(); CONNECTION.close(); rows()
        def level(self) -> CONNECTION:
            HERE.x = self.table["three"]
            with GUARD, self.lock:
                HERE.x += 1
            return [Level.HIGH.shout, Level(1) is Level.LOW, VARIABLE.get(), LIBRARY.abs(-HERE.x)]
    job = Store().level
    """
    assert carry(tmp_path, how, app=app) == ["HIGH!", True, 5, 4]


@pytest.mark.parametrize("how", HOWS)
def test_classes_keep_what_they_are_made_of(tmp_path: Path, how: str) -> None:
    parts = """
    import abc
    KINDS = []
    class Plug:
        def __init_subclass__(cls, *, label="none", **more):
            super().__init_subclass__(**more)
            KINDS.append(cls.__name__)
    class Base(abc.ABC):
        @abc.abstractmethod
        def area(self): ...
        def shown(self):
            return f"{type(self).__name__} {self.area()}"
    """
    app = """
    import collections, dataclasses, enum, functools, typing, xml
    import xml.dom.minidom
    from parts import KINDS, Base, Plug
    T = typing.TypeVar("T")
    class Mixin:
        twice = staticmethod(lambda value: value * 2)
        def area(self):
            return self.twice(self.side)
    def traced(function):
        @functools.wraps(function)
        def inner(*arguments):
            return ["traced", function(*arguments)]
        return inner
    @traced
    def helper(value: "T") -> list[T]:
        return value + 1
    @functools.lru_cache
    def cached(value):
        return value * 10
    def make():
        @dataclasses.dataclass(order=True)
        class Point:
            x: int
            tags: list = dataclasses.field(default_factory=list)
        class Square(Mixin, Plug, Base, label="s"):
            __slots__ = ("side",)
            def __init__(self, side):
                super().__init__()
                self.side = side
            def copy(self):
                return Square(self.side)
        class Circle(Base):
            pi = [3]
            def area(self):
                return self.pi[0]
        class Box(typing.Generic[T]):
            class Inner(Point):
                def twin(self):
                    return type(self)(self.x)
            def __init__(self, value: T): self.value = value
        class Pair(typing.NamedTuple):
            left: int
            right: int = 4
        Row = collections.namedtuple("Row", "a b")
        class Colour(str, enum.Enum):
            RED = "r"
            ROT = "r"
            def __init__(self, *_): self.length = 5
        class Bits(enum.Flag):
            A, B = 1, 2
        square, both = Square(3), Bits.A | Bits.B
        def job():
            return [square.copy().shown(), KINDS.count("Square"), helper(1), cached(2),
                    [field.name for field in dataclasses.fields(Point)], Point(1) < Point(2),
                    Box[int](5).value, Box.Inner(3).twin().x, Pair(1).right, list(Row(1, 2)),
                    Circle().shown(), Colour.ROT is Colour.RED, Colour("r").length, Bits.A in both,
                    xml.dom.minidom.parseString("<a/>").documentElement.tagName,
                    Pair.__module__ == make.__module__, typing.get_type_hints(Point)["x"] is int]
        return job
    job = make()
    """
    assert carry(tmp_path, how, app=app, parts=parts) == [
        *("Square 6", 1, ["traced", 2], 20, ["x", "tags"], True, 5, 3, 4, [1, 2]),
        *("Circle 3", True, 5, True, "a", True, True),
    ]


@pytest.mark.parametrize("how", HOWS)
def test_objects_that_need_their_class_to_be_made_arrive(tmp_path: Path, how: str) -> None:
    app = """
    import abc, concurrent.futures, threading, typing
    POOL = concurrent.futures.ThreadPoolExecutor(2)
    def unused():
        return POOL.submit(print)
    class Trouble(ValueError):
        def __init__(self, code, why):
            super().__init__(f"{code}: {why}")
            self.code = code
        def __reduce__(self):
            return trouble, (self.code, "again")
    def trouble(code, why):
        return Trouble(code, why)
    class Registered(type):
        known = {}
        def __new__(kind, name, bases, body):
            made = kind.known[name] = super().__new__(kind, name, bases, body)
            return made
        def __len__(cls):
            return 7
    class Part(metaclass=Registered): ...
    class Only:
        found, lock = None, threading.Lock()
        def __new__(cls):
            with cls.lock:
                cls.found = cls.found or super().__new__(cls)
            return cls.found
    class Named:
        def __set_name__(self, owner, name):
            self.name = name
        def __get__(self, thing, owner):
            return self.name
    class Hashed:
        own = Named()
        __slots__ = ("__hidden",)
        def __init__(self):
            self.__hidden = helper()
        def __eq__(self, other):
            return type(self) is type(other)
        def __hash__(self):
            return hash(helper())
        def shown(self):
            return self.__hidden
    class Shape(abc.ABC): ...
    Shape.register(int)
    Metres = typing.NewType("Metres", int)
    def helper() -> Metres:
        return Metres(5)
    TROUBLE, ONLY, TABLE = Trouble(3, "first"), Only(), {Hashed(): "found"}
    def job():
        return [TROUBLE.code, len(Part), sorted(Registered.known), Only() is ONLY, Hashed.own,
                TABLE[Hashed()], Hashed().shown(), isinstance(3, Shape)]
    """
    assert carry(tmp_path, how, app=app) == [3, 7, ["Part"], True, "own", "found", 5, True]


def test_a_long_chain_of_functions_arrives(tmp_path: Path) -> None:
    chain = "\n".join(f"def f{n}(): return f{n + 1}() + 1" for n in range(300))
    app = f"{chain}\ndef f300(): return 0\njob = f0\n"
    assert carry(tmp_path, "uwsgi_file_app", app=app) == 300


def test_a_module_of_the_same_name_is_not_taken_for_the_script(tmp_path: Path) -> None:
    """``wave`` can be imported on every node; the script of that name is another file."""
    app = "def helper():\n    return 'script'\ndef job():\n    return helper()\n"
    assert carry(tmp_path, "wave", app=app) == "script"
