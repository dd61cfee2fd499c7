# The two commands of the README: `make demo` and `make test`.
PYTHON ?= python3
BACKENDS = $(or $(BACKEND),jax tensorflow torch)
WORKERS ?= 2
VENV = .venv
BIN = $(VENV)/bin

.PHONY: env demo docs test test-tfio test-cv lint format clean

env: $(VENV)/installed

# Python compiles what is imported, a small part of what pip would compile.
$(VENV)/installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile -c constraints.txt -e ".[all,dev,docs]"
	touch $@

# One thread for each worker, so that workers do not fight for cores, and what
# JAX compiles is kept for other workers, for scripts that tests start and for
# the next run. The bound on its size is what makes JAX lock these files.
TEST_ENV = TF_CPP_MIN_LOG_LEVEL=2 \
  OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
  JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.pytest_cache/jax \
  JAX_COMPILATION_CACHE_MAX_SIZE=1000000000 \
  JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.5 \
  XLA_FLAGS="--xla_backend_optimization_level=0 \
    --xla_llvm_disable_expensive_passes=true"

# `make test BACKEND=jax` tests one backend, `WORKERS=8` in more processes.
# Tests marked `once` are of what is above the backends (files, flags,
# pictures): of several backends, the last runs them.
test: env
	@for backend in $(BACKENDS); do \
	  echo "== $$backend"; \
	  tests="not once"; \
	  [ $$backend != $(lastword $(BACKENDS)) ] || tests=""; \
	  KERAS_BACKEND=$$backend $(TEST_ENV) $(BIN)/python -m pytest \
	    -n $(WORKERS) --dist worksteal -m "$$tests" || exit 1; \
	done

# The alternative video reader and KerasCV's layers, in an environment of their
# own: tensorflow-io loads beside TensorFlow 2.16 only, and decord's wheel brings
# FFmpeg 4, whose files have a hash in their names there; KerasCV brings much
# that nothing else needs.
TFIO = .venv-tfio
# Where a library or the shared video is missing, these tests fail.
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
	$(TFIO_ENV) $(TFIO)/bin/python -m pytest tests/data/video/tfio_reader_test.py

test-cv: $(TFIO)/installed
	$(TFIO_ENV) KERAS_LARP_REQUIRE_CV=1 \
	  $(TFIO)/bin/python -m pytest tests/data/pipelines/augmentation_test.py

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds the site into site/; broken links and anchors are errors.
docs: env
	KERAS_BACKEND=$(or $(BACKEND),torch) $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) $(TFIO) build dist site *.egg-info

# `make demo PART=preset` shows the trained preset alone and `PART=fit` trains
# alone; `make demo DATA=/path/to/UCF-101` trains on video files, and
# `make demo BACKEND=torch` takes another backend.
demo: env
	KERAS_BACKEND=$(or $(BACKEND),jax) TF_CPP_MIN_LOG_LEVEL=2 \
	  $(BIN)/python examples/quickstart.py \
	  $(if $(PART),--part=$(PART)) $(if $(DATA),--data=$(DATA))
