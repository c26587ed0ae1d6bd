"""``man``: the manual page, made from the commands' own help (groff_man(7))."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from pywps_hpc import __version__

_HEAD = """\
.SH ENVIRONMENT
.TP
.B PYWPS_CFG
The service's configuration file, where \\fB\\-\\-config\\fR is not given.
.SH EXIT STATUS
0: done; 1: refused, with the reason on standard error; 2: the command line is wrong.
\\fBcheck\\fR has those of monitoring plugins: 0 ok, 1 warning, 2 error, 3 ended before it knew.
.SH SEE ALSO
\\fBapptainer\\fR(1), \\fBsystemd.service\\fR(5)
"""


@click.command("man")
@click.pass_context
def man(context: click.Context) -> None:
    """Print the manual page.

    To read it: pywps-hpc man | man -l -. To install it: into share/man/man1/pywps-hpc.1 below the
    environment or /usr/local.
    """
    click.echo(page(context.find_root().command), nl=False)


def page(command: click.Command) -> str:
    """The page of all commands below this one."""
    return "\n".join(_lines(command)) + "\n"


def _lines(command: click.Command) -> Iterator[str]:
    root = click.Context(command, info_name="pywps-hpc")
    summary = (command.help or "").strip().rstrip(".")
    yield f'.TH PYWPS\\-HPC 1 "" "pywps\\-hpc {_text(__version__)}" "System administration"'
    yield from (".SH NAME", f"pywps\\-hpc \\- {_text(summary[:1].lower() + summary[1:])}")
    yield from (
        ".SH SYNOPSIS",
        ".B pywps\\-hpc",
        "\\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]",
    )
    yield ".SH COMMANDS"
    yield from _commands(command, root)
    yield _HEAD.rstrip("\n")


def _commands(command: click.Command, context: click.Context) -> Iterator[str]:
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        own = click.Context(found, context, info_name=name)
        if isinstance(found, click.Group):
            yield from _commands(found, own)
            continue
        title = own.command_path.removeprefix("pywps-hpc ")
        usage = " ".join(found.collect_usage_pieces(own))
        yield f'.SS "{_text(title)} {_text(usage)}"'
        yield from _paragraphs(found.help or "")
        for parameter in found.get_params(own):
            record = parameter.get_help_record(own)
            if record is not None:
                yield from (".TP", f"\\fB{_text(record[0])}\\fR", _text(record[1]) or "\\&")


def _paragraphs(text: str) -> Iterator[str]:
    for number, part in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        yield _text(" ".join(part.split()))


def _text(text: str) -> str:
    """As roff prints it: no line of it is a request."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{plain}" if plain[:1] in (".", "'") else plain
