# make demo, make test: each makes .venv first and needs only python3 with venv, gcc and g++.
#   PYTHON=python3.12    another interpreter, 3.10 to 3.13
#   PIP_ARGS="..."       further arguments for pip install (an index with CPU-only torch, say)
#   ARGS="..."           arguments for nn-perception demo or bench
#   PYTEST_ARGS="..."    arguments for pytest
PYTHON ?= python3
PIP_ARGS ?=
ARGS ?=
PYTEST_ARGS ?=

# A file's tests stay in one process: they share what is dear to set up.
PARALLEL := -n 2 --dist loadfile

VENV := .venv
VENV_JAZZY := .venv-jazzy
VENV_NOROS := .venv-noros
# A comma inside $(call) separates arguments, so it needs a name.
, := ,
EXTRAS := train,tune,eval,opencv,security,test,tensorboard
INPUTS := pyproject.toml setup.py setup.cfg constraints-base.txt nn_perception/__init__.py
INTERFACES := tools/build_vision_msgs.py $(shell find third_party_interfaces -type f)

# The environments are complete in themselves: a sourced ROS distribution must not leak into them.
ifdef AMENT_PREFIX_PATH
unexport LD_LIBRARY_PATH
endif
unexport PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH ROS_DISTRO
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE RMW_IMPLEMENTATION
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: check-compiler help venv demo test lint docs docs-links study-pictures test-jazzy test-noros colcon bench clean distclean check-python

help:  ## show this list
	@echo "usage: make TARGET"
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

check-python:
	@command -v "$(PYTHON)" > /dev/null || { \
	  echo "make: '$(PYTHON)' is not there: sudo apt install python3 python3-venv, or make PYTHON=..." >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; \
	(3, 10) <= v <= (3, 13) or sys.exit("make: %s is Python %d.%d, and 3.10 to 3.13 is needed; \
	choose one: make PYTHON=python3.12" % (sys.executable, *v))'

# vision_msgs is compiled against the ROS wheels: say what is missing before minutes of downloads.
check-compiler: | check-python
	@"$(PYTHON)" -c 'import shutil, sys, sysconfig, pathlib; v = "%d.%d" % sys.version_info[:2]; \
	lacking = [name for name in ("gcc", "g++") if shutil.which(name) is None]; \
	header = pathlib.Path(sysconfig.get_path("include"), "Python.h"); \
	lacking += [] if header.is_file() else [str(header)]; \
	lacking and sys.exit("make: missing: %s; on Debian or Ubuntu: sudo apt install gcc g++ python%s-dev" \
	% (", ".join(lacking), v))'

# $(call make_environment,DIRECTORY,EXTRAS,CONSTRAINTS): create once, install what is missing.
define make_environment
	test -x $(1)/bin/python || "$(PYTHON)" -m venv $(1)
	$(1)/bin/python -m pip install $(PIP_ARGS) -c $(3) -e '.[$(2)]'
endef

$(VENV)/.installed: $(INPUTS) constraints.txt $(INTERFACES) | check-compiler
	$(call make_environment,$(VENV),$(EXTRAS)$(,)ros$(,)view$(,)docs,constraints.txt)
	$(VENV)/bin/python tools/build_vision_msgs.py --constraints constraints.txt
	@touch $@

$(VENV_JAZZY)/.installed: $(INPUTS) constraints-jazzy.txt $(INTERFACES) | check-compiler
	$(call make_environment,$(VENV_JAZZY),$(EXTRAS)$(,)ros,constraints-jazzy.txt)
	$(VENV_JAZZY)/bin/python tools/build_vision_msgs.py --constraints constraints-jazzy.txt
	@touch $@

$(VENV_NOROS)/.installed: $(INPUTS) | check-python
	$(call make_environment,$(VENV_NOROS),$(EXTRAS),constraints-base.txt)
	@touch $@

venv: $(VENV)/.installed  ## make .venv, complete for the demo and the tests

demo: venv  ## train, record, run live, swap the model, report
	$(VENV)/bin/nn-perception demo $(ARGS)

lint: venv  ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: lint  ## ruff, mypy and all tests
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

test-jazzy: $(VENV_JAZZY)/.installed  ## the node tests against ROS 2 Jazzy
	$(VENV_JAZZY)/bin/python -c 'from importlib.metadata import version as v; \
	assert v("ros-rclpy").startswith("7."), v("ros-rclpy"); print("rclpy", v("ros-rclpy"), "(Jazzy)")'
	OMP_NUM_THREADS=1 $(VENV_JAZZY)/bin/python -m pytest $(PARALLEL) $(PYTEST_ARGS) test/nodes

test-noros: $(VENV_NOROS)/.installed  ## everything but the nodes, where no ROS is installed
	$(VENV_NOROS)/bin/python -c 'from importlib.util import find_spec; \
	assert find_spec("rclpy") is None, find_spec("rclpy"); print("rclpy is not installed")'
	OMP_NUM_THREADS=1 $(VENV_NOROS)/bin/python -m pytest $(PARALLEL) $(PYTEST_ARGS) --ignore=test/nodes \
	-m "not ros and not long"

colcon: venv  ## colcon build in a temporary workspace, then look the executable up as ros2 run does
	PYTHON="$(PYTHON)" tools/colcon_build.sh

bench: venv  ## measure what README's table states
	$(VENV)/bin/nn-perception bench $(ARGS)

# Quoted lines and tables first, then pages, formulas, links and pictures: a warning is an error.
SPHINX := $(VENV)/bin/python -m sphinx -E -n -q -d build/doctrees

docs: venv  ## the site in build/site; checks quoted code, pictures and links within it
	$(VENV)/bin/python tools/update_docs.py --check
	$(SPHINX) -W --keep-going -b html docs build/site
	@echo "open build/site/index.html"

docs-links: venv  ## the links that lead out of it; needs a network
	$(SPHINX) -b linkcheck docs build/links

study-pictures: venv  ## run all studies by themselves, for the guides; ARGS=NAME for one
	OMP_NUM_THREADS=1 $(VENV)/bin/python tools/run_studies.py $(ARGS)

clean:  ## remove build outputs and caches; environments and runs stay
	rm -rf build install log dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean  ## remove the environments too
	rm -rf $(VENV) $(VENV_JAZZY) $(VENV_NOROS) .venv-colcon
