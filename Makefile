# What a newcomer needs is `make demo` and `make test`. CI runs `make test`.
#
# There is nothing to configure. GO and TIMEOUT may be given on the command
# line: make test GO=go1.26.8

GO      ?= go
TIMEOUT ?= 14m

# The packages that are longest in testing come first, so that no core waits for the last of
# them. The two whose tests run several nodes at a time, cmd/stile and node, come apart, each
# beside packages that compute.
LONG     = ./cmd/stile ./internal/ledger ./internal/footprint ./internal/simtest ./node ./internal/web ./internal/peersync ./internal/api ./internal/faults

# Packages of which nothing runs beside anything else, neither their own code and tests nor
# what they use of Stile: the race detector finds nothing there, and makes them some five
# times slower. TestAlone (alone_test.go) holds them to it. A test of theirs that starts
# something has a name that ends in AtOnce; it runs with the others and, where ATONCE names
# the package, under the detector too.
ALONE    = . ./config ./cmd/stile-audit/page ./examples ./examples/agreements ./examples/generate \
	./node/api ./node/name ./schemas/councils/... ./internal/agreement ./internal/blind \
	./internal/document ./internal/event ./internal/exchange ./internal/export ./internal/intake \
	./internal/measure ./internal/paper ./internal/record ./internal/release ./internal/sbom \
	./internal/standard ./internal/strictjson ./internal/tlog ./internal/translation \
	./internal/workbook ./internal/workday
ATONCE   = ./internal/agreement ./internal/intake ./internal/record ./internal/standard
BENCH   ?= .

SOAK    ?= 1h
SEEDS   ?= 200

# faults: kills, flipped bits, and kinds of harm by a part of their name
TRIALS  ?= 1000
FLIPS   ?= 200
FAULTS  ?=

# keep: the program of a release, built from its commit
KEEP    ?= bin/stile

# hostile: honest writes beside each way
WRITES  ?= 200

# england: the numbers of councils, one run each.
COUNCILS ?= 32 317
# In place of those: how many real processes, for a day.
PROCESSES ?=
# Where the folders are: in memory where there is room for 317 of them, 6 GiB.
FOLDERS ?= $(shell test "$$(df -Pm /dev/shm 2>/dev/null | awk 'NR == 2 { print $$4 }')" -gt 6144 2>/dev/null && echo /dev/shm || echo "$${TMPDIR:-/tmp}")

# fuzz: how long each target, and which
FOR     ?= 20s
FUZZ    ?= .

# bench-peers and bench-compare: records, rounds, lanes, sizes; package of the benchmarks
SIZE    ?= 100000
ROUNDS  ?= 5
LANES   ?= A,one,B,C,D,growth
GROWTH  ?= 10000,100000,500000
INTO    ?= $(if $(findstring command,$(origin LANES)),,docs/figures.md)
PKG     ?= node
TIMES   ?= 1x

# packages: the folder they go to, and the program that packs them. Their version is the program's own.
VERSION := $(shell sed -n 's/^const Version = "\(.*\)"$$/\1/p' internal/release/release.go)
PACKED  ?= bin/packages
NFPM    ?= github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4

# Everything is compiled in one way, without C and without the paths of this machine: what vet
# has compiled then serves staticcheck, the programs that tests run, and the packages. Only the
# race detector wants C, and what it needs is compiled for it besides.
export CGO_ENABLED = 0
export GOFLAGS += -trimpath

# Scrypt is arithmetic on memory of its own, made slow on purpose: the race detector finds
# nothing in it, and makes each encrypted key of a test cost four seconds.
#
# The same holds of other arithmetic, of codes and compression, and of parsers that turn a text
# into values of their own. None of them uses sync/atomic, so the detector misses no order that
# one of them makes. Of memory that is not theirs they read the text they are given, and write
# where they are told to or through package reflect, which stays under the detector.
NORACE = $(foreach p,$(PLAIN),-gcflags=$(p)=-race=false)
PLAIN  = golang.org/x/crypto/scrypt golang.org/x/crypto/pbkdf2 encoding/base32 encoding/base64 \
	$(addprefix crypto/internal/fips140/,bigmod edwards25519 edwards25519/field nistec nistec/fiat) \
	go.yaml.in/yaml/v3 gopkg.in/yaml.v3 regexp/syntax text/template/parse github.com/dlclark/regexp2/syntax \
	$(addprefix github.com/klauspost/compress/,fse huff0 zstd) github.com/secure-systems-lab/go-securesystemslib/cjson

# Garbage is collected half as often as elsewhere. What tests write goes where .ci/room says;
# what is compiled goes where it always does.
TESTING = GOGC=200 TMPDIR=$(shell .ci/room) GOTMPDIR=$(or $(TMPDIR),/tmp)

# A program under the race detector sleeps for a second before it ends, in case something
# races still; a tenth of it does for what a test has left running.
export GORACE = atexit_sleep_ms=100

.PHONY: assets packages england faults fuzz hostile keep demo test check bench bench-peers bench-compare bench-million soak worlds build build-pkcs11 audit-page generate exchanges need clean

## demo: build, then run three councils and an auditor on this machine
demo: build
	./bin/stile demo

## assets: the styles of the pages, compiled from npm packages; quick when nothing changed
assets:
	@./internal/web/styles/make-assets

## build: bin/stile and bin/stile-audit
build: assets
	@mkdir -p bin
	@for cmd in stile stile-audit; do \
		if [ -d cmd/$$cmd ]; then \
			echo "build bin/$$cmd"; \
			$(GO) build -ldflags="-s -w" -o bin/$$cmd ./cmd/$$cmd || exit 1; \
		else \
			echo "build bin/$$cmd: cmd/$$cmd is not written yet, skipped"; \
		fi; \
	done

## build-pkcs11: bin/sigstore-kms-pkcs11, for a record key in a security module; needs a C compiler
build-pkcs11:
	CGO_ENABLED=1 $(GO) build -C cmd/sigstore-kms-pkcs11 -o $(CURDIR)/bin/sigstore-kms-pkcs11 .

## packages: a deb and an rpm of VERSION in bin/packages, with man pages, completions, the unit and the bill of materials
packages:
	@rm -rf $(PACKED)/stage && mkdir -p $(PACKED)/stage/completion
	$(GO) build -ldflags="-s -w" -o $(PACKED)/stage/ ./cmd/stile ./cmd/stile-audit
	@cd $(PACKED)/stage && ./stile man man && gzip -9n man/* && ./stile version --sbom > sbom.json && \
		./stile completion bash > completion/stile.bash && ./stile completion zsh > completion/_stile && ./stile completion fish > completion/stile.fish
	@for form in deb rpm; do \
		STAGE=$(PACKED)/stage VERSION=$(VERSION) GOARCH=$$($(GO) env GOARCH) \
		$(GO) run $(NFPM) package -f config/packaging/nfpm.yaml -p $$form -t $(PACKED) || exit 1; \
	done

## audit-page: bin/stile-audit.html, a page that verifies bundles and tokens in a browser, without a network
audit-page:
	@mkdir -p bin
	$(GO) run ./cmd/stile-audit/page bin/stile-audit.html

## exchanges: every exchange that comes with Stile, with all its councils; writes docs/exchanges.md and their pages
exchanges:
	STILE_EXCHANGES=whole $(GO) test ./cmd/stile -count=1 -run TestExchanges -update

## test: every check and every test, under the race detector where something runs beside something else; what go vet says has been said by then
test: need assets check
	@echo "test  (packages of which nothing runs beside anything else; at most $(TIMEOUT) a package)"
	@$(TESTING) $(GO) test -vet=off -timeout $(TIMEOUT) $(ALONE)
	@echo "test  (race detector on)"
	@CGO_ENABLED=1 $(TESTING) $(GO) test -race -vet=off $(NORACE) -timeout $(TIMEOUT) -run 'AtOnce$$' $(ATONCE)
	@alone=$$($(GO) list $(ALONE)) && all=$$($(GO) list $(LONG) ./...) && \
		CGO_ENABLED=1 $(TESTING) $(GO) test -race -vet=off $(NORACE) -timeout $(TIMEOUT) \
		$$(echo "$$all" | grep -vxF "$$alone")
	@echo "test  all passed"

## check: gofmt, go vet, staticcheck
check:
	@echo "check gofmt"
	@bad=$$(gofmt -l $$(find . -name '*.go' -not -path './.*' -not -path '*/node_modules/*')); \
		if [ -n "$$bad" ]; then \
			echo "gofmt: these files are not formatted:"; echo "$$bad"; \
			echo "Try: gofmt -w FILE"; exit 1; \
		fi
	@echo "check go vet"
	@$(GO) vet ./...
	@echo "check staticcheck"
	@$(GO) tool staticcheck ./...

## bench: every benchmark, or those named by BENCH=regexp
bench:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m ./...

## bench-peers: Stile, PostgreSQL and NATS by turns, SIZE records, ROUNDS times; all lanes go into docs/figures.md
bench-peers: need
	$(GO) run ./internal/bench peers -size $(SIZE) -rounds $(ROUNDS) -lanes $(LANES) -growth $(GROWTH) $(if $(INTO),-into $(INTO))

## bench-compare: the benchmarks BENCH of PKG at commit BASE and as they stand here, by turns
bench-compare:
	$(GO) run ./internal/bench compare -base '$(BASE)' -pkg '$(PKG)' -bench '$(BENCH)' -times $(TIMES) -rounds $(ROUNDS)

## soak: new simulated worlds for SOAK, and footprints in SEEDS kinds of weather
soak:
	STILE_SOAK=$(SOAK) $(GO) test -timeout 0 -count 1 -run TestSoak -v ./internal/simtest
	STILE_SEEDS=$(SEEDS) $(GO) test -timeout 0 -count 1 -run 'TestWeather' -v ./internal/footprint

## worlds: SEEDS simulated worlds in which councils share in every mode at once, and a fault planted in each mode's gate
worlds:
	STILE_SEEDS=$(SEEDS) $(GO) test -timeout 0 -count 1 -run 'TestWhole' -v ./internal/simtest

## england: a month in the life of 32 councils, then of all of England's, in one process; COUNCILS names other numbers. PROCESSES=20 runs a day of as many real processes in its place
england:
	@TMPDIR='$(FOLDERS)' STILE_PROCESSES='$(PROCESSES)' STILE_ENGLAND='$(if $(PROCESSES),,$(COUNCILS))' $(GO) test -timeout 0 -count 1 -run '^TestEngland$(if $(PROCESSES),Processes)$$' -v ./internal/england

## faults: harm nodes in many ways, TRIALS kills and FLIPS flipped bits in each kind of file; FAULTS names some; the table goes into docs/faults.md
faults: need
	$(GO) run ./internal/faults -trials $(TRIALS) -flips $(FLIPS) $(if $(FAULTS),-only '$(FAULTS)',-into docs/faults.md)

## fuzz: every fuzz target for FOR (FUZZ names some); what it finds stands in testdata/fuzz of the package
fuzz:
	@fail=0; for file in $$(grep -rl --include=*_test.go '^func Fuzz' . | sort); do \
		for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' $$file | grep -E '$(FUZZ)'); do \
			out=$$($(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FOR) -fuzzminimizetime 10x ./$$(dirname $$file) 2>&1) || fail=1; \
			printf '%-28s %-20s %s\n' "$$(dirname $$file)" "$$f" "$$(echo "$$out" | grep -E 'execs:|Failing input' | tail -1)"; \
		done; \
	done; exit $$fail

## keep: what a release leaves on disk, for the test of upgrades: the folders of two councils by the program KEEP
keep:
	STILE_KEEP='$(abspath $(KEEP))' $(GO) test -count 1 -run 'TestKeep$$' -v ./cmd/stile

## hostile: how long an honest write takes until the partner has it, alone and beside a hostile member; WRITES for each
hostile:
	STILE_HOSTILE=$(WRITES) $(GO) test -timeout 0 -count 1 -run TestHostileProcesses ./node -v

## bench-million: a footprint of three filled to a million records (some 20 minutes)
bench-million:
	STILE_GROW=1000000 $(GO) test -run '^$$' -bench BenchmarkGrowth -benchtime 1x -timeout 3h ./internal/footprint

## generate: write the generated files again (they are committed)
generate:
	$(GO) generate ./...

## need: see that the tools which the tests call are here
need:
	@./.ci/need

clean:
	rm -rf bin
