"""Every command, described by its own help; ``docs/commands.md`` is made from it::

python -m pywps_hpc.cli.reference > docs/commands.md
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from pywps_hpc.cli.main import commands

#: Characters of a line.
WIDTH = 100
_HEAD = """\
# Commands

<!-- Made by `make docs` from pywps_hpc/cli; change the help texts there. -->

What `pywps-hpc` can do, as `--help` of each command tells it. [operations.md](operations.md) says
when to use what. Every command that looks after a service takes `--config`, or `PYWPS_CFG` from the
environment. With `--json` times are seconds since the epoch, lengths of time seconds, sizes bytes
unless a name says otherwise; what is not known is `null`.

The shell completes names of commands and options after this line, in `~/.bashrc` for bash (4.4 or
later); `zsh_source` and `fish_source` are for the others:

```
eval "$(_PYWPS_HPC_COMPLETE=bash_source pywps-hpc)"
```

The manual page is made of the same texts: `pywps-hpc man | man -l -` shows it, and this installs it
for everybody:

```
install -d /usr/local/share/man/man1 && pywps-hpc man > /usr/local/share/man/man1/pywps-hpc.1
```
"""


def markdown() -> str:
    """The page for administrators."""
    return "\n".join([_HEAD, *_sections(commands, "pywps-hpc", None)])


def _sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    own = command.context_settings
    context = click.Context(command, parent, info_name=name, max_content_width=WIDTH, **own)
    context.terminal_width = WIDTH
    title = name if parent is None else context.command_path
    yield f"## `{title}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for known in command.list_commands(context):
            found = command.get_command(context, known)
            assert found is not None
            yield from _sections(found, known, context)


if __name__ == "__main__":
    print(markdown(), end="")
