# Two commands: `make demo` and `make test`. Both install what is missing first.
.PHONY: demo test lock

VENV := .venv
PYTHON := $(VENV)/bin/python

$(VENV)/.ready: requirements.lock pyproject.toml
	./bootstrap.sh $(VENV)
	touch $@
