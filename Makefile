# Everything runs in virtual environments that are made here from the project's own files.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: evidence evidence-equal recovery demo test lint types pytest test-kills test-slow test-foundry memory redpajama-mini constraints docs peers clean

demo: $(VENV)/installed  ## a mixture for a scarce domain, found and checked offline (at most 6 minutes)
	$(BIN)/mixscale demo --out mixscale-demo

test: $(VENV)/installed-dev lint types pytest  ## linter, type checker, tests

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache

types: $(VENV)/installed-dev
	$(BIN)/basedpyright --pythonpath $(BIN)/python

pytest: $(VENV)/installed-dev
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2

test-slow: $(VENV)/installed-dev  ## a Ray cluster that loses a node, fits of known laws, torch.compile
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow tests/benchmarks tests/fit tests/train

test-kills: $(VENV)/installed-dev  ## 200 builds and growths killed at random moments
	MIXSCALE_KILLS=200 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -s tests/ingest/runtime/test_kills.py -k kill

test-foundry: $(VENV)/installed-dev build/peers/llm-foundry/installed  ## LLM Foundry reads our streams
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow tests/shards/storage/test_foundry.py

memory: $(VENV)/installed-dev  ## peak memory of builds that are hard on it, at most 1.5 GiB
	$(BIN)/python -m benchmarks.memory

recovery: $(VENV)/installed-dev  ## how often the intervals of every law hold the truth (minutes)
	$(BIN)/python -m pytest -m slow tests/fit/laws/test_recovery.py

redpajama-mini: $(VENV)/installed  ## the same job on RedPajama-layout data in ../shared
	VENV=$(VENV) bash examples/redpajama-mini/run.sh

evidence: $(VENV)/installed-dev  ## the runs behind docs/validation/final-runs.md, on text in ../shared (3 hours)
	VENV=$(VENV) bash examples/evidence/scarcity/run.sh

evidence-equal: $(VENV)/installed-dev  ## the runs behind docs/results.md, on text in ../shared (2.5 hours)
	VENV=$(VENV) bash examples/evidence/run.sh

docs: $(VENV)/installed-dev  ## the documentation as a site, every link checked
	$(PIP_INSTALL) --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site

PEERS = llm-foundry datatrove litdata
peers: $(PEERS:%=build/peers/%/installed)  ## other tools, each on its own, for benchmarks.build

build/peers/%/installed: benchmarks/peers/%.txt | build/uv/bin/uv
	build/uv/bin/uv venv --quiet --clear --python $(PYTHON) build/peers/$*
	build/uv/bin/uv pip install --quiet --python build/peers/$*/bin/python --requirement $<
	touch $@

build/uv/bin/uv:
	$(PYTHON) -m venv build/uv
	build/uv/bin/pip install --quiet uv

constraints: build/uv/bin/uv  ## pin the newest versions that go together, for all supported Pythons
	build/uv/bin/uv pip compile pyproject.toml --extra dev --extra docs --universal \
	  --python-version 3.10 --no-header --no-annotate --output-file constraints.txt

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[all]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP_INSTALL) --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build mixscale-demo
