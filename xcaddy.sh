#!/usr/bin/env bash
# Builds the gateway (bin/caddy) and the pet store (bin/petstore), and runs
# both. Usage below, or ./xcaddy.sh help. Exit status: 0 well, 1 failed,
# 2 called wrongly. Nothing is written outside this folder and Go's caches.
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$PWD

# One set of flags for everything that compiles, so that the build cache is
# shared. The tags leave out database drivers of Caddy's ACME server that
# nothing here uses. -trimpath and -buildvcs=false make the bytes depend on the
# sources alone, not on the folder or on what git says about it.
export CGO_ENABLED=0
build_flags=(-trimpath -buildvcs=false -tags "nobadger,nomysql,nopgx")
ldflags="-s -w"

usage() {
	cat <<-'EOF'
		Usage: ./xcaddy.sh [build|run] [--with MODULE[@VERSION][=PATH]]...

		  build   build bin/caddy and bin/petstore; nothing when up to date (default)
		  run     build, start both, and stop both on Ctrl-C
		  help    show this text

		  --with MODULE[@VERSION][=PATH]
		          add a Caddy plugin (a DNS provider, a source of tenants) to bin/caddy; may be
		          repeated. PATH takes the plugin from a local folder. The tool xcaddy
		          builds it when it is on PATH; otherwise this script does the same.

		Environment:
		  HTTPS_PORT 8443   HTTP_PORT 8080   the gateway
		  BACKEND_PORT 9000                  the pet store
		  ADMIN_PORT 2019                    Caddy's admin interface
		  REDIS_URL                          share rate limits in Redis; empty: in process
		  VERSION                            what bin/petstore calls itself
	EOF
}

say() { printf '%s\n' "$*"; }
die() { printf 'xcaddy.sh: %s\n' "$*" >&2; exit 1; }
misuse() { printf 'xcaddy.sh: %s\n\n' "$*" >&2; usage >&2; exit 2; }

sha256=(sha256sum)
command -v sha256sum >/dev/null || sha256=(shasum -a 256)

# hash_of PATH... prints names and hashes of all files that can shape a binary.
hash_of() {
	find "$@" -type f ! -name '*_test.go' ! -path '*/testdata/*' ! -path '*/.git/*' -print0 |
		LC_ALL=C sort -z | xargs -0 "${sha256[@]}"
}

scratch=''
# Whatever ends this script, nothing that it started or wrote is left behind.
trap 'stop_all; rm -rf "$scratch"' EXIT

need_go() {
	command -v go >/dev/null || die "go is not on PATH; install Go $(awk '$1 == "go" { print $2 }' go.mod) or later"
	# Without a home folder Go has no place for its caches.
	if [ ! -w "${HOME:-/nonexistent}" ]; then
		export GOCACHE="${GOCACHE:-$root/bin/.cache/build}" GOPATH="${GOPATH:-$root/bin/.cache/go}"
		GOFLAGS="$(go env GOFLAGS) -modcacherw"; export GOFLAGS # so that bin can be deleted
	fi
}

# progress NOUN TOTAL shows how far a go command is, one line per package on
# its input, and passes every other line on: those are errors.
progress() {
	local line n=0 tty=
	[ -t 1 ] && tty=1
	while IFS= read -r line; do
		case $line in
		"go: downloading "*) ;;
		*[[:space:]:\#]* | "") printf '%s\n' "$line" >&2; continue ;;
		esac
		n=$((n + 1))
		if [ -n "$tty" ]; then printf '\r  %s %d%s' "$1" "$n" "$2"; elif ((n % 200 == 0)); then say "  $1 $n$2"; fi
	done
	if [ -n "$tty" ] && ((n > 0)); then printf '\n'; fi
}

# compile OUTPUT PACKAGE LDFLAGS, in the current folder.
compile() {
	local total deps=$root/bin/.deps.$$
	# Fetches what is missing first, so that a slow network shows as such.
	{ go list "${build_flags[@]}" -deps "$2" 2>&1 >"$deps" | progress "modules downloaded:" ""; } || { rm -f "$deps"; return 1; }
	total=$(wc -l <"$deps"); rm -f "$deps"
	go build -v "${build_flags[@]}" -ldflags "$3" -o "$1" "$2" 2>&1 | progress "packages compiled:" " of at most $((total))"
}

# --- plugins -----------------------------------------------------------------

with=() # each "MODULE VERSION PATH", "-" for none

# add_plugin MODULE[@VERSION][=PATH]
add_plugin() {
	local spec=$1 module version=- path=-
	module=${spec%%=*}
	case $spec in *=*) path=${spec#*=} ;; esac
	case $module in *@*) version=${module#*@} module=${module%%@*} ;; esac
	module=${module%/}
	if [ -z "$module" ] || [ -z "$version" ] || [ -z "$path" ]; then
		misuse "bad --with \"$spec\": expected MODULE[@VERSION][=PATH]"
	fi
	case "$module$version" in *[[:space:]]*) misuse "bad --with \"$spec\": expected no spaces" ;; esac
	if [ "$path" != - ]; then
		path=$(cd "$caller" && cd "$path" 2>/dev/null && pwd) || die "the folder of --with \"$spec\" does not exist"
		[ -f "$path/go.mod" ] || die "the folder of --with \"$spec\" has no go.mod"
		# Any version does for a folder, but its major number must fit the path's.
		if [ "$version" = - ]; then
			version=v0.0.0
			[[ $module =~ /v([2-9]|[1-9][0-9]+)$ ]] && version=v${BASH_REMATCH[1]}.0.0
		fi
	fi
	with+=("$module $version $path")
}

# with_xcaddy OUTPUT builds the gateway and the plugins by the tool xcaddy.
with_xcaddy() {
	local args=() module version path spec
	for spec in "${with[@]}"; do
		read -r module version path <<<"$spec"
		[ "$version" = - ] || module+="@$version"
		[ "$path" = - ] || module+="=$path"
		args+=(--with "$module")
	done
	xcaddy build "$(go list -m -f '{{.Version}}' "$caddy_module")" --output "$1" \
		--with "$our_module/caddymodule" --replace "$our_module=$root" "${args[@]}"
}

# with_go OUTPUT builds the same without that tool, from a temporary module.
# It starts from this module's go.mod and go.sum, so that versions stay pinned.
with_go() {
	local module version path spec gets=() pinned
	pinned=$(go list -m -f '{{.Version}}' "$caddy_module")
	scratch=$(mktemp -d)
	cp go.mod go.sum "$scratch"
	# Named by links, so that the folders' own names do not get into the binary.
	ln -s "$root" "$scratch/self"
	{
		printf 'package main\n\nimport (\n\t_ "time/tzdata"\n\n\tcaddycmd "%s/cmd"\n\t_ "%s/modules/standard"\n\n' "$caddy_module" "$caddy_module"
		printf '\t_ "%s/caddymodule"\n' "$our_module"
		for spec in "${with[@]}"; do printf '\t_ "%s"\n' "${spec%% *}"; done
		printf ')\n\nfunc main() { caddycmd.Main() }\n'
	} >"$scratch/main.go"
	cd "$scratch"
	go mod edit -module caddy -require "$our_module@v0.0.0" -replace "$our_module=./self"
	local i=0
	for spec in "${with[@]}"; do
		read -r module version path <<<"$spec"
		if [ "$path" != - ]; then
			i=$((i + 1))
			ln -s "$path" "plugin$i"
			go mod edit -require "$module@$version" -replace "$module=./plugin$i"
		elif [ "$version" = - ]; then gets+=("$module@latest"); else gets+=("$module@$version"); fi
	done
	# With Caddy named, a plugin that needs a newer one is refused, not obeyed.
	go get . ${gets[@]+"${gets[@]}"} "$caddy_module@$pinned" >&2 ||
		die "resolving the plugins failed with Caddy $pinned; try another version of them"
	compile "$1" . "$ldflags" || return
	cd "$root"
}

# --- build -------------------------------------------------------------------

caddy_module=github.com/caddyserver/caddy/v2
our_module=github.com/caddy-tenancy/caddy-tenancy

# inputs FOLDER... prints everything that the bytes of a binary depend on.
inputs() {
	go env GOVERSION GOOS GOARCH GOAMD64 GOARM64 GOEXPERIMENT GOFLAGS | sed 's/ *-modcacherw//'
	say "${build_flags[*]} $ldflags"
	hash_of go.mod go.sum "$@"
}

# make_binary NAME INPUTS-TEXT COMMAND... runs COMMAND with the output's name
# appended, unless bin/NAME was made from the same inputs and is still the same.
make_binary() {
	local name=$1 stamp=bin/.$1.stamp want started=$SECONDS out=$root/bin/.$1.$$
	want=$("${sha256[@]}" <<<"$2")
	shift 2
	if [ -x "bin/$name" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want$("${sha256[@]}" <"bin/$name")" ]; then
		say "bin/$name is up to date"
		return
	fi
	say "building bin/$name$([ -e "$stamp" ] || say ' (the first time takes some minutes)')"
	"$@" "$out" || { rm -f "$out"; die "building \"bin/$name\" failed"; }
	mv -f "$out" "bin/$name"
	printf '%s' "$want$("${sha256[@]}" <"bin/$name")" >"$stamp"
	say "built bin/$name in $((SECONDS - started)) s"
}

plain_caddy() { compile "$1" ./caddymodule/cmd/caddy "$ldflags"; }
plain_petstore() { compile "$1" ./backend "$ldflags -X main.version=$version"; }

build() {
	need_go
	mkdir -p bin
	local plugins='' spec path
	version=${VERSION:-$(GIT_OPTIONAL_LOCKS=0 git describe --tags --always --dirty 2>/dev/null || echo devel)}
	if [ ${#with[@]} -eq 0 ]; then
		make_binary caddy "$(inputs caddymodule)" plain_caddy
	else
		for spec in "${with[@]}"; do
			path=${spec#* * }
			plugins+="$spec $(if [ "$path" != - ]; then cd "$path" && hash_of .; fi)"
		done
		if command -v xcaddy >/dev/null; then
			make_binary caddy "$(inputs caddymodule) xcaddy $plugins" with_xcaddy
		else
			make_binary caddy "$(inputs caddymodule) $plugins" with_go
		fi
	fi
	make_binary petstore "$(inputs caddymodule backend) $version" plain_petstore
}

# --- run ---------------------------------------------------------------------

tenants="acme-pets fluffy-friends paws-and-claws" # of petstore --demo
caddy_pid='' petstore_pid='' stopping=''

# holder PORT says who listens there, if that can be told.
holder() {
	local users
	users=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/p' | head -n 1)
	say "${users:-another program}"
}

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || [ -n "$(ss -Hltn "sport = :$1" 2>/dev/null)" ]; }

# check_ports fails unless all four ports can be had. It asks first because two
# Caddys would share a port without a word.
check_ports() {
	local name port seen=" " bad=
	for name in HTTPS_PORT HTTP_PORT BACKEND_PORT ADMIN_PORT; do
		port=${!name}
		if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || ((port > 65535)); then
			die "bad $name \"$port\": expected a port from 1 to 65535"
		fi
		case $seen in *" $port "*) die "bad $name \"$port\": another of the four ports has that number" ;; esac
		seen+="$port "
		if taken "$port"; then
			say "xcaddy.sh: port $port ($name) is in use by $(holder "$port"); stop it or set $name to a free port" >&2
			bad=1
		fi
	done
	[ -z "$bad" ] || exit 1
}

alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

# start NAME COMMAND... sets NAME_pid. Each child gets a process group of its
# own: Ctrl-C then reaches this script only, which stops them in order.
start() {
	local name=$1
	shift
	[ ! -f "data/$name.log" ] || mv -f "data/$name.log" "data/$name.log.1"
	set -m
	"$@" </dev/null >"data/$name.log" 2>&1 &
	set +m
	printf -v "${name}_pid" %s $!
}

# stop NAME PID asks it to end, and makes it after 15 seconds.
stop() {
	local i
	kill -TERM "$2" 2>/dev/null || return 0
	for ((i = 0; i < 150; i++)); do
		alive "$2" || return 0
		sleep 0.1 || true # Ctrl-C ends it too
	done
	say "$1 did not stop within 15 s; ending it" >&2
	kill -KILL "$2" 2>/dev/null || true
}

# The gateway first, so that no request meets a backend that is gone.
stop_all() {
	stop caddy "$caddy_pid"
	stop petstore "$petstore_pid"
}

end_of() { { say "the end of data/$1.log:"; tail -n 20 "data/$1.log" | sed 's/^/  /'; } >&2; }

# failed NAME MESSAGE stops everything and shows the end of that log.
failed() {
	stop_all
	end_of "$1"
	die "$2"
}

# watch fails when a child has ended, and stops both when asked to.
watch() {
	if [ -n "$stopping" ]; then
		say "stopping"
		stop_all
		say "stopped"
		exit
	fi
	alive "$petstore_pid" || failed petstore "the pet store ended"
	alive "$caddy_pid" || failed caddy "the gateway ended"
}

# answers TENANT reports whether a request passes the whole way. 429 counts: a
# limit kept in Redis may be used up.
answers() {
	local status
	[ -s "$ca" ] || return 1
	status=$(curl -sS --noproxy '*' --max-time 5 --cacert "$ca" --resolve "$1.petstore.localhost:$HTTPS_PORT:127.0.0.1" \
		-o /dev/null -w '%{http_code}' "https://$1.petstore.localhost:$HTTPS_PORT/api/pets" 2>/dev/null) || return 1
	[ "$status" = 200 ] || [ "$status" = 429 ]
}

wait_for_answer() {
	local deadline=$((SECONDS + 60)) tenant
	while ((SECONDS < deadline)); do
		for tenant in $tenants; do
			watch
			if answers "$tenant"; then return; fi
		done
		sleep 0.2 || true
	done
	end_of petstore
	failed caddy "no request passed within 60 s"
}

welcome() {
	local site=petstore.localhost:$HTTPS_PORT resolve='' token
	# Some systems do not know that *.localhost is this machine.
	curl -s --noproxy '*' --cacert "$ca" -o /dev/null "https://acme-pets.$site/" || [ $? -ne 6 ] || resolve=1
	try() {
		local tenant=$1 && shift
		printf '  curl --cacert %q%s%s https://%s.%s/api/pets\n' "$ca" "${resolve:+ --resolve "$tenant.$site:127.0.0.1"}" "$*" "$tenant" "$site"
	}
	# Changing pets needs a token of the tenant; the shell that runs the line asks for one.
	# shellcheck disable=SC2016
	printf -v token '"$(%q token --data %q --tenant paws-and-claws)"' "$root/bin/petstore" "$root/data"
	cat <<-EOF

		Three tenants are being served:
		  https://acme-pets.$site       plan free
		  https://fluffy-friends.$site  plan basic
		  https://paws-and-claws.$site  plan premium

		Try in another terminal:
		$(try acme-pets)
		$(try fluffy-friends " --include")
		$(try paws-and-claws " --oauth2-bearer $token --json '{\"name\":\"Rex\",\"species\":\"dog\"}'")

		More: tenants   http://127.0.0.1:$BACKEND_PORT/api/admin/tenants (credential in data/admin.token)
		      metrics   http://127.0.0.1:$ADMIN_PORT/metrics, http://127.0.0.1:$BACKEND_PORT/metrics
		      logs      data/caddy.log, data/petstore.log

		Stop with Ctrl-C, or: kill $$
	EOF
}

run() {
	export HTTPS_PORT=${HTTPS_PORT:-8443} HTTP_PORT=${HTTP_PORT:-8080} BACKEND_PORT=${BACKEND_PORT:-9000} ADMIN_PORT=${ADMIN_PORT:-2019}
	command -v curl >/dev/null || die "curl is not on PATH; it is used to see when everything is up"
	check_ports
	build
	check_ports
	mkdir -p data
	# Caddy keeps its autosaved configuration there and leaves the home alone.
	export XDG_CONFIG_HOME="$root/data/config" XDG_DATA_HOME="$root/data/share"
	ca=$root/data/caddy/pki/authorities/local/root.crt
	trap 'stopping=1' INT TERM HUP
	say "starting the pet store and the gateway"
	start petstore bin/petstore serve --listen "127.0.0.1:$BACKEND_PORT" --data data --demo --public-port "$HTTPS_PORT"
	start caddy bin/caddy run --config Caddyfile --adapter caddyfile
	wait_for_answer
	welcome
	while true; do
		watch
		sleep 0.3 || true
	done
}

command=build
case ${1-} in
build | run) command=$1; shift ;;
help | -h | --help) usage; exit ;;
-* | "") ;;
*) misuse "unknown command \"$1\"" ;;
esac
while [ $# -gt 0 ]; do
	case $1 in
	--with)
		[ $# -ge 2 ] || misuse "--with needs a value"
		add_plugin "$2"
		shift 2
		;;
	--with=*) add_plugin "${1#--with=}"; shift ;;
	-h | --help) usage; exit ;;
	*) misuse "unknown argument \"$1\"" ;;
	esac
done
"$command"
