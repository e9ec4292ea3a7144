# make demo: train on drawn pictures and show the result. make test: run the tests.
PYTHON ?= python3
VENV ?= .venv
RUN_DIR ?= runs/demo

.PHONY: demo test check clean

demo: $(VENV)/installed
	$(VENV)/bin/python train.py --preset demo --run_dir $(RUN_DIR)

test: $(VENV)/installed-for-tests
	$(VENV)/bin/python -m pytest

check: $(VENV)/installed-for-tests
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

clean:
	rm -rf $(VENV) runs

$(VENV)/installed: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) and "Python 3.10 to 3.13 is needed; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/installed-for-tests: $(VENV)/installed tests/requirements.txt
	$(VENV)/bin/python -m pip install --quiet --requirement tests/requirements.txt
	touch $@
