"""Run many random schedules of faults against a real dispatcher, and count what was met.

    python benchmarks/schedules.py --schedules 20000 --seed 1 --processes 2
    python benchmarks/schedules.py --schedules 5000 --pilots

Needs no cluster. They run in portions with seeds of their own; a schedule that breaks a promise is
made as small as it gets and printed with the promise, and the same seed finds it again.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
from hypothesis import Phase

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import fault_schedules  # noqa: E402

PORTION = 500


def portion(seed: int, count: int, shrink: bool, pilots: bool) -> tuple[Counter[str], float]:
    """What was met in one portion, and the processor seconds it took."""
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    begun = time.process_time()
    machine = fault_schedules.run(count, seed, pilots=pilots, phases=phases)
    return machine.met(), time.process_time() - begun


@click.command()
@click.option("--schedules", "wanted", default=20_000, show_default=True, help="How many.")
@click.option("--seed", default=1, show_default=True, help="Of the first portion.")
@click.option("--processes", default=1, show_default=True, help="At once.")
@click.option("--shrink/--no-shrink", default=True, help="Whether to make one that fails small.")
@click.option("--pilots/--no-pilots", default=False, help="Whether jobs go to pilots.")
def main(wanted: int, seed: int, processes: int, shrink: bool, pilots: bool) -> None:
    """Run them and print what was met; exit status 1 if a promise was broken."""
    begun, met, used = time.monotonic(), Counter[str](), 0.0
    sizes = [min(PORTION, wanted - done) for done in range(0, wanted, PORTION)]
    with ProcessPoolExecutor(processes) as pool:
        seeds = range(seed, seed + len(sizes))
        kind = [shrink] * len(sizes), [pilots] * len(sizes)
        for found, seconds in pool.map(portion, seeds, sizes, *kind):
            met += found
            used += seconds
            passed = time.monotonic() - begun
            done = f"{met['schedules']} schedules, {passed:.0f} s, {used:.0f} s of processor"
            print(done, flush=True)
    for what, count in sorted(met.items()):
        print(f"{count:9d}  {what}")


if __name__ == "__main__":
    main()
