# The commands of this repository. `make demo` and `make test` are the two that the README names.

CARGO ?= cargo
# What building librdkafka against the system's libraries needs, and what the devstack runs on.
PACKAGES = build-essential pkg-config libssl-dev libsasl2-dev zlib1g-dev openssl python3-venv openjdk-17-jre-headless maven

# No path of the machine that builds goes into the binary: neither of Rust's sources nor of the C libraries'.
SOURCES = $(or $(CARGO_HOME),$(HOME)/.cargo)
RELEASE = RUSTFLAGS="$(RUSTFLAGS) --remap-path-prefix=$(CURDIR)=oncesink --remap-path-prefix=$(SOURCES)/registry/src=crates" \
	CFLAGS="$(CFLAGS) -ffile-prefix-map=$(CURDIR)=oncesink -ffile-prefix-map=$(SOURCES)/registry/src=crates" \
	CXXFLAGS="$(CXXFLAGS) -ffile-prefix-map=$(CURDIR)=oncesink -ffile-prefix-map=$(SOURCES)/registry/src=crates"

.PHONY: help deps build demo test fuzz-smoke fuzz model sim profiles chaos overload zombies lint doc bench profile price clean

help:
	@echo "make demo    real data through a real broker into a real engine, then verify"
	@echo "make test    lint, docs and all tests"
	@echo "make fuzz    TARGET=row SECONDS=600: libFuzzer over one target of fuzz/"
	@echo "make lint    formatting and clippy, warnings denied"
	@echo "make bench   the figures of the README; make price: what fence, ledger and transaction cost; make profile: a flame graph"
	@echo "make model   every state of small worlds; make sim SEEDS=1000000: the simulation and its planted faults"
	@echo "make profiles            every setting of the server at other values: do our statements still do the same?"
	@echo "make chaos MINUTES=20    kill, freeze, cut and break everything, and compare (make overload, make zombies)"
	@echo "make build   the release binary, target/release/oncesink"

# Installs what is missing where it can (root on Debian or Ubuntu); names it elsewhere.
deps:
	@sh devstack/install-packages.sh $(PACKAGES)

build: deps
	$(RELEASE) $(CARGO) build --release --locked --bin oncesink

demo: deps
	$(RELEASE) $(CARGO) build --release --locked --bin oncesink --example demo
	$(RELEASE) $(CARGO) run --release --locked --quiet --example demo

lint: deps
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features failpoints,price --locked -- -D warnings
	$(CARGO) metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml > /dev/null

doc: deps
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

# The tests drive a binary with failpoints compiled in; a release never has them.
test: lint doc
	$(CARGO) test --workspace --features failpoints --locked

# Every state of small worlds; MODEL_STEPS (3000000) bounds how many steps are taken in each.
model: deps
	MODEL_STEPS=$${MODEL_STEPS:-3000000} $(CARGO) test --release --features failpoints --locked --test sim no_state -- --nocapture

# SEEDS runs of the simulation, and which check notices which planted fault.
SEEDS ?= 1000000
sim: deps
	SIM_SEEDS=$(SEEDS) $(CARGO) test --release --features failpoints --locked --test sim every_record -- --nocapture
	$(CARGO) test --release --features failpoints --locked --test sim every_planted -- --nocapture

# Every setting of the server at other values, against every kind of statement: some minutes.
profiles: deps
	PROFILE_SWEEP=1 $(CARGO) test --features failpoints --locked --test it no_setting_at_all -- --nocapture

# The corpus of fuzz/ and a fixed number of changes of it; part of `make test`.
fuzz-smoke: deps
	$(CARGO) test --features failpoints --locked --test fuzz_smoke

# Coverage is counted by flags of the stable compiler. A target of its own, so that build scripts are left alone.
FUZZ_HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_FLAGS = -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1
TARGET ?= row
SECONDS ?= 60
fuzz: deps
	RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --release --locked --manifest-path fuzz/Cargo.toml --target $(FUZZ_HOST) --bin $(TARGET)
	mkdir -p target/fuzz-corpus/$(TARGET)
	"$${CARGO_TARGET_DIR:-fuzz/target}/$(FUZZ_HOST)/release/$(TARGET)" -max_total_time=$(SECONDS) -timeout=30 -rss_limit_mb=2048 \
		-max_len=4096 target/fuzz-corpus/$(TARGET) fuzz/corpus/$(TARGET)

# BENCH: which bench, and what varies it; `make bench BENCH="throughput --help"` tells.
BENCH ?= throughput --loads L1,L4 --kafka-engine 1,2
bench: deps
	$(CARGO) bench --locked --bench rig -- $(BENCH)

# A flame graph of the connector, where the machine lets perf look (kernel.perf_event_paranoid).
INFERNO = target/tools/bin
profile: deps
	@command -v perf > /dev/null || { echo "perf is missing: apt-get install linux-perf"; exit 1; }
	test -x $(INFERNO)/inferno-flamegraph || $(CARGO) install --quiet --locked --root target/tools inferno
	mkdir -p target/bench
	$(CARGO) bench --locked --bench rig -- throughput --runs 1 --profile target/bench/perf.data
	perf script -i target/bench/perf.data | $(INFERNO)/inferno-collapse-perf | $(INFERNO)/inferno-flamegraph > target/bench/profile.svg
	@echo "target/bench/profile.svg"

# What the promise costs: a build of its own, which can leave parts of the protocol out.
price: deps
	$(CARGO) bench --locked --features price --bench rig -- price $(PRICE)

# docs/reliability.md says what they do. Each run appends a line to target/chaos/record.jsonl, or CHAOS_RECORD.
MINUTES ?= 20
CHAOS = $(CARGO) test --release --features failpoints --locked --test chaos -- --nocapture --test-threads 1

# MINUTES of faults, half of them in the variant without a quiet tail. CHAOS_SEED repeats a choice of faults,
# CHAOS_INTERVAL (4.5) is the time between two in seconds, CHAOS_RATE (120000) how many records a second are made.
chaos: deps
	CHAOS_MINUTES=$(MINUTES) $(CHAOS) chaos_with

# Three overloads of OVERLOAD_MINUTES (10) each.
overload: deps
	OVERLOAD_MINUTES=$${OVERLOAD_MINUTES:-10} $(CHAOS) overload_

zombies: deps
	ZOMBIE_RUNS=$${ZOMBIE_RUNS:-200} $(CHAOS) zombies_

clean:
	$(CARGO) clean
