# Two commands: `make demo` and `make test`. Each does all of its own set-up.

.PHONY: demo test benchmark reliability docs lint format clean

demo:  ## climate request on real data: local scheduler, no root, no cluster
	@examples/demo.sh

test:  ## everything; as root on Debian with a real Slurm, Apptainer and image
	@tests/run.sh

benchmark:  ## ratios against PyWPS, after `make test` has set things up
	@"$${PYWPS_HPC_TEST_HOME:-/var/tmp/pywps-hpc}"/venv/bin/python benchmarks/accept.py

reliability:  ## docs/reliability.md from what the fault tests saw
	@"$${PYWPS_HPC_TEST_HOME:-/var/tmp/pywps-hpc}"/venv/bin/python tests/support/reliability.py

docs:  ## docs/configuration.md and commands.md from the help texts of settings and commands
	@"$${PYWPS_HPC_TEST_HOME:-/var/tmp/pywps-hpc}"/venv/bin/python -m pywps_hpc.settings.reference > docs/configuration.md
	@"$${PYWPS_HPC_TEST_HOME:-/var/tmp/pywps-hpc}"/venv/bin/python -m pywps_hpc.cli.reference > docs/commands.md

lint:  ## what `make test` checks before it runs anything
	ruff check .
	ruff format --check .
	mypy
	lint-imports

format:
	ruff format .
	ruff check --fix .

clean:  ## what the two commands left in this folder
	rm -rf .venv demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
