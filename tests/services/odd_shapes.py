"""Processes that are hard to send because of how they are made.

None of them can be made anew from ``module:Class()``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pywps import Process

from odd_kit import OPEN, number, result, value, word


class Scaled(Process):
    """Needs two constructor arguments; the service offers two different ones."""

    def __init__(self, factor: float, unit: str) -> None:
        self.factor, self.unit = factor, unit
        super().__init__(
            self._handler,
            identifier=f"scaled_{unit}",
            title=f"Scaled to {unit}",
            abstract="Constructor arguments",
            version="1.2",
            inputs=[number("value")],
            outputs=[result("result", "float"), result("unit")],
            translations={"fr-CA": {"title": f"En {unit}", "abstract": "Arguments"}},
            **OPEN,
        )

    def _handler(self, request: Any, response: Any) -> None:
        response.outputs["result"].data = value(request, "value") * self.factor
        response.outputs["unit"].data = self.unit


def make_repeater(times: int) -> Process:
    """A class that exists inside this function only, with a closure over its argument."""

    class Repeater(Process):
        def __init__(self) -> None:
            super().__init__(
                self._handler,
                identifier=f"repeat_{times}",
                title=f"Repeat {times} times",
                inputs=[word()],
                outputs=[result()],
                **OPEN,
            )

        def _handler(self, request: Any, response: Any) -> None:
            response.outputs["result"].data = value(request) * times

    return Repeater()


def make_dynamic(base: Process) -> Process:
    """A class made by :class:`type`, on top of another one that no module holds."""

    def _handler(self: Any, request: Any, response: Any) -> None:
        type(base)._handler(self, request, response)
        response.outputs["result"].data += "!"

    cls = type("MadeByType", (type(base),), {"_handler": _handler})
    process = cls()
    process.identifier, process.title = "dynamic", "Class made by type()"
    return process


def make_closure(ending: str) -> Process:
    """A lambda as the handler, over lambdas, over a local function, over a local value."""

    def finish(text: str) -> str:
        return text + ending

    steps: dict[str, Callable[[str], str]] = {
        "upper": lambda text: text.upper(),
        "turned": lambda text: finish(text[::-1]),
    }
    return Process(
        lambda request, response: setattr(
            response.outputs["result"],
            "data",
            functools.reduce(lambda text, step: step(text), steps.values(), value(request)),
        ),
        identifier="closure",
        title="Lambdas and closures",
        inputs=[word()],
        outputs=[result()],
        **OPEN,
    )


class Joiner:
    """A handler that is an object, with state of its own."""

    def __init__(self, separator: str) -> None:
        self.separator = separator

    def __call__(self, request: Any, response: Any) -> None:
        words = [item.data for item in request.inputs["text"]]
        response.outputs["result"].data = self.separator.join(words)


def _suffix(suffix: str, request: Any, response: Any) -> None:
    response.outputs["result"].data = value(request) + suffix


class ThroughSelf(Process):
    """Sets its outputs through ``self``, not through the response it was given."""

    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="through_self",
            title="Outputs through self",
            inputs=[word(), word("unused", min_occurs=0, default="spare")],
            outputs=[result("first"), result("second")],
            **OPEN,
        )

    def _handler(self, request: Any, response: Any) -> None:
        self.outputs[0].data = value(request)
        self.outputs[1].data = f"{value(request)} and {value(request, 'unused')}"


class Closed(Process):
    """Offers neither stored responses nor status updates."""

    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="closed",
            title="No asynchronous execution",
            inputs=[word()],
            outputs=[result()],
        )

    def _handler(self, request: Any, response: Any) -> None:
        response.outputs["result"].data = value(request)


class Unsendable(Process):
    """Holds what can be copied inside one process but not written down: a generator in a box."""

    class Box:
        def __init__(self) -> None:
            self.content = (number for number in range(3))

        def __deepcopy__(self, _memo: Any) -> Unsendable.Box:
            return self

    def __init__(self) -> None:
        self.box = self.Box()
        super().__init__(
            self._handler,
            identifier="unsendable",
            title="Cannot travel",
            outputs=[result()],
            **OPEN,
        )

    def _handler(self, _request: Any, response: Any) -> None:
        response.outputs["result"].data = "never"


PROCESSES = [
    Scaled(100.0, "percent"),
    Scaled(0.001, "kilo"),
    make_repeater(2),
    make_repeater(3),
    make_dynamic(make_repeater(4)),
    make_closure(" (closed)"),
    Process(
        Joiner("-"),
        identifier="joined",
        title="An object as handler",
        inputs=[word(min_occurs=1, max_occurs=4)],
        outputs=[result()],
        **OPEN,
    ),
    Process(
        functools.partial(_suffix, "..."),
        identifier="partial",
        title="A partial as handler",
        inputs=[word()],
        outputs=[result()],
        **OPEN,
    ),
    ThroughSelf(),
    Closed(),
    Unsendable(),
]
