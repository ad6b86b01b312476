package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/internal/term"
)

func TestStatus_SaysThatCallsAreSaved(t *testing.T) {
	kept, none := 3.8, 0.0
	for _, test := range []struct {
		name    string
		breaker string
		pace    *float64
		want    []string
		not     string
	}{
		{"plenty", api.BreakerClosed, nil, []string{"sending\tyes\n"}, "calls an hour"},
		{"spread", api.BreakerClosed, &kept, []string{"sending\tyes, saving API calls\n", "calls an hour\t3.8: "}, "sending\tno"},
		{"none", api.BreakerClosed, &none, []string{"calls an hour\t0: none "}, "spread"},
		{"paused", api.BreakerOpen, &kept, []string{"sending\tno: budget\n"}, "saving"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			c := &cli{out: term.New(&b)}
			s := api.Status{
				Breaker:   api.Breaker{State: test.breaker},
				APIBudget: &api.Budget{PacePerHour: test.pace, CallsPer1000: map[string]float64{"rest": 5.4, "bulk": 6.9}},
			}
			if test.breaker != api.BreakerClosed {
				s.Breaker.Reason = "budget"
			}
			if err := c.showStatus(s); err != nil {
				t.Fatal(err)
			}
			for _, want := range append(test.want, "1,000 records cost\tin calls 6.9 by bulk, 5.4 by rest\n") {
				if !strings.Contains(b.String(), want) {
					t.Errorf("lacks %q:\n%s", want, &b)
				}
			}
			if strings.Contains(b.String(), test.not) {
				t.Errorf("has %q:\n%s", test.not, &b)
			}
		})
	}
}

// From then on the late window counts, after which a person may believe what the org shows.
func TestShow_TellsWhenWhatIsInDoubtWasSent(t *testing.T) {
	var b bytes.Buffer
	c := &cli{out: term.New(&b)}
	d := api.Document{State: "in_doubt", Doubt: &api.Doubt{SentAt: api.Time{Time: time.Unix(1000, 0)}, Code: "TRANSPORT", Message: "no answer"}}
	if err := c.showEvent(d, ""); err != nil {
		t.Fatal(err)
	}
	if want := "in doubt\tTRANSPORT: no answer\nperhaps sent\t1970-01-01 00:16:40.000Z\n"; !strings.Contains(b.String(), want) {
		t.Errorf("lacks %q:\n%s", want, &b)
	}
}
