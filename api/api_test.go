package api

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"
)

func TestTime_IsUTCWithThreeDecimals(t *testing.T) {
	at := time.Date(2026, 11, 23, 11, 0, 7, 120_999_999, time.FixedZone("CET", 3600))
	got, err := json.Marshal(Time{at})
	if err != nil || string(got) != `"2026-11-23T10:00:07.120Z"` {
		t.Errorf("Marshal(%v) = %s, %v", at, got, err)
	}
	var back Time
	if err := json.Unmarshal(got, &back); err != nil || !back.Equal(at.Truncate(time.Millisecond)) {
		t.Errorf("Unmarshal(%s) = %v, %v", got, back, err)
	}
}

func TestDocument_AbsentIsNotNull(t *testing.T) {
	got, err := json.Marshal(Document{Key: "k", Seq: 1, State: "pending", Object: "Contact", Operation: "create"})
	want := `{"key":"k","seq":1,"state":"pending","object":"Contact","operation":"create","attempts":0}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestResult_IsEitherAcceptedOrAProblem(t *testing.T) {
	for _, text := range []string{
		`{"key":"k","seq":7,"state":"pending","duplicate":true}`,
		`{"status":422,"code":"key_reused","title":"The key was used for another payload","line":3,"key":"k"}`,
	} {
		var r Result
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(r); err != nil || string(got) != text {
			t.Errorf("got  %s, %v\nwant %s", got, err, text)
		}
		if (r.Problem == nil) == (r.Seq == 0) {
			t.Errorf("%s: both or none of the two is set: %+v", text, r)
		}
	}
}

func TestCodes_AreDescribedOnce(t *testing.T) {
	seen := map[Code]bool{}
	last := 0
	for _, c := range Codes {
		if seen[c.Code] {
			t.Errorf("%s is there twice", c.Code)
		}
		seen[c.Code] = true
		if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(string(c.Code)) {
			t.Errorf("%q is not snake case", c.Code)
		}
		if c.Title == "" || c.Means == "" || c.Do == "" || c.Status < 400 || c.Status < last {
			t.Errorf("%s: incomplete or out of order: %+v", c.Code, c)
		}
		last = c.Status
		if got := c.Code.Info(); got != c {
			t.Errorf("Info(%s) = %+v", c.Code, got)
		}
	}
	if got := Code("no_such").Info().Code; got != CodeInternal {
		t.Errorf("an unknown code is described as %s", got)
	}
}
