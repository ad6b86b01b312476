package app

import (
	"fmt"
	"testing"
	"time"

	"github.com/outboxd/outboxd/api"
)

// TestBudget_StatusAndMetricsTellWhatTheOrgCounts: the daemon's numbers are those of
// the org, its own count of what records cost among them.
func TestBudget_StatusAndMetricsTellWhatTheOrgCounts(t *testing.T) {
	_, c, sim := validatingDaemon(t, "off")
	const events = 20
	for i := range events {
		line := fmt.Sprintf(`{"key":"k%d","object":"Account","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"B-%d"},"fields":{"Name":"A"}}`, i, i)
		if _, err := c.PutEvent(t.Context(), []byte(line), ""); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "all", func() bool { return countsOf(t, c).Delivered == events+1 })
	var b *api.Budget
	await(t, "the budget", func() bool {
		s, err := c.Status(t.Context())
		b = s.APIBudget
		return err == nil && b != nil && b.Used == sim.Calls().Used && b.BulkBatches != nil
	})
	calls := sim.Calls()
	if b.Max != calls.Max || b.Reserve != calls.Max/5 || b.Left != b.Max-b.Reserve-b.Used || b.PacePerHour != nil {
		t.Errorf("%+v, the org says %+v", b, calls)
	}
	if in := time.Until(b.WindowTurnsAt.Time); in < 23*time.Hour || in > 25*time.Hour {
		t.Errorf("the window turns in %v", in)
	}
	rest := calls.Calls["coll.create"] + calls.Calls["coll.upsert"]
	want := float64(rest) * 1000 / (events + 1)
	if got := b.CallsPer1000["rest"]; got < want-0.1 || got > want+0.1 {
		t.Errorf("%.1f calls per 1,000 by REST, want %.1f: %v", got, want, calls.Calls)
	}
}
