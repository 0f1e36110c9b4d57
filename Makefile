# make demo         three synthetic hospitals train HQG-Net+ together
# make test         all default tests
# make test-deploy  what deploy/ holds (with Debian's nginx and systemd), and a federation of real processes
# make test-faults  bad nights, with real processes and real signals
# make test-slow    every enhancer and downstream network trains fifty steps a phase; compiling; variants compared
#
# All make .venv and install on first use. PYTHON=python3.12 chooses another interpreter;
# PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu" fetches the small CPU build of torch.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNS ?= runs
DEMO := site_configs/demo
DEMO_SITES := $(DEMO)/sites

# Test processes at a time; whole files go to one of them.
JOBS ?= 2
# Which bad nights; all take half an hour on two cores.
FAULTS ?= tests/faults

.PHONY: demo test test-deploy test-faults test-slow lint docs install clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_FLAGS) --editable '.[test,tracking,export]'
	touch $@

# One worker a site, even where there are fewer processors: three sites on two cores then end together.
demo: install
	test -f $(DEMO_SITES)/site-3/site.yaml || { rm -rf $(DEMO_SITES) && $(BIN)/hqgnet sites make \
		--modality fundus --sites 3 --seed 1 --size 96 --out $(DEMO_SITES); }
	$(BIN)/hqgnet-server simulate $(DEMO)/experiment.yaml --sites '$(DEMO_SITES)/*/site.yaml' --runs $(RUNS) --cpus 3 --overwrite
	$(BIN)/hqgnet enhance --model $(RUNS)/demo/models/best.safetensors \
		--input $(DEMO_SITES)/site-1/images/lq --output $(RUNS)/demo/enhanced --overwrite

test: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# One at a time: each is a federation of a dozen processes, and on a machine that is too busy a slow site is a dead one.
test-deploy: install
	$(BIN)/python -m pytest -m deploy

test-faults: install
	$(BIN)/python -m pytest -m faults $(FAULTS)

test-slow: install
	$(BIN)/python -m pytest -m slow --timeout=1200

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: install
	$(BIN)/python -m hqgnet.config_reference > docs/configuration.md
	$(BIN)/python -m server.federation_reference > docs/federation-file.md

clean:
	rm -rf $(VENV) runs $(DEMO_SITES)
