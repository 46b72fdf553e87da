#!/usr/bin/env bash
# Runs every check there is, as CI does. Nothing is skipped: what a check needs
# is installed from Debian's packages if that can be done without a question,
# and named if not. Exit status: 0 when all is well, 1 otherwise.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

cache=$PWD/test/.cache
mkdir -p "$cache"
: >"$cache/apt.log"
export PATH=$cache:$PATH DEBIAN_FRONTEND=noninteractive
exec </dev/null

# As xcaddy.sh builds, so that vet and the linter find what it has compiled.
static=(env CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false -tags=nobadger,nomysql,nopgx")
scripts=(xcaddy.sh test/run.sh .ci/run)

# --- what the checks need ----------------------------------------------------

as_root=()
can_install() {
	command -v apt-get >/dev/null || return 1
	[ "$(id -u)" -eq 0 ] && return
	as_root=(sudo -n)
	sudo -n true 2>/dev/null
}

updated=
update() {
	[ -n "$updated" ] || "${as_root[@]}" apt-get update -qq >>"$cache/apt.log" 2>&1
	updated=1
}

# has COMMAND; Debian keeps the commands of PostgreSQL off the path.
has() { command -v "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null; }

# missing COMMAND PACKAGE
missing() {
	tail -n 5 "$cache/apt.log" 2>/dev/null
	echo "\"$1\" is missing: install Debian's package $2, or what carries it elsewhere"
	return 1
}

# need COMMAND PACKAGE... installs Debian's packages unless the command is there.
need() {
	local command=$1
	shift
	if has "$command"; then return; fi
	if can_install; then
		echo "installing $*"
		update
		"${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@" >>"$cache/apt.log" 2>&1
	fi
	has "$command" || missing "$command" "$*"
}

# Python verifies signatures with a package of its own.
need_python() {
	has_python() { command -v python3 >/dev/null && python3 -c 'import cryptography' 2>/dev/null; }
	if has_python; then return; fi
	if can_install; then
		echo "installing python3 python3-cryptography"
		update
		"${as_root[@]}" apt-get install -y -qq --no-install-recommends python3 python3-cryptography >>"$cache/apt.log" 2>&1
	fi
	has_python || missing python3 "python3-cryptography"
}

# promtool is one file of a package whose service nobody asked for, so that
# only the file is taken.
need_promtool() {
	if has promtool; then return; fi
	if has apt-get && has dpkg-deb; then
		echo "fetching promtool"
		can_install && update
		(
			rm -rf "$cache/prometheus" && mkdir "$cache/prometheus" && cd "$cache/prometheus" &&
				apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . && mv usr/bin/promtool "$cache/"
		) >>"$cache/apt.log" 2>&1
		rm -rf "$cache/prometheus"
	fi
	has promtool || missing promtool prometheus
}

tools() {
	local status=0
	has go || { echo "\"go\" is missing: install the Go that go.mod names"; status=1; }
	need git git || status=1
	need curl curl || status=1
	need gcc gcc libc6-dev || status=1 # the race detector links with it
	need redis-server redis-server || status=1
	need initdb postgresql || status=1
	need ss iproute2 || status=1 # tells who holds a port
	need shellcheck shellcheck || status=1
	need node nodejs || status=1
	need_python || status=1
	need_promtool || status=1
	return "$status"
}

# --- the checks --------------------------------------------------------------

format() {
	local files
	files=$(gofmt -l caddymodule backend test) || return
	[ -z "$files" ] && return
	echo "not formatted; run gofmt -w on:"
	echo "$files"
	return 1
}

shells() {
	local f
	for f in "${scripts[@]}"; do bash -n "$f" || return; done
	shellcheck --severity=warning "${scripts[@]}"
}

modules() { go mod tidy -diff && go mod verify && go mod verify -C test/tools && go mod verify -C test/tools/pebble && go mod verify -C test/tools/h2spec; }

vet() { "${static[@]}" go vet ./...; }

lint() {
	# Trimmed and without cgo like the binaries: the standard library is shared.
	"${static[@]}" go build -C test/tools -ldflags "-s -w" -o "$cache/golangci-lint" \
		github.com/golangci/golangci-lint/v2/cmd/golangci-lint || return
	"${static[@]}" "$cache/golangci-lint" run --allow-parallel-runners ./...
}

results=$cache/test.log

# tests runs them all; -v, since a skipped test is only named then; without vet,
# which has its own step. Shown are
# the lines of packages, and all that was said in a package that failed.
tests() {
	local line said=()
	go test -race -count=1 -v -vet=off -timeout 20m ./... 2>&1 | tee "$results" | while IFS= read -r line; do
		case $line in
		ok[[:space:]]* | "?"[[:space:]]*) echo "$line"; said=() ;;
		FAIL[[:space:]]*) printf '%s\n' ${said[@]+"${said[@]}"} "$line"; said=() ;;
		"=== "* | *"--- PASS: "*) ;;
		*) said+=("$line") ;;
		esac
	done
	local status=${PIPESTATUS[0]}
	if grep -E '^ *--- SKIP' "$results"; then
		echo "a skipped test checks nothing: the ones above count as failed"
		status=1
	fi
	return "$status"
}

# --- all of them, timed ------------------------------------------------------

table=() failed=0

step() {
	local name=$1 started=$SECONDS verdict=ok
	shift
	printf '\n== %s\n' "$name"
	"$@" || { verdict=FAILED failed=1; }
	table+=("$(printf '%-28s %-6s %4d s' "$name" "$verdict" $((SECONDS - started)))")
	echo "${table[${#table[@]} - 1]}"
}

step "tools and servers" tools
step "shell scripts" shells
step "gofmt" format
step "build both binaries" ./xcaddy.sh build
step "go.mod and go.sum" modules
step "go vet" vet
step "linter" lint
step "go test -race" tests

printf '\n== summary\n'
printf '%s\n' "${table[@]}"
printf '%-28s %-6s %4d s\n\n' "all" "$([ $failed -eq 0 ] && echo ok || echo FAILED)" "$SECONDS"
# go test's own lines once more, for who reads only the end.
grep -E '^ *--- (FAIL|SKIP)|^(ok|FAIL)[[:space:]]' "$results"
exit $failed
