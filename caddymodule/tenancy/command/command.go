// Package command is `caddy tenancy` on the command line.
package command

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// exitFindings is the exit status of a check that ran and found something.
const exitFindings = 3

func init() { register() }

// register adds `caddy tenancy` to the command line.
func register() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "tenancy",
		Usage: "audit verify <file...> | keys list|add|promote|prune <file>",
		Short: "Checks the audit log and rotates the identity key",
		Long: `
Works on files; the gateway need not run. One that runs reads its key file every second.

  caddy tenancy audit verify FILE...   check the chain of an audit log, rotated files included
  caddy tenancy keys list FILE         show the ids of the keys, the signing one first
  caddy tenancy keys add FILE          append a new key: published, not signing yet
  caddy tenancy keys promote FILE      move the newest key to the top: it signs
  caddy tenancy keys prune FILE        remove all keys but the signing one

The last three ask the gateway at --address, Caddy's usual admin endpoint if it is not
given, whether the keys are in force there, and say so.

Exit status: 0 all is well, 1 the command failed, 3 the audit log is damaged.
`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(auditCommand(), keysCommand())
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		},
	})
}

func auditCommand() *cobra.Command {
	parent := &cobra.Command{Use: "audit", Short: "Works on an audit log"}
	verify := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Finds records that were removed, changed or moved",
		Args:  cobra.MinimumNArgs(1),
	}
	verify.RunE = func(cmd *cobra.Command, args []string) error {
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			report, err := audit.VerifyFile(args...)
			if err != nil {
				return 1, err
			}
			out := cmd.OutOrStdout()
			for _, p := range report.Problems {
				fmt.Fprintf(out, "%s:%d: %s\n", p.File, p.Line, p.What)
			}
			fmt.Fprintf(out, "%d records, %d to %d, head %s\n", report.Records, report.FirstSeq, report.LastSeq, report.Head)
			if !report.OK() {
				return exitFindings, fmt.Errorf("the audit log is damaged: %d findings", int64(len(report.Problems))+report.More)
			}
			return 0, nil
		})(cmd, args)
	}
	parent.AddCommand(verify)
	return parent
}

func keysCommand() *cobra.Command {
	parent := &cobra.Command{Use: "keys", Short: "Works on a file of identity keys"}
	list := &cobra.Command{Use: "list FILE", Short: "Shows the ids of the keys, the signing one first", Args: cobra.ExactArgs(1)}
	list.RunE = keyCommand(listKeys)
	parent.AddCommand(list)
	for _, c := range []struct {
		name, short, done, next string
		change                  func(path string) (kid string, err error)
	}{
		{"add", "Appends a new key, which is published and does not sign yet", "added ", "promote the key when every backend knows it", identity.AddKey},
		{"promote", "Lets the newest key sign", "promoted ", "prune when the last statement of the old key has expired", identity.PromoteKey},
		{"prune", "Removes all keys but the signing one", "left ", "what it removed is good for nothing any more", identity.PruneKeys},
	} {
		cmd := &cobra.Command{Use: c.name + " FILE", Short: c.short, Args: cobra.ExactArgs(1)}
		address := cmd.Flags().String("address", caddy.DefaultAdminListen, "the admin endpoint of the gateway that signs by the file")
		cmd.RunE = keyCommand(func(path string) (string, error) {
			kid, err := c.change(path)
			if err != nil {
				return "", err
			}
			return c.done + kid + "; " + inForce(path, *address) + "; " + c.next, nil
		})
		parent.AddCommand(cmd)
	}
	return parent
}

// keyCommand runs what works on one file and says something.
func keyCommand(run func(path string) (string, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			text, err := run(args[0])
			if err != nil {
				return 1, err
			}
			fmt.Fprintln(cmd.OutOrStdout(), text)
			return 0, nil
		})(cmd, args)
	}
}

func listKeys(path string) (string, error) {
	keys, err := identity.LoadKeys(path)
	if err != nil {
		return "", err
	}
	var text string
	for i, kid := range keys.KeyIDs() {
		if i == 0 {
			text = kid + "  signs"
			continue
		}
		text += "\n" + kid + "  published"
	}
	if text == "" {
		return "", errors.New("no keys")
	}
	return text, nil
}
