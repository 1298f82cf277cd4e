# make run: set up and run the gateway.  make test: set up and run everything that CI runs.
PYTHON ?= python3
VENV ?= .venv
# tests at once: much of their time is waiting for peers
WORKERS ?= 3
BIN := $(VENV)/bin

.PHONY: run test check peers benchmark clean

run: $(VENV)/.installed
	$(BIN)/karnak serve

test: peers $(VENV)/.installed-dev check
	@# the order is that of tests/conftest.py. Real peers share two cores with the tests: what fails is run once more
	@# at once, and named at the end either way
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder --reruns 1 -rR

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

benchmark: peers $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[benchmarks]'
	$(BIN)/python -m benchmarks

# the peers that tests talk to; without root or apt-get the tests that need a missing one are skipped (in CI they fail)
peers:
	@sh tools/install-peers.sh

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@# without the codecs where there are none for this machine: the gateway says what it needs them for
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[transcode,web]' || \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[web]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist *.egg-info
