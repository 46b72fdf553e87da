package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// startRun starts "xcaddy.sh run" on free ports and returns when it says that
// all is up. Should the test process die, the script ends its children.
func startRun(t *testing.T, c *checkout) (p *harness.Process, ports map[string]int) {
	t.Helper()
	ports = make(map[string]int)
	env := c.env
	for _, name := range []string{"HTTPS_PORT", "HTTP_PORT", "BACKEND_PORT", "ADMIN_PORT"} {
		ports[name] = harness.FreePort(t)
		env = append(env, fmt.Sprintf("%s=%d", name, ports[name]))
	}
	p = harness.Start(t, harness.Spec{
		Name: "run", Dir: t.TempDir(), Env: env, Command: []string{c.script(), "run"},
		Group: true, OnParentDeath: syscall.SIGTERM,
	})
	t.Cleanup(func() {
		if !p.Ended() {
			p.Signal(syscall.SIGTERM)
			p.Wait(30 * time.Second)
		}
	})
	harness.Eventually(t, 3*time.Minute, "xcaddy.sh run to be up", func() bool {
		if p.Ended() {
			t.Fatal("xcaddy.sh run has ended")
		}
		return strings.Contains(p.Log(), "Stop with Ctrl-C")
	})
	return p, ports
}

var curlLine = regexp.MustCompile(`(?m)^ +(curl .*)$`)

// paste runs the curl lines that the script has printed, as a shell would.
func paste(t *testing.T, p *harness.Process, c *checkout) []string {
	t.Helper()
	lines := curlLine.FindAllStringSubmatch(p.Log(), -1)
	if len(lines) != 3 {
		t.Fatalf("the script shows %d curl lines; want 3", len(lines))
	}
	var answers []string
	for _, line := range lines {
		cmd := exec.Command("bash", "-c", line[1])
		cmd.Env, cmd.Dir = c.env, t.TempDir()
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("pasting %s: %v\n%s", line[1], err, out)
		}
		answers = append(answers, string(out))
	}
	return answers
}

func TestRunServesThreeTenantsStopsOnCtrlCAndGoesOnNextTime(t *testing.T) {
	c := copyCheckout(t)
	c.useBinaries(t)
	p, ports := startRun(t, c)
	answers := paste(t, p, c)
	names := pets(t, &harness.Response{Status: 200, Body: answers[0]})
	if len(names) < 2 {
		t.Errorf("the first line lists pets %q; want a few", names)
	}
	if !strings.Contains(answers[1], "HTTP/2 200") || !strings.Contains(strings.ToLower(answers[1]), "x-ratelimit-remaining: ") {
		t.Errorf("the second line answers\n%s\nwant the limit's headers", answers[1])
	}
	var created struct{ ID, Name string }
	if err := json.Unmarshal([]byte(answers[2]), &created); err != nil || created.ID == "" || created.Name != "Rex" {
		t.Errorf("the third line answers\n%s\nwant the new pet", answers[2])
	}
	for _, want := range []string{
		fmt.Sprintf("https://acme-pets.petstore.localhost:%d", ports["HTTPS_PORT"]),
		fmt.Sprintf("http://127.0.0.1:%d/metrics", ports["ADMIN_PORT"]), "data/admin.token",
	} {
		if !strings.Contains(p.Log(), want) {
			t.Errorf("the script does not name %s", want)
		}
	}
	if running := c.processes(t); len(running) < 3 {
		t.Errorf("running: %v; want the script and two servers", running)
	}
	root := read(t, filepath.Join(c.dir, "data/caddy/pki/authorities/local/root.crt"))

	if !strings.Contains(p.Log(), "bin/caddy is up to date") {
		t.Errorf("the binaries of the checkout are not up to date in a copy of it:\n%s", p.Log())
	}

	p.SignalGroup(syscall.SIGINT)
	if status := p.Wait(time.Minute); status != 0 {
		t.Errorf("after Ctrl-C: exit status %d; want 0", status)
	}
	if left := c.processes(t); len(left) > 0 {
		t.Errorf("left running after Ctrl-C: %v", left)
	}
	for _, name := range []string{"data/caddy.log", "data/petstore.log"} {
		if len(read(t, filepath.Join(c.dir, name))) == 0 {
			t.Errorf("%s is empty", name)
		}
	}

	p, _ = startRun(t, c)
	again := paste(t, p, c)
	if after := pets(t, &harness.Response{Status: 200, Body: again[0]}); !slices.Equal(after, names) {
		t.Errorf("the second run lists %q, the first %q; want the same", after, names)
	}
	if string(read(t, filepath.Join(c.dir, "data/caddy/pki/authorities/local/root.crt"))) != string(root) {
		t.Error("the second run has another authority")
	}
	p.Signal(syscall.SIGTERM)
	if status := p.Wait(time.Minute); status != 0 {
		t.Errorf("after SIGTERM: exit status %d; want 0", status)
	}
	if left := c.processes(t); len(left) > 0 {
		t.Errorf("left running after SIGTERM: %v", left)
	}
}

func TestRunEndsWhenOneOfTheTwoEnds(t *testing.T) {
	c := copyCheckout(t)
	c.useBinaries(t)
	for _, name := range []string{"petstore", "caddy"} {
		p, _ := startRun(t, c)
		for pid, command := range c.processes(t) {
			if command == name {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if status := p.Wait(time.Minute); status != 1 {
			t.Errorf("%s killed: exit status %d; want 1", name, status)
		}
		if !strings.Contains(p.Log(), "the end of data/"+name+".log") {
			t.Errorf("%s killed: the script does not show its log:\n%s", name, p.Log())
		}
		if left := c.processes(t); len(left) > 0 {
			t.Errorf("%s killed: left running: %v", name, left)
		}
	}
}

func TestRunNamesAPortThatIsTaken(t *testing.T) {
	c := copyCheckout(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	self, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"HTTPS_PORT", "HTTP_PORT", "BACKEND_PORT", "ADMIN_PORT"}
	for i, name := range names {
		var env []string
		for _, other := range names {
			port := taken
			if other != name {
				port = harness.FreePort(t)
			}
			env = append(env, fmt.Sprintf("%s=%d", other, port))
		}
		out, status := c.call(t, env, "run")
		want := fmt.Sprintf("port %d (%s) is in use by %s (process %d)", taken, name, strings.TrimSpace(string(self)), os.Getpid())
		if status != 1 || !strings.Contains(out, want) {
			t.Errorf("exit status %d and\n%s\nwant 1 and %q", status, out, want)
		}
		for bad, says := range map[string]string{"0": "expected a port", "65536": "expected a port", "https": "expected a port", env[(i+1)%4][strings.Index(env[(i+1)%4], "=")+1:]: "another of the four ports"} {
			out, status := c.call(t, append(slices.Clone(env), name+"="+bad), "run")
			if status != 1 || !strings.Contains(out, says) {
				t.Errorf("%s=%s: exit status %d and\n%s\nwant 1 and %q", name, bad, status, out, says)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(c.dir, "bin")); err == nil {
		t.Error("the script has built something before it looked at the ports")
	}
}
