# make demo: train on drawn pictures and show the result. make test: run the tests.
# make docs: write the tables of flags in the pages anew.
# STACK=tfa: on TensorFlow Addons, in a virtual environment of its own; it runs the tests
# that a version of TensorFlow or Keras can change.
STACK ?= current
ifeq ($(STACK),current)
REQUIREMENTS = requirements.txt
NEWEST = 13
VENV ?= .venv
RUN_DIR ?= runs/demo
TESTS =
else ifeq ($(STACK),tfa)
REQUIREMENTS = requirements-tfa.txt
NEWEST = 11
VENV ?= .venv-tfa
RUN_DIR ?= runs/demo-tfa
TESTS = -m "stack and not slow"
else
$(error STACK must be current or tfa. Received: $(STACK))
endif
PYTHON ?= python3
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: demo test check docs clean

demo: $(VENV)/installed
	$(VENV)/bin/python train.py --preset demo --run_dir $(RUN_DIR)

test: $(VENV)/installed-for-tests
	$(VENV)/bin/python -m pytest $(TESTS)

check: $(VENV)/installed-for-tests
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

docs: $(VENV)/installed-for-tests
	$(VENV)/bin/python -m tests.helpers.flag_tables

clean:
	rm -rf $(VENV) runs

$(VENV)/installed: $(REQUIREMENTS)
	$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $(NEWEST)) and "Python 3.10 to 3.$(NEWEST) is needed; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --requirement $(REQUIREMENTS)
	touch $@

# On Linux the torch of the usual index brings CUDA libraries of some gigabytes, so its
# build for CPUs is taken where its index can be reached.
$(VENV)/installed-for-tests: $(VENV)/installed tests/requirements.txt
	if [ "$$(uname)" = Linux ] && $(VENV)/bin/python -c 'import urllib.request as r; r.urlopen("$(TORCH_INDEX)/torch/", timeout=5)' 2>/dev/null; then \
	  $(VENV)/bin/python -m pip install --quiet --index-url $(TORCH_INDEX) "$$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' tests/requirements.txt)"; fi
	$(VENV)/bin/python -m pip install --quiet --requirement tests/requirements.txt
	touch $@
