# `make demo` and `make test` set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-slow oldest trust lint types readme docs coverage table bench \
	bench-quick bench-gpu clean

demo: $(VENV)/.installed
	$(RUN) examples/quickstart.py

test: $(VENV)/.tested
	$(RUN) -m pytest -m "not slow" -n 2 --dist worksteal

test-slow: $(VENV)/.tested
	$(RUN) -m pytest -m slow -n 2 --dist worksteal

# The oldest versions that pyproject.toml allows, and what depends on other packages.
OLDEST := .venv-oldest
OLDEST_PIP := $(OLDEST)/bin/python -m pip install --quiet \
	--disable-pip-version-check -c .ci/constraints-oldest.txt
OLDEST_TESTS := tests/plots tests/test_active_set.py tests/test_continuation.py \
	tests/test_parquet_rows.py tests/test_recipes.py tests/test_sparse_inputs.py \
	$(addprefix tests/estimators/test_,callbacks.py cv.py export.py files.py \
	fitted.py inputs.py partial_fit.py selection.py sklearn_protocol.py)

oldest: $(OLDEST)/.tested
	$(OLDEST)/bin/python -m pytest -m "not slow" -n 2 --dist worksteal $(OLDEST_TESTS)

$(OLDEST)/.tested: pyproject.toml .ci/constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST_PIP) torch
	$(OLDEST_PIP) -e ".[test]"
	touch $@

# An hour or so: random fits, damaged files, kills, crowds; writes docs/trust.md.
trust: $(VENV)/.tested
	$(RUN) -m tests.trust --out docs/trust.json --page docs/trust.md

coverage: $(VENV)/.tested
	$(RUN) -m pytest -m "not slow" -n 2 --cov --cov-report=term-missing:skip-covered

lint: $(VENV)/.tested
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/.tested
	$(RUN) -m mypy

readme: $(VENV)/.tested
	$(RUN) -m pytest --doctest-glob="*.md" README.md docs

# The examples of the gallery are run, unless PICTURES=0.
PICTURES ?= 1

docs: $(VENV)/.tested
	$(RUN) -m sphinx -W --keep-going -n -q -b html -d build/doctrees \
		-D plot_gallery=$(PICTURES) docs build/docs

table: $(VENV)/.installed
	$(RUN) examples/targets_table.py --write docs/targets.md

# Where the data files of the benchmark are, its results, and how many processes.
DATA ?= ../shared/data
RESULTS ?= build
JOBS ?= 2
BENCH := PYTHONPATH=examples $(RUN) -m benchmarks

bench: $(VENV)/.installed
	mkdir -p $(RESULTS)
	$(BENCH).run --data $(DATA) --out $(RESULTS)/results.json --jobs $(JOBS)
	$(BENCH).run --data $(DATA) --out $(RESULTS)/results.json --jobs $(JOBS) \
		--per-layer --methods l1 --budgets 1000
	$(BENCH).run --data $(DATA) --out $(RESULTS)/results.json --jobs $(JOBS) \
		--problems lin_incoherent lin_correlated lin_diabetes lin_cancer --seeds 20
	$(BENCH).cost --data $(DATA) --out $(RESULTS)/costs.json
	$(BENCH).certificate --data $(DATA) --json $(RESULTS)/lbfgs.json
	$(BENCH).certificate --data $(DATA) --json $(RESULTS)/adam.json --solver adam
	$(BENCH).certificate --json $(RESULTS)/large.json --only "breast cancer, large"
	$(BENCH).certificate --data $(DATA) --json $(RESULTS)/mg.json --accuracy
	$(BENCH).l1_solutions --data $(DATA) --json docs/certificate.json \
		--write docs/certificate.md
	$(BENCH).sweep --data $(DATA) --out $(RESULTS)/sweep.json --jobs $(JOBS)
	$(BENCH).inputs --data $(DATA) --out $(RESULTS)/inputs.json --jobs $(JOBS)
	$(BENCH).stability --data $(DATA) --out docs/stability.json --jobs $(JOBS) \
		--write docs/stability.md
	$(BENCH).small_tables --data $(DATA) --out docs/small_tables.json \
		--jobs $(JOBS) --write docs/small_tables.md
	$(BENCH).supports --data $(DATA) --out docs/supports.json --jobs $(JOBS) \
		--write docs/supports.md
	$(BENCH).mlpnet --data $(DATA) --out docs/mlpnet.json --write docs/supports.md
	$(BENCH).text --json docs/text.json --write docs/text.md
	$(BENCH).report --results $(RESULTS)/results.json \
		--costs $(RESULTS)/costs.json \
		--certificates $(RESULTS)/lbfgs.json $(RESULTS)/adam.json \
		$(RESULTS)/large.json \
		--mg $(RESULTS)/mg.json \
		--write docs/benchmarks.md
	PYTHONPATH=examples $(RUN) examples/overview_tables.py

bench-quick: $(VENV)/.installed
	mkdir -p $(RESULTS)
	$(BENCH).run --data $(DATA) --out $(RESULTS)/quick.json --jobs $(JOBS) --quick
	$(BENCH).report --results $(RESULTS)/quick.json

# All that needs a GPU, in less than ten minutes; says so where there is none.
bench-gpu: $(VENV)/.installed
	mkdir -p $(RESULTS)
	$(BENCH).gpu --data $(DATA)/mnist --out $(RESULTS)/gpu.json

clean:
	rm -rf docs/api docs/gallery docs/sg_execution_times.rst build/docs build/doctrees
	rm -rf $(VENV) $(OLDEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

# torch first and by itself: its version is the constraints file's.
$(VENV)/.installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) -e ".[dev]"
	touch $@
