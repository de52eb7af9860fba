# make demo   the whole method on a laptop, from a Wikipedia dump to a report
# make test   the whole test suite          make check   format, lint, types, import contract
# make fix    apply format and lint         make setup   the environment in .venv
# make lock   pin the newest allowed versions into requirements/lock.txt
# make bench-synthesis  how fast synthesis is on this machine, by engine
# make torture  kills, full disks, damaged files: does a plain restart give the same tables?
# make adopt  takes results from DVC's remote for this folder's own, once they are proved to fit
# make explain  what would run, why, how long, which tables change    make verify  are all results of these settings?
# make preflight  what would stop a run later    make accept STAGE=pretraining  declares a code change harmless
# make bench  our path against the plain one, large stores, break-even: results/bench/
# make clean  delete caches of tools; results, states and logs stay

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
BIN := .venv/bin
CODE := clara workflow_scripts tests requirements
UV := .venv-lock/bin/uv

.PHONY: help setup demo test check fix lock torture adopt clean bench-synthesis bench bench-store
.PHONY: explain verify preflight accept
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile | head -11

setup:
	@$(PYTHON) requirements/install.py

# THREADS=4 gives each of its jobs so many cores (backbone.cpu_threads): faster on more than two, other last digits.
demo: GIVEN = --profile profiles/local $(if $(THREADS),--config 'backbone={cpu_threads: $(THREADS)}')
demo: setup
	@trap 'echo "interrupted; what is finished stays, and make demo goes on from there" >&2; exit 130' INT TERM; \
	$(BIN)/python workflow_scripts/run_pipeline.py $(GIVEN)
	@run=$$(sed -n 's/^run: *\([A-Za-z0-9_]*\).*/\1/p' config.yaml); \
	$(BIN)/python workflow_scripts/show_results.py --page results/$$run/report/index.html; \
	own=results/$$run/report/snakemake.html; test $$own -nt results/$$run/report/index.html || \
		if $(BIN)/python -m snakemake --report $$own $(GIVEN) >/dev/null 2>&1; \
		then echo "Snakemake's own report, with run times and the graph: $$own"; \
		else echo "Snakemake's own report could not be written; see: snakemake --report $$own"; fi

# Threads of OpenMP libraries spin while they wait: on two busy cores one thread each is several times faster.
# A file's tests stay in one process; JOBS=1 runs all of them in one.
test: export OMP_NUM_THREADS = 1
test: setup
	@$(BIN)/python -m pytest -n $(or $(JOBS),2) --dist loadfile $(PYTEST_ARGS)

check: setup
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/python tests/workflow/lints.py
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: setup
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)
	$(BIN)/snakefmt Snakefile rules

# One thread, as in the demo's jobs; PASSAGES and DTYPE may be given: make bench-synthesis PASSAGES=64 DTYPE=bfloat16
bench-synthesis: export OMP_NUM_THREADS ?= 1
bench-synthesis: setup
	@run=$$(sed -n 's/^run: *\([A-Za-z0-9_]*\).*/\1/p' config.yaml); \
	$(BIN)/python workflow_scripts/run_pipeline.py results/$$run/corpus/passages.parquet --profile profiles/local -q && \
	$(BIN)/python workflow_scripts/bench_synthesis.py --passages results/$$run/corpus/passages.parquet \
		--backbone results/$$run/backbone/card.json --dtype $(or $(DTYPE),float32) \
		--num-passages $(or $(PASSAGES),16) --speeds results/bench/synthesis.json

# What both read is made first, where it is missing: the demo's corpus; for bench-store also its trained model.
bench: setup
	@run=$$(sed -n 's/^run: *\([A-Za-z0-9_]*\).*/\1/p' config.yaml); results=results/$$run; \
	pools="$$results/candidates/nq.test.oracle.jsonl $$results/candidates/hotpotqa.test.oracle.jsonl"; \
	$(BIN)/python workflow_scripts/run_pipeline.py $$results/backbone/card.json $$results/corpus/documents.parquet \
		$$pools --profile profiles/local -q && \
	$(BIN)/python workflow_scripts/bench.py --backbone $$results/backbone/card.json \
		--documents $$results/corpus/documents.parquet --candidates $$pools --output results/bench $(BENCH_ARGS)

bench-store: setup
	@run=$$(sed -n 's/^run: *\([A-Za-z0-9_]*\).*/\1/p' config.yaml); results=results/$$run; \
	name=instruction-cr16-base; \
	$(BIN)/python workflow_scripts/run_pipeline.py $$results/backbone/card.json $$results/corpus/documents.parquet \
		$$results/joint/$$name/card.json $$results/compression/$$name/manifest.json \
		$$results/synthesis/pairs.parquet --profile profiles/local -q && \
	$(BIN)/python workflow_scripts/bench.py --backbone $$results/backbone/card.json \
		--documents $$results/corpus/documents.parquet --candidates $$results/candidates/*.oracle.jsonl \
		--checkpoint $$results/joint/$$name/card.json --store $$results/compression/$$name/manifest.json \
		--pairs $$results/synthesis/pairs.parquet \
		--output results/bench

lock:
	@test -x $(UV) || ($(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install -q uv)
	$(UV) pip compile requirements/main.in --override requirements/overrides.in --python-version 3.11 --upgrade \
		--generate-hashes --no-annotate --custom-compile-command "make lock" -q -o requirements/lock.txt

torture: setup
	$(BIN)/python tests/workflow/torture.py --kills 100 $(TORTURE_ARGS)

adopt: setup
	@$(BIN)/python workflow_scripts/adopt.py

# ARGS go to Snakemake, as for the run itself: make explain ARGS="--profile slurm --configfile configs/paper-mistral.yaml"
explain verify preflight: ARGS ?= --profile profiles/local
explain verify preflight: setup
	@$(BIN)/python workflow_scripts/$@.py $(ARGS)

accept: ARGS ?= --profile profiles/local
accept: setup
	@$(BIN)/python workflow_scripts/accept.py $(STAGE) --why "$(WHY)" $(ARGS)

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache __pycache__
	find clara workflow_scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
