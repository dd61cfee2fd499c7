# The two commands of the README: `make demo` and `make test`.
PYTHON ?= python3
BACKENDS = $(or $(BACKEND),jax tensorflow torch)
VENV = .venv
BIN = $(VENV)/bin

.PHONY: env demo test lint format clean

env: $(VENV)/installed

$(VENV)/installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[all,dev]"
	touch $@

test: env
	@for backend in $(BACKENDS); do \
	  echo "== $$backend"; \
	  KERAS_BACKEND=$$backend TF_CPP_MIN_LOG_LEVEL=2 \
	    $(BIN)/python -m pytest || exit 1; \
	done

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info

# `make demo DATA=/path/to/UCF-101` trains on video files, and
# `make demo BACKEND=torch` on another backend.
demo: env
	KERAS_BACKEND=$(or $(BACKEND),jax) TF_CPP_MIN_LOG_LEVEL=2 \
	  $(BIN)/python examples/quickstart.py $(if $(DATA),--data=$(DATA))
