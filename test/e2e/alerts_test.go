package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

func TestAlertsFireWhenTheyShouldAndAreExplained(t *testing.T) {
	promtool := harness.Tool(t, "promtool", "prometheus")
	deploy := filepath.Join(harness.Root(t), "deploy")
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = deploy
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(harness.Root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	rules, tests, runbook := read("deploy/alerts.yml"), read("deploy/alerts_test.yml"), read("docs/operations.md")
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(rules, -1)
	if len(alerts) == 0 {
		t.Fatal("there are no alerts")
	}
	for _, a := range alerts {
		if !regexp.MustCompile(`alertname: ` + a[1] + `\n\s+exp_alerts:`).MatchString(tests) {
			t.Errorf("no test shows %s fire", a[1])
		}
		if !strings.Contains(tests, "alertname: "+a[1]+"}") {
			t.Errorf("no test shows %s keep quiet", a[1])
		}
		if !strings.Contains(runbook, "| `"+a[1]+"` |") {
			t.Errorf("docs/operations.md does not say what to do about %s", a[1])
		}
	}
}
