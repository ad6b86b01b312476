package salesforce_test

import (
	"errors"
	"testing"
	"time"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/simulator"
)

func TestSkew_GoesByTheOrgsDateWithoutALogin(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	c := o.client(t)
	const off = 3 * time.Second // a Date has whole seconds, and the call takes its time
	for _, ahead := range []time.Duration{0, time.Hour} {
		o.Advance(ahead)
		skew, err := c.Skew(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := (skew + ahead).Abs(); d > off {
			t.Errorf("with an org that is %s ahead: %s", ahead, skew)
		}
	}
	if n := o.Calls().Calls["token"]; n != 0 {
		t.Errorf("%d logins", n)
	}
}

func TestSkew_OfAnOrgThatDoesNotAnswer(t *testing.T) {
	o := startOrg(t, simulator.Config{})
	o.fault(t, simulator.Fault{Do: "drop_before"})
	_, err := o.client(t).Skew(t.Context())
	if e, ok := errors.AsType[*salesforce.APIError](err); !ok || e.Code != salesforce.CodeTransport {
		t.Errorf("got %v", err)
	}
}
