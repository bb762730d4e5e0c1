# Corpuscope. Two commands: `make run` and `make test`. Both need Python 3.11 or later and, the first time, a network.
#
# .venv is made once. A second run neither installs nor asks the network anything.

VENV := .venv
PYTHON_HERE := $(VENV)/bin/python
PIP := $(PYTHON_HERE) -m pip --disable-pip-version-check
RUNS := $(VENV)/.runs
TESTS := $(VENV)/.tests
SOURCES := pyproject.toml constraints.txt
# More arguments for pytest: make test PYTEST_ARGS="-k search"
PYTEST_ARGS ?=
# Processes that test side by side, each with a Postgres of its own. Much of a test is waiting: two processes on two cores
# take two thirds of the time of one. A file stays in one process, and the browser tests stay together, in their order.
PYTEST_PROCESSES ?= 2
# Another interpreter: make run PYTHON=/path/to/python3.12
PYTHON ?=
# Two first starts at once: the second waits until the first has installed.
LOCK := $(if $(shell command -v flock),flock Makefile,)

.PHONY: run test lint bench lock map clean

run: $(RUNS)
	@exec $(VENV)/bin/corpuscope

test: $(TESTS) lint
	$(PYTHON_HERE) -m pytest --numprocesses $(PYTEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(TESTS)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(RUNS)
	$(VENV)/bin/corpuscope bench

# Write down what is installed, after a change of the dependencies. A local build tag (+cpu) is not a version.
lock: $(TESTS)
	$(PIP) freeze --exclude-editable | sed -e 's/+cpu$$//' > constraints.txt
	touch $(RUNS) $(TESTS)

# The bundle that draws maps, after a change of corpuscope/map/source. It is committed: only this needs npm.
map:
	cd corpuscope/map && npm install --no-package-lock --no-audit --no-fund && npm run build

# The environment and the caches; never the data in CORPUSCOPE_HOME.
clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info build dist

$(RUNS): $(SOURCES)
	@$(LOCK) $(MAKE) --no-print-directory install-for-running

$(TESTS): $(SOURCES)
	@$(LOCK) $(MAKE) --no-print-directory install-for-testing

.PHONY: install-for-running install-for-testing

install-for-running: $(PYTHON_HERE)
	@if [ -f $(RUNS) ] && [ ! pyproject.toml -nt $(RUNS) ] && [ ! constraints.txt -nt $(RUNS) ]; then exit 0; fi; \
	echo "Installing Corpuscope into $(VENV): a few minutes, only this once…"; \
	$(PIP) --version >/dev/null 2>&1 || $(PYTHON_HERE) -m ensurepip; \
	$(PIP) install --quiet --constraint constraints.txt --editable . && touch $(RUNS)

install-for-testing: $(PYTHON_HERE)
	@if [ -f $(TESTS) ] && [ ! pyproject.toml -nt $(TESTS) ] && [ ! constraints.txt -nt $(TESTS) ]; then exit 0; fi; \
	echo "Installing Corpuscope and its tests into $(VENV): a few minutes, only this once…"; \
	$(PIP) --version >/dev/null 2>&1 || $(PYTHON_HERE) -m ensurepip; \
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]' && touch $(RUNS) $(TESTS)
	@command -v chromium chromium-browser google-chrome >/dev/null || $(VENV)/bin/playwright install chromium \
	|| echo "No Chromium was found: the browser tests will be skipped. Install it (Debian: apt-get install chromium)."

$(PYTHON_HERE):
	@for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if command -v $$candidate >/dev/null && $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
			$$candidate -m venv --clear $(VENV) && exit 0; \
			echo "$$candidate can't make an environment. On Debian: apt-get install python3-venv" >&2; exit 1; \
		fi; \
	done; \
	echo "Corpuscope needs Python 3.11 or later. If it has another name: make run PYTHON=/path/to/python" >&2; exit 1
