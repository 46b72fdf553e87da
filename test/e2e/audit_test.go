package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// attempt is an attempt to cross over, as the operator sees it.
type attempt struct {
	ID, Type, Reason, Tenant, User, Method, Host, Path string

	UserTenant string `json:"user_tenant"`
	ClientIP   string `json:"client_ip"`
	RequestID  string `json:"request_id"`
	Claimed    []string
	Count      int64
	Time       time.Time
}

// attempts lists what the query selects from the backend's table, the newest
// first. While the backend is away there is nothing.
func attempts(t *testing.T, s *harness.Stack, query string) (all []attempt) {
	t.Helper()
	for after := ""; ; {
		res := s.Control(http.MethodGet, "/api/admin/audit?limit=1000&after="+url.QueryEscape(after)+query, "")
		var page struct {
			Records []attempt
			After   string `json:"next_after"`
		}
		if err := json.Unmarshal([]byte(res.Body), &page); err != nil || res.Status != http.StatusOK {
			t.Fatalf("listing attempts: status %d, %v\n%s", res.Status, err, res.Body)
		}
		all = append(all, page.Records...)
		if after = page.After; after == "" {
			return all
		}
	}
}

func TestAForeignTokensAttemptIsInTheBackendsTable(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { foreignAttempt(t, harness.StartStack(t, harness.Options{})) })
	t.Run("postgres", func(t *testing.T) { foreignAttempt(t, harness.StartStack(t, harness.OnPostgres(t))) })
}

func foreignAttempt(t *testing.T, s *harness.Stack) {
	token := s.Token(harness.Acme, "editor")
	res := s.Do(harness.Request{Host: harness.Host(harness.Fluffy), Path: "/api/pets?secret=1", Header: http.Header{"Authorization": {"Bearer " + token}}})
	if !refusedByGateway(res) {
		t.Fatalf("a foreign token: status %d\n%s", res.Status, res.Body)
	}
	var found []attempt
	harness.Eventually(t, inForce, "the attempt to be in the table", func() bool {
		found = attempts(t, s, "")
		return len(found) > 0
	})
	a := found[0]
	if len(found) != 1 || a.Type != "cross_tenant_access_attempt" || a.Reason != "foreign" || a.Tenant != harness.Fluffy || a.UserTenant != harness.Acme ||
		a.User != payload(t, token).Subject || a.Method != http.MethodGet || !strings.HasPrefix(a.Host, harness.Host(harness.Fluffy)) || a.Path != "/api/pets" ||
		a.ClientIP != "127.0.0.1" || a.RequestID == "" || a.Count != 1 || time.Since(a.Time) > time.Minute {
		t.Errorf("the attempts are %+v", found)
	}
	for query, want := range map[string]int{
		"&tenant=" + harness.Acme: 1, "&tenant=" + harness.Fluffy: 1, "&tenant=" + harness.Paws: 0,
		"&type=cross_tenant_access_attempt": 1, "&type=tenant_conflict": 0,
		"&before=" + a.Time.Format(time.RFC3339): 0, "&since=" + a.Time.Format(time.RFC3339): 1,
	} {
		if got := attempts(t, s, query); len(got) != want {
			t.Errorf("%s: %d attempts, want %d", query, len(got), want)
		}
	}
	trail := s.Read("data/audit.jsonl")
	if !strings.Contains(trail, a.RequestID) {
		t.Errorf("the file does not have the request %q: %s", a.RequestID, trail)
	}
	_, petstore := harness.Binaries(t)
	cmd := exec.Command(petstore, "audit", "--data", "data", "--tenant", harness.Acme)
	cmd.Dir, cmd.Env = s.Dir, s.Environ()
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "\n") != 2 || !strings.Contains(string(out), "cross_tenant_access_attempt") {
		t.Errorf("petstore audit: %v\n%s", err, out)
	}
	for name, text := range map[string]string{"table": fmt.Sprint(found), "file": trail, "pet store's log": s.Petstore.Log()} {
		if strings.Contains(text, token) || strings.Contains(text, "secret=1") {
			t.Errorf("the %s has the token or the query", name)
		}
	}
}

// crossing makes conflicts possible, without a limit on guesses, and lets each
// request say which client it is from: repeats of one client would be counted
// and not recorded one by one.
func crossing(t *testing.T) harness.Options {
	return harness.Options{Caddyfile: func(text string) string {
		return harness.Edit(t, text,
			"tenant host petstore.localhost\n", "tenant {\n\t\thost petstore.localhost\n\t\theader X-Tenant-ID\n\t}\n",
			"\tservers {\n", "\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n",
			"\ttenancy {\n", "\ttenancy {\n\t\tguesses off\n")
	}}
}

// cross makes the attempt number i.
func cross(s *harness.Stack, i int) error {
	res, err := s.Try(harness.Request{
		Host: harness.Host(harness.Acme), Path: fmt.Sprintf("/attempt/%d", i),
		Header: http.Header{"X-Tenant-Id": {harness.Fluffy}, "X-Forwarded-For": {fmt.Sprintf("10.%d.%d.1", i/1000%250, i%250)}},
	})
	if err == nil && !refusedByGateway(res) {
		err = fmt.Errorf("attempt %d: status %d", i, res.Status)
	}
	return err
}

func crossEach(t *testing.T, s *harness.Stack, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := cross(s, i); err != nil {
			t.Fatal(err)
		}
	}
}

// checkEach fails unless the table has the attempts 0 to n-1, each once, and
// newest first in the order in which they were made.
func checkEach(t *testing.T, s *harness.Stack, n int) {
	t.Helper()
	list := attempts(t, s, "")
	slices.Reverse(list)
	ids := make(map[string]bool)
	for i, a := range list {
		if a.Path != fmt.Sprint("/attempt/", i) || a.Count != 1 || ids[a.ID] {
			t.Errorf("record %d is %+v", i, a)
		}
		ids[a.ID] = true
	}
	if len(list) != n {
		t.Errorf("the table has %d records, want %d", len(list), n)
	}
}

// inFile waits until the file has n attempts: it waits for no backend.
func inFile(t *testing.T, s *harness.Stack, n int) {
	t.Helper()
	harness.Eventually(t, inForce, fmt.Sprintf("%d attempts to be in the file", n), func() bool {
		return strings.Count(s.Read("data/audit.jsonl"), `"tenant_conflict"`) == n
	})
}
