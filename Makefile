# make dashboard | make test : everything else follows from these two.
HOST ?= 127.0.0.1
PORT ?= 5006
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: dashboard test lint install clean browser screenshots

dashboard: .venv/runtime
	$(BIN)/co2net dashboard --host $(HOST) --port $(PORT)

test: .venv/dev browser
	$(BIN)/python -m pytest

# Every page, light and dark, in both languages, wide and narrow; one of them: ONLY='explore-*'.
screenshots: .venv/dev browser
	$(BIN)/co2net dashboard --screenshots $(or $(DIR),screenshots) $(if $(ONLY),--only '$(ONLY)')

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: .venv/dev

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "co2net needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/runtime: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ .venv/runtime

# The browser tests drive the system's Chromium; they say so and stay out when there is none.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get -qq update && apt-get -qq install -y chromium fonts-noto-cjk >/dev/null; \
	  else echo "no Chromium: the browser tests will be skipped; install the package 'chromium'"; fi; }

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis data/demo data/cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
