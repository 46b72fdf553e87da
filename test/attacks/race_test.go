package attacks

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// A thousand clients want one name at one moment: one gets it, the others are
// told that it is taken, and nobody's request fails.
func TestOneOfAThousandWinsAName(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { nameRace(t, harness.Options{}) })
	t.Run("postgres", func(t *testing.T) { nameRace(t, harness.OnPostgres(t)) })
}

func nameRace(t *testing.T, options harness.Options) {
	const ways = 1000
	s := harness.StartStack(t, options)
	credential := "Bearer " + strings.TrimSpace(s.Read("data/admin.token"))
	transport := &http.Transport{MaxConnsPerHost: ways}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	create := func(slug string) (status int, id string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/api/admin/tenants", s.Backend), strings.NewReader(`{"slug":"`+slug+`"}`))
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		req.Header.Set("Authorization", credential)
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer res.Body.Close()
		var answer struct{ ID string }
		_ = json.NewDecoder(res.Body).Decode(&answer) // a refusal has none
		return res.StatusCode, answer.ID
	}
	var (
		mu     sync.Mutex
		counts = make(map[int]int)
		winner string
		took   []time.Duration
		start  = make(chan struct{})
		work   sync.WaitGroup
	)
	for range ways {
		work.Go(func() {
			<-start
			begin := time.Now()
			status, id := create("prize")
			mu.Lock()
			defer mu.Unlock()
			counts[status]++
			took = append(took, time.Since(begin))
			if status == http.StatusCreated {
				winner = id
			}
		})
	}
	close(start)
	work.Wait()
	if want := map[int]int{http.StatusCreated: 1, http.StatusConflict: ways - 1}; !maps.Equal(counts, want) {
		t.Errorf("answers by status: %v, want %v", counts, want)
	}
	slices.Sort(took)
	t.Logf("answered within %v, half of them within %v", took[ways-1].Round(time.Millisecond), took[ways/2].Round(time.Millisecond))
	var kept struct{ ID, Status string }
	res := s.Control(http.MethodGet, "/api/admin/tenants/prize", "")
	if err := json.Unmarshal([]byte(res.Body), &kept); err != nil || kept.ID != winner || kept.Status != "active" {
		t.Errorf("the tenant is %+v, %v; the winner was told id %q", kept, err, winner)
	}
	// Nothing is held up behind them.
	if status, _ := create("second-prize"); status != http.StatusCreated {
		t.Errorf("another name after that: status %d", status)
	}
	harness.Eventually(t, patience, "the gateway to serve the winner", func() bool {
		return s.Get("prize", "/api/pets").Status == http.StatusOK
	})
}
