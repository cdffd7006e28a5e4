# Two commands on a fresh machine: `make demo` and `make test`. They need python3 (3.11 or newer) and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: setup demo test test-slow test-cluster fuzz lint bench bench-search bench-scale clean test-chaos chaos bench-quick decisions

demo: setup
	$(BIN)/rbt-ray demo

# Three processes share the tests, since many wait for other processes; tests/conftest.py says which stay together.
SHARED := -n 3 --dist loadgroup --no-loadscope-reorder --durations 15

test: setup
	$(BIN)/python -m pytest $(SHARED)

# Exhaustive halves of what `make test` samples, and single tests that take long.
test-slow: setup
	$(BIN)/python -m pytest -m slow $(SHARED)

# Several hosts as Linux namespaces: needs root, iproute2, openssh-server and rsync, and says so.
test-cluster: setup
	$(BIN)/python -m pytest tests/cluster -m cluster

# Where `make fuzz` and `make chaos` leave what they counted; the latter then writes docs/reliability.md.
FUZZED := build/fuzz.json
COUNTS := build/chaos

# Up to 175,000 hostile inputs over the parsers, an hour and a half at most; `make test` has some hundred, `make test-slow` thousands.
fuzz: setup
	mkdir -p build
	$(BIN)/python -m tests.fuzz.run --cases 25000 --seconds 5400 --counts $(FUZZED)

# Faults at random moments: a short version, and a long one that writes what it counted.
test-chaos: setup
	$(BIN)/python -m pytest tests/chaos -m chaos -s

chaos: setup
	mkdir -p $(COUNTS)
	$(BIN)/python -m tests.chaos run --backend local --seed 1000 --studies 175 --counts $(COUNTS)/local.json & local=$$!; \
	  $(BIN)/python -m tests.chaos run --backend ray --seed 3000 --studies 30 --counts $(COUNTS)/ray.json; ray=$$?; \
	  wait $$local && exit $$ray
	if [ "$$(id -u)" = 0 ]; then $(BIN)/python -m tests.chaos run --backend hosts --seed 5000 --studies 15 --counts $(COUNTS)/hosts.json; fi
	$(BIN)/python -m tests.chaos write docs/reliability.md --fuzz $(FUZZED) $(COUNTS)/*.json

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Everything measured anew, in about two and a half hours with nothing beside it: docs/benchmarks.* and docs/decisions.
KEPT := --data docs/benchmarks.json
bench: setup
	$(BIN)/python benchmarks/throughput.py $(KEPT)
	$(BIN)/python benchmarks/first_result.py $(KEPT)
	$(BIN)/python benchmarks/bundle_memory.py $(KEPT)
	$(BIN)/python benchmarks/throughput.py --backend ray $(KEPT)
	$(BIN)/python benchmarks/bundle_memory.py --backend ray $(KEPT)
	$(BIN)/python benchmarks/ray_start.py $(KEPT)
	$(BIN)/python benchmarks/suggestion.py $(KEPT)
	$(BIN)/python benchmarks/bohb_wall.py $(KEPT)
	$(BIN)/python benchmarks/adapters.py
	$(BIN)/python benchmarks/kernel_bound.py
	$(BIN)/python -m benchmarks.decisions
	benchmarks/peers/rustybt_environment
	rm -f docs/decisions/peers.json
	for part in grid trials tune "kernel --rounds 2" "gains --rounds 3" memory; do \
	  $(BIN)/python benchmarks/peers $$part || exit 1; done
	$(BIN)/python benchmarks/peers write
	$(BIN)/python benchmarks/page.py

# Whether they all still run, and both sides of every comparison give the same; no time is looked at, and docs/ stays as it is.
SCRATCH := build/bench-quick/benchmarks.json
bench-quick: setup
	$(BIN)/python benchmarks/throughput.py --quick --data $(SCRATCH)
	$(BIN)/python benchmarks/first_result.py --repeats 1 --data $(SCRATCH)
	$(BIN)/python benchmarks/bundle_memory.py --mb 2 --data $(SCRATCH)
	$(BIN)/python benchmarks/scale.py --quick
	$(BIN)/python benchmarks/ray_start.py --repeats 1 --data $(SCRATCH)
	$(BIN)/python benchmarks/long_run.py --quick
	$(BIN)/python benchmarks/suggestion.py --quick --data $(SCRATCH)
	$(BIN)/python benchmarks/bohb_wall.py --quick --rounds 1 --data $(SCRATCH)
	$(BIN)/python benchmarks/search_quality.py --quick >/dev/null
	$(BIN)/python -m benchmarks.decisions --quick
	$(BIN)/python benchmarks/peers --quick
	$(BIN)/python benchmarks/page.py $(SCRATCH)

# The four optimizations of the old evaluation, each with a page in docs/decisions; `make decisions ONLY=bohb` for one.
decisions: setup
	$(BIN)/python -m benchmarks.decisions $(ONLY)

bench-search: setup
	$(BIN)/python benchmarks/search_quality.py --write docs/decisions

# One driver and up to ten thousand simulated workers: some hours, most of them BOHB's.
bench-scale: setup
	$(BIN)/python benchmarks/scale.py

setup: $(READY)

# uv leaves out hpbandster's one dependency that needs a C compiler (see pyproject.toml), and compiles bytecode:
# where an environment forbids Python to write it, every start would pay seconds.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rbt_ray needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(VENV) --compile-bytecode --constraint constraints.txt \
	  --group dev --editable '.[ta,polars,optuna,cluster]'
	$(BIN)/python -m compileall -q rbt_ray
	$(BIN)/python -m rbt_ray.objectives.compile
	@touch $(READY)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
