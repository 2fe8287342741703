# make run starts the chat demo, make test checks everything; make help lists the rest.

export CARGO_TARGET_DIR ?= $(CURDIR)/target

CARGO   ?= cargo
RELEASE := $(CARGO_TARGET_DIR)/release
NGINX   := $(RELEASE)/nginx-objs/nginx
MODULE  := $(RELEASE)/libngx_http_icomet_module.so

export PORT ?= 8080

.DEFAULT_GOAL := help

# The steps share target/ and the machine: one after the other, also under make -j.
.NOTPARALLEL:

.PHONY: help
help:
	@echo 'make run           install what is missing, build, serve the chat demo on PORT (8080); LISTEN=* for other machines'
	@echo 'make two-nodes     the same for demo/two-nodes: two nodes, a front, a routing table'
	@echo 'make test          install what is missing, then every check below'
	@echo
	@echo 'make build         the module and the nginx it was built with, in target/release'
	@echo 'make lint          rustfmt, clippy and shellcheck'
	@echo 'make test-engine   the tests of all crates but the one of the module'
	@echo 'make test-nginx    the Test::Nginx suites in t/'
	@echo 'make test-api      docs/openapi.yaml against a running server, by schemathesis'
	@echo 'make test-js       the JavaScript client (clients/js), also against a running server'
	@echo 'make demo-js       build clients/js, and take its scripts into demo/'
	@echo 'make test-browser  a headless Chromium as a client, by WebSocket and EventSource'
	@echo 'make test-java     the client for Java and Android (clients/java), built by javac, against a running server'
	@echo 'make test-examples the back ends of examples/, in PHP, Python, Node, Java and shell, against a running server'
	@echo 'make test-held     the same, with icomet_park off'
	@echo 'make test-workers  the same, with four workers'
	@echo 'make test-hup      the same, with reloads instead of restarts'
	@echo 'make test-valgrind the same, under memcheck'
	@echo 'make test-sanitizer the same, nginx and the module under AddressSanitizer and UBSan'
	@echo 'make test-fuzz     the fuzz targets: their corpus, and a few thousand inputs more'
	@echo 'make test-harness  many clients, reloads, kills against a real nginx'
	@echo 'make test-demo     make run and demo/two-nodes as their users work with them'
	@echo 'make test-chaos    a worker stopped inside a lock; half a minute of the next'
	@echo 'make chaos         kills, stops, reloads, floods, cut clients, for a minute: nothing lost, nobody deaf'
	@echo 'make soak          the same for an hour'
	@echo 'make reloads       20 reloads over 20,000 waiting subscribers'
	@echo 'make hooks-outage  hooks over a minute without their back end, and what they cost a publish'
	@echo 'make kills         200 killed workers; and who is deaf after one, beside nchan'
	@echo 'make test-addon    build by the addon script of nginx, smoke suite'
	@echo "make test-debian   install what is missing, build for Debian's own nginx, smoke suite"
	@echo "make debian        only build the module for Debian's own nginx"
	@echo 'make fuzz          fuzz each TARGET (default: all of fuzz/) for FUZZ_SECONDS (120)'
	@echo 'make bench         install what is missing, compare with nchan and with a bare sender'
	@echo 'make bench-c1000k  the same for a million subscribers (24 GB of memory)'
	@echo 'make autobahn      the Autobahn testsuite against the WebSockets (needs Python 2.7)'
	@echo 'make clean         remove target/'

.PHONY: setup-run setup-demo setup-test setup-debian setup-java setup-examples setup-bench
setup-run:
	@script/setup.sh run

setup-demo:
	@script/setup.sh demo

setup-test:
	@script/setup.sh test

setup-debian:
	@script/setup.sh debian

setup-java:
	@script/setup.sh java

setup-examples:
	@script/setup.sh examples

setup-bench:
	@script/setup.sh bench

.PHONY: build
build:
	$(CARGO) build --release --locked
	@echo "nginx:  $(NGINX)"
	@echo "module: $(MODULE)"

.PHONY: run
run: setup-run build
	@script/run.sh

.PHONY: two-nodes
two-nodes: setup-demo build
	@demo/two-nodes/run.sh

.PHONY: test
test: setup-test lint test-engine test-fuzz build test-module test-nginx test-api test-js test-browser test-java test-examples test-held test-workers test-hup test-valgrind test-sanitizer test-harness test-demo test-chaos test-addon test-debian
	@echo 'make test: everything passed'

# In the release profile, so that the vendored nginx is not built once more for another one.
.PHONY: lint
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets --features icomet/fault-injection -- -D warnings
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	RUSTFLAGS='--cfg fuzzing' $(CARGO) clippy --release --locked --manifest-path fuzz/Cargo.toml --no-default-features \
		--target-dir $(CARGO_TARGET_DIR)/fuzz -- -D warnings
	shellcheck script/*.sh demo/two-nodes/run.sh .ci/run
	script/check-docs.sh

# In the dev profile: with debug assertions and overflow checks.
.PHONY: test-engine
test-engine:
	$(CARGO) test --locked -p icomet-engine -p icomet-protocol -p icomet-tables -p icomet-handover -p icomet-hooks -p icomet-state -p icomet-websocket -p icomet-harness -p icomet-bench --features icomet-engine/fault-injection

.PHONY: fuzz test-fuzz
fuzz: setup-run
	script/fuzz.sh run $(TARGET)

test-fuzz:
	script/fuzz.sh test

# What of the module needs no nginx; in the release profile, as lint.
.PHONY: test-module
test-module: build
	$(CARGO) test --release --locked -p icomet --lib

.PHONY: test-nginx test-held test-workers test-hup test-valgrind
test-nginx: build
	script/test-nginx.sh plain

# API takes more options: make test-api API='--max-examples 2000 --seed 7'
.PHONY: test-api
test-api: build
	script/test-api.sh $(API)

.PHONY: test-browser
test-browser: build
	script/test-browser.sh

# JS names test files: make test-js JS=channel
.PHONY: test-js
test-js: build
	script/test-js.sh $(JS)

# The demo's scripts stand in the tree, so that `make run` needs neither node nor npm.
.PHONY: demo-js
demo-js:
	script/build-js.sh
	cp clients/js/dist/icomet.min.js clients/js/dist/icomet-legacy.js demo/

# JAVA_SECONDS: how long the test with random cuts lasts.
.PHONY: test-java
test-java: setup-java build
	script/test-java.sh $(JAVA_SECONDS)

# EXAMPLES chooses tests: make test-examples EXAMPLES='-k TestNode'
.PHONY: test-examples
test-examples: setup-examples build
	script/test-examples.sh $(EXAMPLES)

test-held: build
	ICOMET_TEST_PARK=off script/test-nginx.sh plain

test-workers: build
	ICOMET_TEST_WORKERS=4 script/test-nginx.sh plain

test-hup: build
	script/test-nginx.sh hup

test-valgrind: build
	script/test-nginx.sh valgrind

# Builds nginx and the module once more, in target/sanitizer.
.PHONY: test-sanitizer
test-sanitizer:
	script/test-sanitizer.sh

.PHONY: test-harness
test-harness: build
	$(CARGO) build --release --locked -p icomet-harness
	$(RELEASE)/icomet-harness --nginx $(NGINX) --module $(MODULE)

.PHONY: test-demo
test-demo: build
	script/test-run.py
	script/test-two-nodes.py

# CHAOS takes more options: make chaos CHAOS='--seconds 600 --events kill,fault --seed 7'
FAULT_MODULE := $(CARGO_TARGET_DIR)/fault/fault/libngx_http_icomet_module.so
HARNESS := $(RELEASE)/icomet-harness --nginx $(NGINX)

.PHONY: fault chaos soak reloads kills hooks-outage test-chaos
fault: build
	script/build-fault.sh
	$(CARGO) build --release --locked -p icomet-harness

test-chaos: fault
	$(HARNESS) --fault-module $(FAULT_MODULE)
	$(HARNESS) chaos --fault-module $(FAULT_MODULE) --seconds 20 --seed 1

chaos: setup-run fault
	$(HARNESS) chaos --fault-module $(FAULT_MODULE) $(CHAOS)

# RELOADS takes more options: make reloads RELOADS='--reloads 3'
reloads: setup-run fault
	$(HARNESS) --module $(MODULE) reloads --expect-unbroken $(RELOADS)

kills: setup-bench fault
	$(HARNESS) --module $(MODULE) chaos --events kill --each 2 --rounds 100 --round-seconds 60 --seconds 3600 --workers 4 --tell 60
	$(HARNESS) --module $(MODULE) deaf

hooks-outage: setup-run build
	$(CARGO) build --release --locked -p icomet-harness
	$(HARNESS) --module $(MODULE) --full hooks_

soak: setup-run fault
	$(HARNESS) chaos --fault-module $(FAULT_MODULE) --seconds 3600 --tell 60 $(CHAOS)

.PHONY: debian test-addon test-debian
debian:
	script/build-debian.sh

test-addon: build
	script/test-addon.sh

test-debian: setup-debian
	script/test-debian.sh

# BENCH takes more options: make bench BENCH='--rounds 5 --scenarios latency'
.PHONY: bench bench-c1000k bench-build
bench: bench-build
	$(RELEASE)/icomet-bench run --nginx $(NGINX) --module $(MODULE) --out $(CARGO_TARGET_DIR)/bench $(BENCH)

bench-c1000k: bench-build
	$(RELEASE)/icomet-bench run --scenarios c1000k --nginx $(NGINX) --module $(MODULE) \
		--out $(CARGO_TARGET_DIR)/bench-c1000k $(BENCH)

bench-build: setup-bench build
	$(CARGO) build --release --locked -p icomet-bench

.PHONY: autobahn
autobahn: setup-run build
	script/autobahn.sh

.PHONY: clean
clean:
	rm -rf "$(CARGO_TARGET_DIR)"
