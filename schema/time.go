package schema

import (
	"strings"
	"time"
	"unicode"

	"github.com/outboxd/outboxd/salesforce"
)

// Years that a date may have (R-8.2.9 of docs/fidelity.md).
const (
	firstYear = 1700
	lastYear  = 4000
)

func checkDate(_ *salesforce.Field, text string) (Reason, string) {
	detail, _ := dateProblem(text)
	return badDate(detail)
}

func badDate(detail string) (Reason, string) {
	if detail == "" {
		return "", ""
	}
	return BadDate, detail
}

const (
	isoDate     = "2006-01-02"
	wantDate    = "not a date; write it as 2026-01-31"
	noSuchDay   = "no such day in the calendar"
	noSuchTime  = "no such time of the day"
	outsideYear = "the year is not between 1700 and 4000"
)

// dateProblem looks at the date that a text begins with. Both ways to the org
// want the year first; digits that begin like a year but go on otherwise are left
// to the org. rest is what follows the date, or "".
func dateProblem(text string) (detail, rest string) {
	if len(text) < len("2006") || !isDigits(text[:4]) {
		if text[0] == '+' || text[0] == '-' {
			return "", ""
		}
		return wantDate, ""
	}
	if len(text) < len(isoDate) || text[4] != '-' || text[7] != '-' || !isDigits(text[5:7]) || !isDigits(text[8:10]) {
		if !strings.ContainsFunc(text[4:], unicode.IsNumber) && len(text) > len("2006") {
			return wantDate, ""
		}
		return "", ""
	}
	day, err := time.Parse(isoDate, text[:10])
	rest = text[10:]
	offset := 0 // a zone may move it into the next year
	if rest != "" {
		offset = 1
	}
	switch {
	case err != nil:
		return noSuchDay, rest
	case day.Year() < firstYear-offset || day.Year() > lastYear+offset:
		return outsideYear, rest
	}
	return "", rest
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func checkDateTime(_ *salesforce.Field, text string) (Reason, string) {
	detail, rest := dateProblem(text)
	if detail == "" && len(rest) > 1 && (rest[0] == 'T' || rest[0] == 't' || rest[0] == ' ') {
		detail = clockProblem(rest[1:])
	}
	return badDate(detail)
}

func checkTime(_ *salesforce.Field, text string) (Reason, string) {
	if !strings.ContainsFunc(text, unicode.IsNumber) {
		return badDate("not a time; write it as 14:05:00Z")
	}
	return badDate(clockProblem(text))
}

// clockProblem looks at hours and minutes where a text begins with two digits of
// each; all else is left to the org.
func clockProblem(text string) string {
	if len(text) < len("15:04") || text[2] != ':' || !isDigits(text[:2]) || !isDigits(text[3:5]) {
		return ""
	}
	if text[:2] > "24" || text[3:5] > "59" {
		return noSuchTime
	}
	return ""
}
