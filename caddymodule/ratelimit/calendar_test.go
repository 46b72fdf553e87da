package ratelimit

import (
	"testing"
	"time"
)

// periodByTime computes a period's end with the standard library.
func periodByTime(id windowID, now time.Time) time.Time {
	y, m, d := now.Date()
	switch id {
	case calendarHourID:
		return now.Truncate(time.Hour).Add(time.Hour)
	case calendarDayID:
		return time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
	}
	start := func(m time.Month) time.Time {
		last := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
		return time.Date(y, m, min(int(calendarMonthID-id), last), 0, 0, 0, 0, time.UTC)
	}
	if this := start(m); now.Before(this) {
		return this
	}
	return start(m + 1)
}

func TestPeriodsEndWhereTheCalendarSays(t *testing.T) {
	ids := []windowID{calendarHourID, calendarDayID}
	for anchor := windowID(1); anchor <= 31; anchor++ {
		ids = append(ids, calendarMonthID-anchor)
	}
	check := func(now time.Time) {
		t.Helper()
		for _, id := range ids {
			got := time.UnixMicro(periodEnd(id, now.UnixMicro())).UTC()
			if want := periodByTime(id, now); !got.Equal(want) {
				t.Fatalf("period %d of %s ends at %s, expected %s", id, now, got, want)
			}
		}
	}
	// Every day over a leap century and a common one, at its first and last
	// microsecond.
	for day := time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2032; day = day.AddDate(0, 0, 1) {
		check(day)
		check(day.Add(24*time.Hour - time.Microsecond))
	}
	for day := time.Date(2096, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2105; day = day.AddDate(0, 0, 1) {
		check(day)
	}
}

func TestAMonthsQuotaIsFreshOnItsAnchor(t *testing.T) {
	now := time.Date(2026, 1, 30, 12, 0, 0, 0, time.UTC)
	m := NewMemory(MemoryOptions{Now: func() time.Time { return now }})
	l, err := ParseLimit("2/month@31")
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPolicy([]Limit{l}, Deny)
	if err != nil {
		t.Fatal(err)
	}
	take := func() Decision {
		d, err := m.Take(t.Context(), Key{Tenant: "acme"}, p, 1)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, step := range []struct {
		at        time.Time
		allowed   bool
		remaining int64
	}{
		{now, true, 1},
		{time.Date(2026, 1, 30, 23, 59, 59, 999999000, time.UTC), true, 0},
		{time.Date(2026, 1, 30, 23, 59, 59, 999999000, time.UTC), false, 0},
		{time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), true, 1},
		{time.Date(2026, 2, 27, 23, 0, 0, 0, time.UTC), true, 0},
		{time.Date(2026, 2, 27, 23, 0, 0, 0, time.UTC), false, 0},
		{time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC), true, 1},
		{time.Date(2026, 3, 30, 23, 0, 0, 0, time.UTC), true, 0},
		{time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC), true, 1},
	} {
		now = step.at
		if d := take(); d.Allowed != step.allowed || d.States[0].Remaining != step.remaining {
			t.Fatalf("at %s: allowed %t with %d left, expected %t with %d", now, d.Allowed, d.States[0].Remaining, step.allowed, step.remaining)
		}
	}
}
