// Command petstore is the small backend behind the gateway: a pet store in
// which every tenant sees its own pets only.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// version is set when the program is built (-ldflags "-X main.version=...").
var version = "dev"

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command is one subcommand.
type command struct {
	name, summary string
	run           func(ctx context.Context, env environment, args []string) error
}

// environment is what a command may use of the process.
type environment struct {
	getenv         func(string) string
	stdout, stderr io.Writer
}

// usageError is a mistake in the command line rather than in the world.
type usageError struct{ error }

func commands() []command {
	return []command{
		{"serve", "serve the API (the default)", serve},
		{"tenant", "create, change, move, export and remove tenants", tenantMain},
		{"key", "create, list and revoke tenants' API keys", keyMain},
		{"audit", "list attempts to cross from one tenant to another", auditMain},
		{"backup", "copy the SQLite files while the server runs", backup},
		{"migrate", "bring tenants' tables up to date, or say which are not", migrate},
		{"token", "print a bearer token for a tenant's user", mintToken},
		{"version", "print the version", printVersion},
	}
}

// run is the program: it returns the exit code and starts nothing that
// outlives it.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	env := environment{getenv: getenv, stdout: stdout, stderr: stderr}
	err := dispatch(ctx, env, args)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(stderr, "petstore: %v\nRun \"petstore help\" for usage.\n", err)
		return exitUsage
	}
	_, _ = fmt.Fprintf(stderr, "petstore: %v\n", err)
	return exitFailure
}

func dispatch(ctx context.Context, env environment, args []string) error {
	name := "serve"
	if len(args) > 0 {
		switch first := args[0]; {
		case first == "-h" || first == "-help" || first == "--help" || first == "help":
			return help(ctx, env, args[1:])
		case first == "-version" || first == "--version":
			name, args = "version", args[1:]
		case !strings.HasPrefix(first, "-"):
			name, args = first, args[1:]
		}
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(ctx, env, args)
		}
	}
	return usageError{fmt.Errorf("unknown command %q", name)}
}

// help prints all commands, or one command's flags.
func help(ctx context.Context, env environment, args []string) error {
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		return usageError{fmt.Errorf("expected a command to help with, found %q", args[0])}
	}
	if len(args) > 0 {
		return dispatch(ctx, environment{env.getenv, env.stdout, env.stdout}, append(args[:1:1], "--help"))
	}
	_, _ = fmt.Fprint(env.stdout, "petstore: a pet store in which every tenant sees its own pets only.\n\nCommands:\n")
	for _, c := range commands() {
		_, _ = fmt.Fprintf(env.stdout, "  %-10s %s\n", c.name, c.summary)
	}
	_, err := fmt.Fprint(env.stdout, "\n\"petstore help COMMAND\" lists a command's flags.\nExit codes: 0 done, 1 failed, 2 wrong usage.\n")
	return err
}

func printVersion(_ context.Context, env environment, _ []string) error {
	_, err := fmt.Fprintln(env.stdout, "petstore", version)
	return err
}
