# Start with `make demo` and `make test`.
PYTHON ?= python3
BACKENDS = $(or $(BACKEND),jax tensorflow torch)
WORKERS ?= 2
VENV = .venv
BIN = $(VENV)/bin

# Tests and commands start many processes. An empty value makes Python store the
# bytecode of the libraries, in place of compiling them at every start (which
# takes 17 of 24 seconds for PyTorch).
export PYTHONDONTWRITEBYTECODE =

.PHONY: env demo docs test test-lowest test-tfio test-cv fuzz faults benchmark \
  lint vocabulary format dist clean

env: $(VENV)/installed

# `--no-compile`: Python compiles the few modules that it imports; pip would
# compile all.
$(VENV)/installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile -c constraints.txt -e ".[all,dev,docs]"
	touch $@

# One thread per worker, so that workers do not compete for cores. JAX's
# compilation cache is shared by workers, by scripts that tests start, and by
# later runs; JAX locks its files only if the cache has a maximum size.
TEST_ENV = TF_CPP_MIN_LOG_LEVEL=2 \
  OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
  JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.pytest_cache/jax \
  JAX_COMPILATION_CACHE_MAX_SIZE=1000000000 \
  JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.5 \
  XLA_FLAGS="--xla_backend_optimization_level=0 \
    --xla_llvm_disable_expensive_passes=true"

# `make test BACKEND=jax` tests one backend, `WORKERS=8` uses more processes.
# Tests marked `once` do not depend on the backend (files, flags, plots): with
# several backends, only the last one runs them.
test: env
	@for backend in $(BACKENDS); do \
	  echo "== $$backend"; \
	  tests="not once"; \
	  [ $$backend != $(lastword $(BACKENDS)) ] || tests=""; \
	  KERAS_BACKEND=$$backend $(TEST_ENV) $(BIN)/python -m pytest \
	    -n $(WORKERS) --dist worksteal -m "$$tests" || exit 1; \
	done

# Kills and stops the commands, fills disks and measures memory, for minutes per
# backend; see tests/faults/README.md.
faults: env
	@for backend in $(BACKENDS); do \
	  echo "== $$backend"; \
	  KERAS_BACKEND=$$backend PYTHONPATH=.:tests $(TEST_ENV) \
	    $(BIN)/python -m faults || exit 1; \
	done

# The lowest supported versions of the dependencies. JAX needs NumPy 2.
LOWEST = .venv-lowest-$(LOWEST_BACKEND)
LOWEST_BACKEND = $(or $(BACKEND),torch)
LOWEST_NUMPY = $(if $(filter jax,$(LOWEST_BACKEND)),2.0.0,1.26.0)
LOWEST_TESTS = tests/layers tests/losses tests/metrics tests/data tests/presets \
  tests/golden_test.py tests/golden_training_test.py \
  tests/models/training_test.py

$(LOWEST)/installed: setup.py constraints-lowest.txt
	$(or $(LOWEST_PYTHON),python3.11) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet --no-compile -c constraints-lowest.txt \
	  -e ".[$(LOWEST_BACKEND),data,hub,viz]" numpy==$(LOWEST_NUMPY) \
	  pytest pytest-xdist hypothesis
	touch $@

# `make test-lowest BACKEND=jax`; the default backend is PyTorch.
test-lowest: $(LOWEST)/installed
	KERAS_BACKEND=$(LOWEST_BACKEND) $(TEST_ENV) $(LOWEST)/bin/python -m pytest \
	  -n $(WORKERS) --dist worksteal $(LOWEST_TESTS)

# The alternative video reader and KerasCV's layers need a separate
# environment: tensorflow-io works only with TensorFlow 2.16 and needs FFmpeg 4,
# which decord's wheel bundles under file names that contain a hash.
TFIO = .venv-tfio
# These tests fail instead of being skipped if something is missing.
TFIO_ENV = LD_LIBRARY_PATH=$(TFIO)/ffmpeg:$(TFIO)/ffmpeg/all \
  TF_CPP_MIN_LOG_LEVEL=2 KERAS_BACKEND=tensorflow \
  KERAS_LARP_REQUIRE_TFIO=1 KERAS_LARP_REQUIRE_SHARED=1

$(TFIO)/installed:
	$(or $(TFIO_PYTHON),python3.11) -m venv $(TFIO)
	$(TFIO)/bin/pip install --quiet "tensorflow-cpu==2.16.*" \
	  "tensorflow-io==0.37.1" "numpy<2" "keras>=3.15" decord "av>=17" \
	  "keras-cv==0.9.*" grain absl-py safetensors pillow pytest hypothesis
	mkdir -p $(TFIO)/ffmpeg
	ln -sfn ../lib/python3.11/site-packages/decord.libs $(TFIO)/ffmpeg/all
	cd $(TFIO)/ffmpeg && for file in all/libav* all/libsw*; do \
	  ln -sf $$file `basename $$file | sed 's/-[0-9a-f]*\(\.so\.[0-9]*\).*/\1/'`; \
	done
	touch $@

test-tfio: $(TFIO)/installed
	$(TFIO_ENV) $(TFIO)/bin/python -m pytest tests/data/sources/tfio_reader_test.py

test-cv: $(TFIO)/installed
	$(TFIO_ENV) KERAS_LARP_REQUIRE_CV=1 \
	  $(TFIO)/bin/python -m pytest tests/data/pipelines/augmentation_test.py

# Calls the public interface with many invalid arguments and prints a table of
# the outcomes: `make fuzz BACKEND=jax CASES=10000`. `make test` has a quick
# part of it.
CASES ?= 5000
fuzz: env
	@for backend in $(BACKENDS); do \
	  KERAS_BACKEND=$$backend $(TEST_ENV) PYTHONPATH=.:tests \
	    $(BIN)/python -m fuzz.run --cases=$(CASES) || exit 1; \
	done

# Compares the speed of the working tree with that of a revision, in less than
# five minutes: `make benchmark BASE=main BACKEND=torch`.
BASE ?= HEAD
benchmark: env
	$(BIN)/python benchmarks/compare_revisions.py --base=$(BASE) \
	  $(if $(BACKEND),--backends=$(BACKEND))

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=. $(BIN)/lint-imports --no-logo
	$(BIN)/codespell `git ls-files`
	$(BIN)/mypy

# The vocabulary of the field in prose, see .ci/vocabulary.toml.
vocabulary: env
	$(BIN)/python .ci/check_vocabulary.py

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds the site into site/; broken links and anchors are errors.
docs: env
	KERAS_BACKEND=$(or $(BACKEND),torch) $(BIN)/python -m mkdocs build --strict

# Builds the source distribution and the wheel, checks their metadata, and
# imports the installed wheel and runs its command in a fresh environment.
dist: env
	rm -rf build dist
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv --clear build/wheel
	build/wheel/bin/pip install --quiet --no-compile -c constraints.txt \
	  "`ls dist/*.whl`[jax]"
	cd build && KERAS_BACKEND=jax wheel/bin/python -c \
	  "import keras_larp; print(keras_larp.__file__); \
	  keras_larp.presets.load('larp_tiny_moving_shapes_tokenizer')"
	cd build && KERAS_BACKEND=jax wheel/bin/keras-larp --help > /dev/null

clean:
	rm -rf $(VENV) $(TFIO) .venv-lowest-* build dist site *.egg-info

# `make demo PART=preset` only shows the trained preset, `PART=fit` only trains.
# `make demo DATA=/path/to/UCF-101` trains on video files, and
# `make demo BACKEND=torch` selects another backend.
demo: env
	KERAS_BACKEND=$(or $(BACKEND),jax) TF_CPP_MIN_LOG_LEVEL=2 \
	  $(BIN)/python examples/quickstart.py \
	  $(if $(PART),--part=$(PART)) $(if $(DATA),--data=$(DATA))
