package languages

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
)

const (
	page    = "../../docs/identity.md"
	vectors = "../../caddymodule/identity/testdata/vectors.json"
)

// The drivers print what the function on the page makes of each case: the
// tenant, or nothing.
const (
	nodeDriver = `
const v = JSON.parse(require("node:fs").readFileSync(process.argv[2], "utf8"));
console.log(JSON.stringify(v.cases.map((c) => {
  try { return verify([c.token], v.jwks, v.now).tenant; } catch { return ""; }
})));
for (const values of [undefined, [], [v.cases[0].token, v.cases[0].token]]) {
  try { verify(values, v.jwks, v.now); process.exit(3); } catch { /* refused */ }
}
`
	pythonDriver = `
import sys
with open(sys.argv[1], encoding="utf-8") as f:
    v = json.load(f)
out = []
for c in v["cases"]:
    try:
        out.append(verify([c["token"]], v["jwks"], v["now"])["tenant"])
    except Exception:
        out.append("")
print(json.dumps(out))
for values in ([], [v["cases"][0]["token"]] * 2):
    try:
        verify(values, v["jwks"], v["now"])
        sys.exit(3)
    except ValueError:
        pass
`
)

func TestTheVerifiersOnThePageAgreeWithTheVectors(t *testing.T) {
	for _, l := range []struct{ name, fence, driver, file, command, needs string }{
		{"Node.js", "```js\n", nodeDriver, "verify.cjs", "node", "Debian's package nodejs"},
		{"Python", "```python\n", pythonDriver, "verify.py", "python3", "Debian's packages python3 and python3-cryptography"},
	} {
		t.Run(l.name, func(t *testing.T) {
			script := filepath.Join(t.TempDir(), l.file)
			if err := os.WriteFile(script, []byte(block(t, l.fence)+l.driver), 0o600); err != nil {
				t.Fatal(err)
			}
			path, err := filepath.Abs(vectors)
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(l.command, script, path).Output()
			if err != nil {
				t.Fatalf("running %s, which is in %s: %v\n%s", l.command, l.needs, err, stderr(err))
			}
			var got []string
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("it printed %q: %v", out, err)
			}
			compare(t, got)
		})
	}
}

// The receiver's function on the page for audit records is run on the vectors of
// deliveries.
func TestTheReceiverOnThePageAgreesWithTheVectors(t *testing.T) {
	const driver = `
import sys
with open(sys.argv[1], encoding="utf-8") as f:
    v = json.load(f)
out = []
for c in v["cases"]:
    try:
        out.append(len(verify_delivery([c["token"]], v["jwks"], c["body"].encode(), v["now"])) == 1)
    except Exception:
        out.append(False)
print(json.dumps(out))
first = v["cases"][0]
for values in ([], [first["token"]] * 2):
    try:
        verify_delivery(values, v["jwks"], first["body"].encode(), v["now"])
        sys.exit(3)
    except ValueError:
        pass
`
	const vectors = "../../caddymodule/identity/testdata/audit_vectors.json"
	script := filepath.Join(t.TempDir(), "receive.py")
	if err := os.WriteFile(script, []byte(blockOf(t, "../../docs/audit.md", "```python\n")+driver), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("python3", script, vectors).Output()
	if err != nil {
		t.Fatalf("running python3, with Debian's package python3-cryptography: %v\n%s", err, stderr(err))
	}
	data, err := os.ReadFile(vectors)
	if err != nil {
		t.Fatal(err)
	}
	var got []bool
	var want struct {
		Cases []struct {
			Name string
			Good bool
		}
	}
	if err := errors.Join(json.Unmarshal(out, &got), json.Unmarshal(data, &want)); err != nil || len(got) != len(want.Cases) || len(got) == 0 {
		t.Fatalf("%d answers to %d cases: %v", len(got), len(want.Cases), err)
	}
	for i, c := range want.Cases {
		if got[i] != c.Good {
			t.Errorf("%s: taken %v, want %v", c.Name, got[i], c.Good)
		}
	}
}

// block returns the one code block of the page that begins with the fence.
func block(t *testing.T, fence string) string {
	t.Helper()
	return blockOf(t, page, fence)
}

func blockOf(t *testing.T, page, fence string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), fence)
	code, after, closed := strings.Cut(rest, "```\n")
	if !ok || !closed || strings.Contains(after, fence) {
		t.Fatalf("%s: expected one code block %q", page, fence)
	}
	return code
}

func compare(t *testing.T, got []string) {
	t.Helper()
	data, err := os.ReadFile(vectors)
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Cases []struct{ Name, Tenant string }
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want.Cases) || len(got) == 0 {
		t.Fatalf("%d answers to %d cases", len(got), len(want.Cases))
	}
	for i, c := range want.Cases {
		if got[i] != c.Tenant {
			t.Errorf("%s: %q, want %q", c.Name, got[i], c.Tenant)
		}
	}
}

func stderr(err error) string {
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		return string(e.Stderr)
	}
	return ""
}

// The script for the audit trail is run on a trail that the gateway's own
// recorder has written, as it is and after each kind of tampering.
func TestTheScriptForTheAuditTrailFindsTampering(t *testing.T) {
	const security = "../../docs/security.md"
	script := strings.ReplaceAll(blockOf(t, security, "```python\n"), "data/audit.jsonl", "audit.jsonl")
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	sink := audit.NewFile(path, audit.FileOptions{})
	for i := range 5 {
		rec := audit.Record{Event: audit.Event{Time: time.Unix(int64(i), 0), Type: audit.TypeConflict, Path: "/\u20ac\n", Count: 1}}
		if _, err := sink.Write([]audit.Record{rec}); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for name, c := range map[string]struct{ text, want string }{
		"as it is": {string(whole), ""},
		"changed":  {strings.Replace(string(whole), `"count":1`, `"count":2`, 1), "changed"},
		"removed":  {lines[0] + strings.Join(lines[2:], ""), "removed or moved"},
		"moved":    {lines[1] + lines[0] + strings.Join(lines[2:], ""), "removed or moved"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("python3", "-c", script)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if (err == nil) != (c.want == "") || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
