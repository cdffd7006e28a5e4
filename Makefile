# Two commands on a fresh machine: `make demo` and `make test`. They need python3 (3.11 or newer) and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: setup demo test test-slow test-cluster test-cluster-slow fuzz lint bench bench-search bench-trust bench-scale clean test-chaos chaos bench-quick decisions docs docs-serve

demo: setup
	$(BIN)/rbt-ray demo

# Several processes share the tests, since many wait for other processes; tests/conftest.py says which stay together. Each
# process imports all tests, but not those that other targets run.
PROCESSES ?= 4
SHARED := -n $(PROCESSES) --dist loadgroup --no-loadscope-reorder --durations 15
SHARED += --ignore tests/cluster --ignore tests/chaos --ignore tests/adapters/engines

test: setup
	$(BIN)/python -m pytest $(SHARED)

# Exhaustive halves of what `make test` samples, and single tests that take long.
test-slow: setup
	$(BIN)/python -m pytest -m slow $(SHARED)

# Several hosts as Linux namespaces; needs root, iproute2, openssh-server and rsync.
test-cluster: setup
	$(BIN)/python -m pytest tests/cluster -m "cluster and not slow"

# What the tests above cover once, for both autoscalers of Ray, each way to submit a study, and longer outages.
test-cluster-slow: setup
	$(BIN)/python -m pytest tests/cluster -m "cluster and slow"

# The counts of `make fuzz` and `make chaos`, from which the latter writes docs/reliability.md.
FUZZED := build/fuzz.json
COUNTS := build/chaos

# Up to 175,000 hostile inputs over the parsers, an hour and a half at most; `make test` has some hundred, `make test-slow` thousands.
fuzz: setup
	mkdir -p build
	$(BIN)/python -m tests.fuzz.run --cases 25000 --seconds 5400 --counts $(FUZZED)

# Faults at random moments: a short version, and a long one that writes its counts.
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

# The documentation as a site, in build/site. A warning, a dead link or a public name without an entry is an error.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs
docs: $(READY).docs
	$(MKDOCS) build --quiet --strict --config-file docs/site/mkdocs.yml
	$(BIN)/python -m docs.site.check build/site

docs-serve: $(READY).docs
	$(MKDOCS) serve --config-file docs/site/mkdocs.yml --dev-addr 127.0.0.1:8000

# Repeats all measurements (docs/benchmarks.* and docs/decisions) in about two and a half hours; run nothing else at the same time.
DATA := --data docs/benchmarks.json
bench: setup
	$(BIN)/python benchmarks/throughput.py $(DATA)
	$(BIN)/python benchmarks/first_result.py $(DATA)
	$(BIN)/python benchmarks/bundle_memory.py $(DATA)
	$(BIN)/python benchmarks/throughput.py --backend ray $(DATA)
	$(BIN)/python benchmarks/bundle_memory.py --backend ray $(DATA)
	$(BIN)/python benchmarks/ray_start.py $(DATA)
	$(BIN)/python benchmarks/suggestion.py $(DATA)
	$(BIN)/python benchmarks/bohb_wall.py $(DATA)
	$(BIN)/python benchmarks/adapters.py
	$(BIN)/python benchmarks/kernel_bound.py
	$(BIN)/python -m benchmarks.decisions
	benchmarks/peers/rustybt_environment
	rm -f docs/decisions/peers.json
	for part in grid trials tune "kernel --rounds 2" "gains --rounds 3" memory; do \
	  $(BIN)/python benchmarks/peers $$part || exit 1; done
	$(BIN)/python benchmarks/peers write
	$(BIN)/python benchmarks/page.py

# Checks that all benchmarks run, and that both sides of every comparison give the same results; measures nothing, leaves docs/ alone.
SCRATCH := build/bench-quick/benchmarks.json
bench-quick: setup
	$(BIN)/python benchmarks/throughput.py --quick --data $(SCRATCH)
	$(BIN)/python benchmarks/first_result.py --repeats 1 --data $(SCRATCH)
	$(BIN)/python benchmarks/bundle_memory.py --mb 2 --data $(SCRATCH)
	$(BIN)/python benchmarks/scale.py --quick
	$(BIN)/python benchmarks/large_search.py --quick
	$(BIN)/python benchmarks/ray_actors.py --quick
	$(BIN)/python benchmarks/bounded_regret.py --quick
	$(BIN)/python benchmarks/ray_start.py --repeats 1 --data $(SCRATCH)
	$(BIN)/python benchmarks/long_run.py --quick
	$(BIN)/python benchmarks/suggestion.py --quick --data $(SCRATCH)
	$(BIN)/python benchmarks/bohb_wall.py --quick --rounds 1 --data $(SCRATCH)
	$(BIN)/python benchmarks/search_quality.py --quick >/dev/null
	$(BIN)/python benchmarks/several_objectives.py --quick >/dev/null
	$(BIN)/python benchmarks/trust.py --quick >/dev/null
	$(BIN)/python -m benchmarks.decisions --quick
	$(BIN)/python benchmarks/peers --quick
	$(BIN)/python benchmarks/page.py $(SCRATCH)

# Evaluates the four optimizations, with a page for each in docs/decisions; `make decisions ONLY=bohb` runs one.
decisions: setup
	$(BIN)/python -m benchmarks.decisions $(ONLY)

bench-search: setup
	$(BIN)/python benchmarks/search_quality.py --write docs/decisions
	$(BIN)/python benchmarks/several_objectives.py --write docs/decisions

bench-trust: setup
	$(BIN)/python benchmarks/trust.py --write docs/decisions

# The figures of docs/scaling.md in about ten minutes; run nothing else at the same time.
bench-scale: setup
	$(BIN)/python benchmarks/large_search.py --write docs/scaling.md
	$(BIN)/python benchmarks/ray_actors.py --write docs/scaling.md
	$(BIN)/python benchmarks/scale.py --search auto bohb random --trials 700000 --processes 2 --write docs/scaling.md

setup: $(READY)

# uv skips hpbandster's one dependency that needs a C compiler (see pyproject.toml), and compiles bytecode: if Python may not
# write it, every start takes seconds longer.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rbt_ray needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(VENV) --compile-bytecode --constraint constraints.txt \
	  --group dev --editable '.[ta,polars,optuna,hpbandster,cluster]'
	$(BIN)/python -m compileall -q rbt_ray
	$(BIN)/python -m rbt_ray.objectives.compile
	@touch $(READY)

$(READY).docs: $(READY)
	$(BIN)/uv pip install --quiet --python $(VENV) --compile-bytecode --constraint constraints.txt --group docs
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
