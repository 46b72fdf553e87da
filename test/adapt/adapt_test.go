// Package adapt checks what the built gateway makes of Caddyfiles: golden
// files for the grammar, its errors included, and every Caddyfile that the
// documentation shows.
//
// A golden file is a Caddyfile, a line of ten hyphens, and the JSON it becomes
// or a part of the error, as much as says enough. After a change that is meant, go test -update writes
// them anew; a new case is a new file without a second part.
package adapt

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

var update = flag.Bool("update", false, "write the golden files anew")

const separator = "\n----------\n"

// caddy runs the gateway's binary on a Caddyfile in a folder of its own and
// returns what it wrote.
func caddy(t *testing.T, caddyfile string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	binary, _ := harness.Binaries(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// adapt returns the JSON of a Caddyfile, indented, or the error's text.
func adapt(t *testing.T, caddyfile string) (text string, ok bool) {
	t.Helper()
	stdout, stderr, err := caddy(t, caddyfile, "adapt", "--config", "Caddyfile", "--adapter", "caddyfile")
	if err != nil {
		// Caddy's own log format, as its command line writes errors too.
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		var last struct{ Msg string }
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
			t.Fatalf("reading the error: %v\n%s", err, stderr)
		}
		return last.Msg + "\n", false
	}
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(strings.TrimSpace(stdout)), "", "\t"); err != nil {
		t.Fatalf("reading the adapted JSON: %v\n%s", err, stdout)
	}
	return b.String() + "\n", true
}

// unformatted returns what "caddy fmt" would change, or nothing.
func unformatted(t *testing.T, caddyfile string) string {
	t.Helper()
	stdout, _, err := caddy(t, caddyfile, "fmt", "--diff", "Caddyfile")
	if err == nil {
		return ""
	}
	return stdout
}

func TestCaddyfilesAdaptToTheirGoldenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("listing golden files: %d, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(b), separator)
			input += "\n"
			got, ok := adapt(t, input)
			if part := strings.TrimSpace(want); part != "" && !ok && strings.Contains(got, part) {
				return // a part of the error says enough
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.TrimSuffix(input, "\n")+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			switch wantOK := strings.HasPrefix(want, "{"); {
			case want == "":
				t.Error("the golden file has no second part; run go test -update and read what it wrote")
			case ok && !wantOK:
				t.Errorf("it adapts; want the error %q", want)
			case !ok && wantOK:
				t.Errorf("it does not adapt: %s", got)
			case ok && got != want:
				t.Errorf("adapted JSON:\n%s\nwant:\n%s", got, want)
			case !ok:
				t.Errorf("error:\n%s\nwant one that contains:\n%s", got, want)
			}
			if ok {
				if diff := unformatted(t, input); diff != "" {
					t.Errorf("not formatted as caddy fmt would:\n%s", diff)
				}
			}
		})
	}
}

func TestRepositorysCaddyfileAdaptsValidatesAndIsFormatted(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(harness.Root(t), "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := adapt(t, string(b)); !ok {
		t.Errorf("it does not adapt: %s", text)
	}
	if _, stderr, err := caddy(t, string(b), "validate", "--config", "Caddyfile", "--adapter", "caddyfile"); err != nil {
		t.Errorf("it is not valid: %v\n%s", err, stderr)
	}
	if diff := unformatted(t, string(b)); diff != "" {
		t.Errorf("not formatted as caddy fmt would:\n%s", diff)
	}
}
