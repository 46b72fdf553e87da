package ratelimit

const (
	microsPerHour = 3600 * microsPerSecond
	microsPerDay  = 24 * microsPerHour
)

// periodEnd returns the end of the calendar period that now lies in, in UTC.
// A month with an anchor begins on that day of the month, or on the last day
// of a month that has fewer, as a subscription's billing period does.
//
// The script computes the same from the store's clock, so gateways with wrong
// clocks still agree on the period.
func periodEnd(id windowID, now int64) int64 {
	switch id {
	case calendarHourID:
		return floorDiv(now, microsPerHour)*microsPerHour + microsPerHour
	case calendarDayID:
		return floorDiv(now, microsPerDay)*microsPerDay + microsPerDay
	}
	anchor := int64(calendarMonthID - id)
	year, month, day := civil(floorDiv(now, microsPerDay))
	if day >= min(anchor, monthLength(year, month)) {
		month++
		if month > 12 {
			year, month = year+1, 1
		}
	}
	return daysOf(year, month, min(anchor, monthLength(year, month))) * microsPerDay
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// civil and daysOf convert between days since 1970-01-01 and dates of the
// Gregorian calendar. They count in years that begin in March, so that the
// leap day is the last day of a year, and in eras of 400 years, which all
// have the same length. time.Date would do, but not in a script.
func civil(days int64) (year, month, day int64) {
	days += 719468 // days from 0000-03-01 to 1970-01-01
	era := floorDiv(days, 146097)
	ofEra := days - era*146097
	yearOfEra := (ofEra - ofEra/1460 + ofEra/36524 - ofEra/146096) / 365
	ofYear := ofEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*ofYear + 2) / 153
	day = ofYear - (153*shifted+2)/5 + 1
	month = shifted + 3
	year = yearOfEra + era*400
	if month > 12 {
		month, year = month-12, year+1
	}
	return year, month, day
}

func daysOf(year, month, day int64) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	era := floorDiv(year, 400)
	yearOfEra := year - era*400
	ofYear := (153*(month-3)+2)/5 + day - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + ofYear - 719468
}

func monthLength(year, month int64) int64 {
	if month == 12 {
		return 31
	}
	return daysOf(year, month+1, 1) - daysOf(year, month, 1)
}
