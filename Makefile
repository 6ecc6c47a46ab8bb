# Two commands: `make demo` and `make test`. Both install what is missing first.
.PHONY: demo test check bench lock

VENV := .venv
PYTHON := $(VENV)/bin/python
LAB_PACKAGES := systemd-container debootstrap openssh-client iproute2

# Raises the lab, deploys on it, and says how to look around.
demo: $(VENV)/.ready
	@$(PYTHON) -m lab up
	@$(PYTHON) runbooks/deploy.py --config .lab/config.yaml --filter role=master --yes
	@echo 'Look around:'
	@echo "  $$($(PYTHON) -m lab binaries)/kubectl --kubeconfig .lab/artifacts/lab/admin.kubeconfig get --raw /readyz"
	@echo '  $(PYTHON) -m lab ssh m1'
	@echo '  $(PYTHON) runbooks/deploy.py --config .lab/config.yaml --filter role=master   (again: no changes)'
	@echo 'Stop, leaving nothing behind:'
	@echo '  $(PYTHON) -m lab down'

# Everything: format, lint, types, unit tests, and the tests on real hosts.
test: check
	$(PYTHON) -m pytest

check: $(VENV)/.ready
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

# How long runbooks take on the lab that `make demo` leaves; judges nothing.
bench: $(VENV)/.ready
	$(PYTHON) -m benchmarks

# Writes requirements.lock anew from pyproject.toml; needs uv.
lock:
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-header \
	    --no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o requirements.lock

$(VENV)/.ready: requirements.lock pyproject.toml bootstrap.sh
	@./bootstrap.sh $(VENV) $(LAB_PACKAGES)
	@touch $@
