package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// flags is a command's flag set in which every flag also has an environment
// variable: --public-port is PETSTORE_PUBLIC_PORT. The command line wins.
type flags struct {
	*flag.FlagSet
	env environment
}

func newFlags(env environment, name, usage string) *flags {
	f := &flags{flag.NewFlagSet(name, flag.ContinueOnError), env}
	f.SetOutput(env.stderr)
	f.Usage = func() {
		_, _ = fmt.Fprintf(f.Output(), "Usage: petstore %s\n\nFlags (each also as an environment variable, --%s as %s):\n", usage, "data", envName("data"))
		f.VisitAll(func(fl *flag.Flag) {
			value := fl.DefValue
			if value == "" {
				value = "none"
			}
			_, _ = fmt.Fprintf(f.Output(), "  --%-20s %s (default %s)\n", fl.Name, fl.Usage, value)
		})
	}
	return f
}

func envName(flagName string) string {
	return "PETSTORE_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// given are the names of the flags that command line or environment set.
func (f *flags) given() map[string]bool {
	names := map[string]bool{}
	f.VisitAll(func(fl *flag.Flag) {
		if f.env.getenv(envName(fl.Name)) != "" {
			names[fl.Name] = true
		}
	})
	f.Visit(func(fl *flag.Flag) { names[fl.Name] = true })
	return names
}

// errHelp ends a command whose help was asked for.
var errHelp = errors.New("help was asked for")

// ignoreHelp ends a command well whose help was asked for.
func ignoreHelp(err error) error {
	if errors.Is(err, errHelp) {
		return nil
	}
	return err
}

// parse reads environment and command line and returns the arguments that are
// not flags: names says how many and which.
func (f *flags) parse(args []string, names ...string) ([]string, error) {
	var failed error
	f.VisitAll(func(fl *flag.Flag) {
		if v := f.env.getenv(envName(fl.Name)); v != "" && failed == nil {
			if err := fl.Value.Set(v); err != nil {
				failed = usageError{fmt.Errorf("reading %s %q: %w", envName(fl.Name), v, err)}
			}
		}
	})
	if failed != nil {
		return nil, failed
	}
	// The standard package stops at the first argument that is no flag; here
	// flags may follow too.
	var rest []string
	output := f.Output()
	for {
		f.SetOutput(io.Discard) // errors are printed once, by run, and help below
		err := f.Parse(args)
		f.SetOutput(output)
		if errors.Is(err, flag.ErrHelp) {
			f.SetOutput(f.env.stdout)
			f.Usage()
			return nil, errHelp
		}
		if err != nil {
			return nil, usageError{err}
		}
		if f.NArg() == 0 {
			break
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
	if len(rest) > len(names) {
		return nil, usageError{fmt.Errorf("unexpected argument %q", rest[len(names)])}
	}
	if len(rest) < len(names) {
		return nil, usageError{fmt.Errorf("expected %s", names[len(rest)])}
	}
	return slices.Clip(rest), nil
}
