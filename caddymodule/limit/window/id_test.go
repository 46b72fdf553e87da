package window

import (
	"fmt"
	"testing"
	"time"
)

func TestPeriodsEndWhereTheCalendarSays(t *testing.T) {
	const form = "2006-01-02 15:04:05.000000"
	for _, c := range []struct {
		id       ID
		now, end string
	}{
		{calendarHour, "2026-01-31 23:00:00.000000", "2026-02-01 00:00:00.000000"},
		{calendarHour, "2026-01-31 22:59:59.999999", "2026-01-31 23:00:00.000000"},
		{calendarDay, "2026-12-31 12:00:00.000000", "2027-01-01 00:00:00.000000"},
		{calendarDay, "2028-02-28 00:00:00.000000", "2028-02-29 00:00:00.000000"},
		{calendarDay, "2100-02-28 00:00:00.000000", "2100-03-01 00:00:00.000000"},
		{calendarMonth - 1, "2026-12-01 00:00:00.000000", "2027-01-01 00:00:00.000000"},
		{calendarMonth - 1, "2026-11-30 23:59:59.999999", "2026-12-01 00:00:00.000000"},
		{calendarMonth - 15, "2026-01-14 23:59:59.999999", "2026-01-15 00:00:00.000000"},
		{calendarMonth - 15, "2026-12-15 00:00:00.000000", "2027-01-15 00:00:00.000000"},
		{calendarMonth - 29, "2027-02-27 10:00:00.000000", "2027-02-28 00:00:00.000000"},
		{calendarMonth - 29, "2028-02-28 10:00:00.000000", "2028-02-29 00:00:00.000000"},
		{calendarMonth - 31, "2026-01-30 10:00:00.000000", "2026-01-31 00:00:00.000000"},
		{calendarMonth - 31, "2026-01-31 00:00:00.000000", "2026-02-28 00:00:00.000000"},
		{calendarMonth - 31, "2026-02-28 00:00:00.000000", "2026-03-31 00:00:00.000000"},
		{calendarMonth - 31, "2026-04-30 00:00:00.000000", "2026-05-31 00:00:00.000000"},
	} {
		t.Run(fmt.Sprintf("%d of %s", c.id, c.now), func(t *testing.T) {
			now, err := time.Parse(form, c.now)
			if err != nil {
				t.Fatal(err)
			}
			if got := time.UnixMicro(periodEnd(c.id, now.UnixMicro())).UTC().Format(form); got != c.end {
				t.Errorf("it ends at %s, expected %s", got, c.end)
			}
		})
	}
}
