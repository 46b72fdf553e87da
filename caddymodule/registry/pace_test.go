package registry

import (
	"testing"
	"time"
)

func TestARestIsInProportionToTheLook(t *testing.T) {
	for _, test := range []struct {
		p     pace
		found bool
		times time.Duration
	}{{newPace(), true, 1}, {newPace(), false, 9}, {pace{}, true, 0}, {pace{}, false, 0}} {
		begin := time.Now().Add(-time.Hour)
		p := test.p
		p.rest(begin, test.found)
		if least, most := begin.Add(time.Hour*(1+test.times)), time.Now().Add(time.Since(begin)*test.times); p.until.Before(least) || p.until.After(most) {
			t.Errorf("%+v, found %v: rests until %v, want %v", test.p, test.found, p.until, least)
		}
		if p.resting() != (test.times > 0) {
			t.Errorf("%+v, found %v: resting %v", test.p, test.found, p.resting())
		}
	}
}
