# make run    a node in ./run: made on first use, kept ever after; Ctrl-C stops it
# make array NODES=3   an array of nodes in ./run/array: made on first use, kept ever after; Ctrl-C stops them
# make test   everything, from nothing; ends with one line: N passed, N failed
# make check  the quick part of it: format, lint, types, layers
# make docs   the generated pages of docs/
# make bench  this node beside Postfix + Dovecot
# make simulate SEEDS=500 FROM=0, or SEED=7 TRACE=1   arrays in trouble; WHOLE=1: of whole nodes (docs/simulation.md)
# make chaos ROUNDS=5 SEED=7 NODES=3   real arrays in trouble (docs/chaos.md); ONLY=kill,pause chooses
# make soak     20,000 seeds into ./soak, resumable: SEEDS, FROM, WHOLE as above
# make mutants  the planted bugs, and what finds each
# Needed: Python 3.11 or newer with venv (Debian: python3 python3-venv). `make test` installs Debian packages, as root.

# The system's own Python where it will do: those that version managers compile cost a tenth to a sixth more CPU (docs/performance.md).
ifndef PYTHON
PYTHON := $(shell /usr/bin/python3 -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo /usr/bin/python3 || echo python3)
endif
VENV := .venv
BIN := $(VENV)/bin
SOURCES := setup.cfg pyproject.toml $(shell find jindimail twisted -name '*.py')

.PHONY: run array test check docs bench simulate soak chaos mutants clean
.DEFAULT_GOAL := run

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, and $(PYTHON) is not there. On Debian: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python $(SOURCES)
	@rm -rf build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check .
	@touch $@

$(VENV)/installed-test: $(BIN)/python $(SOURCES)
	@rm -rf build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '.[test]'
	@touch $@ $(VENV)/installed

run: $(VENV)/installed
	@exec $(BIN)/python -P -m jindimail.admin.quickstart run

array: $(VENV)/installed
	@exec $(BIN)/python -P -m jindimail.admin.quickarray run $(or $(NODES),3)

test: $(VENV)/installed-test
	@tests/support/packages.sh client fault
	@SEEDS=$(or $(SEEDS),500) exec $(BIN)/python -m tests.gate

check: $(VENV)/installed-test
	@exec $(BIN)/python -m tests.gate --quick

docs: $(VENV)/installed-test
	$(BIN)/python -m tests.pages

bench: $(VENV)/installed-test
	@tests/support/packages.sh bench
	@exec $(BIN)/python -m bench.run

simulate: $(VENV)/installed-test
	@exec $(BIN)/python -m tests.simulation.run $(if $(WHOLE),--whole) $(if $(SEED),--seed $(SEED) $(if $(TRACE),--trace),--seeds $(or $(SEEDS),100) --from $(or $(FROM),0))

chaos: $(VENV)/installed-test
	@tests/support/packages.sh fault
	@exec $(BIN)/python -m tests.chaos.run --rounds $(or $(ROUNDS),5) --nodes $(or $(NODES),3) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

soak: $(VENV)/installed-test
	@exec $(BIN)/python -m tests.simulation.soak soak $(if $(WHOLE),--whole) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FROM),--from $(FROM))

mutants: $(VENV)/installed-test
	@exec $(BIN)/python -m tests.mutants.run $(MUTANTS)

clean:
	rm -rf $(VENV) build dist jindimail.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
