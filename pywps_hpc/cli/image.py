"""``image``: container images for the jobs."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def image() -> None:
    """Container images for the jobs."""


@image.command("build")
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-r",
    "--requirement",
    "requirements",
    multiple=True,
    metavar="REQ",
    help="What the processes need, as pip takes it; may be given several times.",
)
@click.option(
    "--no-deps",
    "no_deps",
    multiple=True,
    metavar="REQ",
    help="The same, without what it depends on itself.",
)
@click.option("--recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mirror", help="Debian mirror (default: this machine's own).")
@click.option("--suite", help="Debian suite (default: this machine's own).")
def image_build(
    output: Path,
    requirements: tuple[str, ...],
    no_deps: tuple[str, ...],
    recipe: Path | None,
    mirror: str | None,
    suite: str | None,
) -> None:
    """Build an image with this version of pywps-hpc and what the processes need."""
    from pywps_hpc.images import build as images

    try:
        images.build(
            output,
            requirements=[images.own_requirement(), *requirements],
            no_deps=no_deps,
            recipe=recipe,
            mirror=mirror,
            suite=suite,
        )
    except images.ImageError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"built {output}")
