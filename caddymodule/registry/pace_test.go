package registry

import (
	"testing"
	"time"
)

func TestARestIsInProportionToTheLook(t *testing.T) {
	for _, test := range []struct {
		p     pace
		found bool
		times int64
	}{{newPace(), true, 1}, {newPace(), false, 6}, {pace{}, true, 0}, {pace{}, false, 0}} {
		begin := time.Now().Add(-time.Hour)
		p := test.p
		p.rest(begin, test.found)
		least := begin.Add(time.Hour + time.Duration(test.times*int64(time.Hour)))
		most := time.Now().Add(time.Duration(test.times * int64(time.Since(begin))))
		if p.until.Before(least) || p.until.After(most) {
			t.Errorf("%+v, found %v: rests until %v, want %v", test.p, test.found, p.until, least)
		}
		if p.resting() != (test.times > 0) {
			t.Errorf("%+v, found %v: resting %v", test.p, test.found, p.resting())
		}
	}
}
