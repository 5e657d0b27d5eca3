# make demo   set up what is needed, then ask the demonstration model about a drawn radiograph
# make test   set up the developer's tools too, then run the everyday tests
# Everything lands in .venv, except the built llama.cpp, which is kept in the user's cache folder.

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip -qq --no-input --disable-pip-version-check

# cpu or cuda: which ONNX Runtime. Changing it makes a new environment, since the two break each other.
EXTRA ?= cpu
# Pinned versions; `make demo PINS=` takes whatever is newest.
PINS ?= -c constraints.txt
DIST ?= dist
ARGS ?=
# Tests that run at the same time; each may use two cores itself.
WORKERS ?= 2

IMAGE ?= $(firstword $(sort $(wildcard examples/*.dcm)))
QUESTION ?= Describe the given chest x-ray image in detail.

ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
endif

.DEFAULT_GOAL := help
.PHONY: help demo demo-node test test-long lint check check-page pictures format wheel eval-demo eval-trust eval-summaries bench slow fuzz fuzz-serve soak clean FORCE

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## */  make \1\t/p' Makefile | expand -t 20

demo: $(VENV)/runtime.stamp  ## ask the demonstration model one question
	@test -n "$(IMAGE)" || { echo "There is no DICOM file in examples/; name one: make demo IMAGE=file.dcm"; exit 1; }
	@echo '$$ $(VENV)/bin/xraygpt-edge ask $(IMAGE) "$(QUESTION)"'
	@$(PY) -m xraygpt_edge ask "$(IMAGE)" "$(QUESTION)"

demo-node: $(VENV)/tools.stamp  ## a phantom sent by DICOM, its report found in Orthanc: needs Debian's dcmtk and orthanc
	@$(PY) -m tests.node_demo $(ARGS)

test: $(VENV)/tools.stamp  ## the everyday tests, on two cores
	@$(PY) -m pytest -n $(WORKERS) -m "not long and not slow and not fuzz and not soak" $(ARGS)

test-long: $(VENV)/tools.stamp  ## what else must hold before a change goes in: exports whole, the demonstration's answers
	@$(PY) -m pytest -n $(WORKERS) -m "long and not slow and not fuzz and not soak" $(ARGS)

lint: $(VENV)/tools.stamp  ## style of the code
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

check: $(VENV)/tools.stamp  ## types of the code
	@$(PY) -m mypy

check-page:  ## types of the page: needs npm, and the network once
	@npm install --silent --no-audit --no-fund --prefix $(VENV)/page-types typescript@7.0.2 preact@11.2.0 htm@3.1.1
	@$(VENV)/page-types/node_modules/.bin/tsc --project tests/page

pictures: $(VENV)/tools.stamp  ## the screenshots of docs/serve.md, with this machine's Chromium
	@$(PY) -m tests.page.pictures docs/pictures

format: $(VENV)/tools.stamp  ## lay the code out and repair what can be repaired
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

wheel: $(VENV)/runtime.stamp  ## a wheel with the demonstration model inside, in dist/
	@echo "Building the wheel of xraygpt-edge: about 10 s."
	@$(PIP) wheel --no-deps --wheel-dir "$(DIST)" .

eval-demo: $(VENV)/tools.stamp  ## the demonstration model's scores on phantoms that it never saw
	@$(PY) -m export evaluate-demo $(ARGS)

eval-trust: $(VENV)/tools.stamp  ## the goals of trust signals, on phantoms that nothing was fitted on: 11 minutes
	@$(PY) -m export evaluate-trust $(ARGS)
	@$(PY) -m export evaluate-maps $(ARGS)

eval-summaries: $(VENV)/tools.stamp  ## the goals of summarize, on 5,000 synthetic reports of seeds of their own: a minute
	@$(PY) -m export evaluate-summaries $(ARGS)

bench: $(VENV)/tools.stamp  ## measure beside llama.cpp and PyTorch: make bench ARGS="all --bundle DIR"
	@$(PY) -m benchmarks $(or $(ARGS),--help)

slow: $(VENV)/tools.stamp  ## tests of minutes: 75 s offline, a kit for a machine without network, 300 answers
	@env -u CI $(PY) -m pytest -m slow --timeout 1800 $(ARGS)

fuzz: $(VENV)/tools.stamp  ## hostile input, for minutes
	@$(PY) -m pytest -m fuzz --timeout 7200 $(ARGS)

fuzz-serve: $(VENV)/tools.stamp  ## 5,000 requests made from the description of serve's interfaces
	@$(PY) -m pytest -m fuzz --timeout 7200 tests/test_serve_described.py $(ARGS)

soak: $(VENV)/tools.stamp  ## kills, signals, thousands of radiographs, for hours
	@$(PY) -m pytest -m soak --timeout 0 $(ARGS)

clean:  ## remove .venv and everything that was built here
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@echo "The built llama.cpp stays in $${XDG_CACHE_HOME:-$$HOME/.cache}/xraygpt-edge for the next time."

# An environment cannot be moved, and does not survive another Python or another CPU: then it is made anew.
# One that somebody made by hand has no such note, and is used as it is.
$(VENV)/made-for: FORCE
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "xraygpt-edge needs Python 3.11 or newer: install it, or name it: make demo PYTHON=/path/to/python3.12"; exit 1; }
	@for_now="$(CURDIR) | $(EXTRA) | $$($(PYTHON) -V) | $$($(PYTHON) -m export.llama_wheel key)"; \
	if [ "$$(cat $@ 2>/dev/null)" != "$$for_now" ] || ! $(PY) -c '' 2>/dev/null; then \
		echo "Making a Python environment in $(VENV): about 10 s, once."; \
		if [ -e $@ ]; then rm -rf $(VENV); fi; \
		$(PYTHON) -m venv $(VENV) && echo "$$for_now" > $@; \
	fi

$(VENV)/runtime.stamp: $(VENV)/made-for pyproject.toml constraints.txt export/llama_wheel.py export/llama_source.py
	@$(PY) -m export.llama_wheel install
	@echo "Installing xraygpt-edge and what it needs: about a minute, once."
	@$(PIP) install $(PINS) --editable ".[$(EXTRA)]"
	@$(PY) -m export.llama_wheel prove
	@touch $@

$(VENV)/tools.stamp: $(VENV)/runtime.stamp
	@echo "Installing PyTorch and the developer's tools: 2 to 10 minutes by the speed of the network, once."
	@$(PIP) install $(PINS) --editable ".[$(EXTRA),evaluate,export,node,ray,dev]"
	@$(PIP) install $(PINS) --no-deps radlabels || echo "No corpus of reports: its tests will be skipped."
	@touch $@
