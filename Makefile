# Two commands: `make demo` and `make test`. Each does all of its own set-up.

.PHONY: demo test test-pythons bench reliability docs docs-site screenshots deployments lint format clean

# The environment that `make test` makes as root; name another one with PYTHON=….
TEST_HOME = $(or $(PYWPS_HPC_TEST_HOME),/var/tmp/pywps-hpc)
PYTHON ?= $(firstword $(wildcard $(TEST_HOME)/venv/bin/python .venv/bin/python) python3)

demo:  ## climate request on real data: local scheduler, no root, no cluster
	@examples/demo.sh

test:  ## everything; as root on Debian with a real Slurm, Apptainer and image
	@tests/run.sh

bench:  ## every benchmark, and one table of them, after `make test` has set things up; QUICK=--quick
	@"$(PYTHON)" benchmarks/all.py $(QUICK)

reliability:  ## docs/reliability.md from what the fault tests saw
	@"$(PYTHON)" tests/support/reliability.py

docs:  ## docs/configuration.md, commands.md, messages.md from what the code says of itself
	@"$(PYTHON)" -m pywps_hpc.settings.reference > docs/configuration.md
	@"$(PYTHON)" -m pywps_hpc.cli.reference > docs/commands.md
	@"$(PYTHON)" -m pywps_hpc.dispatch.explanations > docs/messages.md

docs-site:  ## the documentation as web pages, in site/: pip install 'pywps-hpc[docs]'
	@NO_MKDOCS_2_WARNING=1 "$(PYTHON)" -m mkdocs build --strict --quiet
	@echo "site/index.html"

screenshots:  ## docs/screenshots/ anew, with Chromium
	@"$(PYTHON)" tests/support/screenshots.py

test-pythons:  ## all unit tests and the five-minute start under each Python from 3.10 to 3.13 that is here
	@deploy/pythons.sh --all

deployments:  ## what docs/deploy/ shows, with real nginx, Apache, PostgreSQL: as root on Debian, up to an hour
	@deploy/run.sh

lint:  ## what `make test` checks before it runs anything
	ruff check .
	ruff format --check .
	mypy
	lint-imports

format:
	ruff format .
	ruff check --fix .

clean:  ## what the two commands left in this folder
	rm -rf .venv demo site .mypy_cache .ruff_cache .pytest_cache .hypothesis
