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
