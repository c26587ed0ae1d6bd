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
    help="A package that the processes need, as given to pip; may be repeated.",
)
@click.option(
    "--no-deps",
    "no_deps",
    multiple=True,
    metavar="REQ",
    help="The same, without its own dependencies.",
)
@click.option(
    "-c",
    "--constraint",
    "constraints",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A constraints file of pip, for the same versions as another environment.",
)
@click.option(
    "--recipe",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Definition file (default: the one that comes with pywps-hpc).",
)
@click.option(
    "--base",
    type=click.Path(exists=True, path_type=Path),
    help="Image or sandbox to add the packages to, instead of a new Debian.",
)
@click.option(
    "--warm",
    multiple=True,
    metavar="MODULE",
    help="A module to import while the image is built: what numba compiles for it then, no job"
    " compiles again; may be repeated.",
)
@click.option("--mirror", help="Debian mirror (default: this machine's own).")
@click.option("--suite", help="Debian suite (default: this machine's own).")
@click.option(
    "--sandbox", is_flag=True, help="Make a folder: the quickest base for further images."
)
def image_build(
    output: Path,
    requirements: tuple[str, ...],
    no_deps: tuple[str, ...],
    constraints: Path | None,
    recipe: Path | None,
    base: Path | None,
    warm: tuple[str, ...],
    mirror: str | None,
    suite: str | None,
    sandbox: bool,
) -> None:
    """Build an image with this version of pywps-hpc and what the processes need."""
    from pywps_hpc.images import build as images

    if base is not None and (mirror or suite):
        raise click.UsageError(
            "--mirror and --suite cannot be used with --base, which has its own Debian"
        )
    try:
        images.build(
            output,
            requirements=[images.own_requirement(), *requirements],
            no_deps=no_deps,
            constraints=constraints,
            recipe=recipe,
            base=base,
            mirror=mirror,
            suite=suite,
            sandbox=sandbox,
            warm=warm,
        )
    except images.ImageError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"built {output}")


@image.command("inspect")
@click.argument("image_path", metavar="IMAGE", type=click.Path(exists=True, path_type=Path))
def image_inspect(image_path: Path) -> None:
    """Show the labels of an image: what it is, and when and from what it was built."""
    from pywps_hpc.images.commands import ImageError
    from pywps_hpc.images.inspect import labels

    try:
        found = labels(image_path)
    except ImageError as error:
        raise click.ClickException(str(error)) from None
    for name, value in sorted(found.items()):
        click.echo(f"{name}: {value}")
