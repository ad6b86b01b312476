package dispatcher

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/outboxd/outboxd/salesforce"
)

// agedOrg notes how old a description may be that it is asked for; 0 is as old as usual.
type agedOrg struct {
	*oddOrg
	ages []time.Duration
}

func (o *agedOrg) Describe(context.Context, string) (*salesforce.Object, error) {
	o.ages = append(o.ages, 0)
	return o.schema, nil
}

func (o *agedOrg) DescribeWithin(_ context.Context, _ string, age time.Duration) (*salesforce.Object, error) {
	o.ages = append(o.ages, age)
	return o.schema, nil
}

func (o *agedOrg) Described(string) (*salesforce.Object, bool, time.Duration) {
	return o.schema, false, 0
}

// TestDescribe_NoLongerBelievedOnceContradicted: saving calls is no reason to send by a description that is known to be wrong.
func TestDescribe_NoLongerBelievedOnceContradicted(t *testing.T) {
	org := &agedOrg{oddOrg: &oddOrg{schema: schemaOf(t, []salesforce.Field{{Name: "Email", Type: "email"}})}}
	d := New(Config{}, nil, org, slog.New(slog.DiscardHandler))
	d.budget.note(salesforce.Usage{Used: 700, Max: 1000, At: time.Now()})
	ask := func(object string, want time.Duration) {
		t.Helper()
		if _, err := d.describe(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		if got := org.ages[len(org.ages)-1]; got != want {
			t.Errorf("a description of %s may be %v old, want %v", object, got, want)
		}
	}
	ask("Contact", traitsForLong)
	d.renew("Contact")
	ask("contact", 0)
	ask("Account", traitsForLong)
}
