# Everything runs in the active virtual environment, or in .venv, which is made and filled on first use.
.PHONY: help install demo test test-fast check docs bench

help:
	@echo "make demo       install, fetch a small model, compare plain and speculative decoding side by side"
	@echo "make test       all tests, the ones on real models included (fetches about 600 MB of models once)"
	@echo "make test-fast  the tests that need no model"
	@echo "make check      linter, types, import layers and size gates"
	@echo "make docs       rewrite the program outputs that the documentation quotes"
	@echo "make bench      the shipped workloads with every drafter that needs no training"

install:
	@scripts/install

demo:
	@scripts/demo

test:
	@scripts/test

test-fast:
	@scripts/test fast

check:
	@scripts/check

docs:
	@scripts/docs

bench:
	@scripts/bench
