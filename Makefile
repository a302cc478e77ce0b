# What CI runs, and what a person runs. CONTRIBUTING.md says more.

# Builds with PAM where that is possible.
PAM := $(if $(wildcard /usr/include/security/pam_appl.h),--features pam)

.PHONY: help check test fuzz bench book demo setup

help:
	@echo "make check   formatting, lints, documentation, licences"
	@echo "make test    installs what is missing, then runs every test against real PostgreSQL"
	@echo "make fuzz    every fuzz target for FUZZ_SECONDS each (default 30)"
	@echo "make bench   criterion benches, and pgweir beside pgbouncer"
	@echo "make book    the book of docs/, in target/book"
	@echo "make demo    a failover before your eyes; FAULT=kill|hang|blackhole|switchover|announced|splitbrain|all,"
	@echo "             KEEP=1 leaves it running until Ctrl-C"
	@echo "make setup   only installs what is missing"

check:
	tools/cargo-tool.sh deny
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(PAM) -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --quiet
	cargo deny --workspace check --hide-inclusion-graph licenses bans sources

test: setup
	tools/test.sh

fuzz:
	tools/fuzz.sh

bench:
	cargo bench --workspace --benches

book: setup
	$${PGWEIR_MDBOOK:-target/mdbook/bin/mdbook} build docs

demo: setup
	cargo build --profile demo --bin pgweir
	cargo run --profile demo --quiet --example demo -- $(FAULT)

setup:
	@tools/setup.sh
