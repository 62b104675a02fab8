# The commands of this repository. `make demo` and `make test` are the two that the README names.

CARGO ?= cargo
# What building librdkafka against the system's libraries needs, and what the devstack runs on.
PACKAGES = build-essential pkg-config libssl-dev libsasl2-dev zlib1g-dev openssl python3-venv openjdk-17-jre-headless maven

.PHONY: help deps build demo test lint doc bench clean

help:
	@echo "make demo    real data through a real broker into a real engine, then verify"
	@echo "make test    lint, docs and all tests"
	@echo "make lint    formatting and clippy, warnings denied"
	@echo "make bench   the figures of the README"
	@echo "make build   the release binary, target/release/oncesink"

# Installs what is missing where it can (root on Debian or Ubuntu); names it elsewhere.
deps:
	@sh devstack/install-packages.sh $(PACKAGES)

build: deps
	$(CARGO) build --release --locked --bin oncesink

demo: deps
	$(CARGO) build --release --locked --bin oncesink --example demo
	$(CARGO) run --release --locked --quiet --example demo

lint: deps
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features failpoints --locked -- -D warnings

doc: deps
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

# The tests drive a binary with failpoints compiled in; a release never has them.
test: lint doc
	$(CARGO) test --workspace --features failpoints --locked

# BENCH_RECORDS (default 2000000) and BENCH_RUNS (default 3) change the load and the number of runs.
bench: deps
	$(CARGO) bench --locked --bench l1

clean:
	$(CARGO) clean
