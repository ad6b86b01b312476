package dispatcher

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/store"
)

// blank is an org without records.
type blank struct{ Org }

func (blank) Query(context.Context, string, bool, int) ([]salesforce.Record, error) { return nil, nil }

func (blank) Usage() (salesforce.Usage, bool) { return salesforce.Usage{}, false }

func (blank) Calls() map[salesforce.CallKind]int64 { return nil }

func (blank) Batches() (salesforce.Usage, bool) { return salesforce.Usage{}, false }

// TestConfirm_AbsenceIsBelievedWhileADeletedRecordCanBeSeen: after that a create
// that landed and was deleted looks as if it had never been.
func TestConfirm_AbsenceIsBelievedWhileADeletedRecordCanBeSeen(t *testing.T) {
	d := New(Config{}, nil, blank{}, slog.New(slog.DiscardHandler))
	b := &batch{judge: judge{cfg: d.config(), route: store.Route{Object: "Contact", Operation: opCreate}, keyField: "Key__c", idempotent: true}}
	for i, sent := range []time.Time{time.Now().Add(-time.Hour), time.Now().Add(-absentWithin), {}} {
		b.records = append(b.records, record{Claimed: store.Claimed{Seq: store.Seq(i + 1), Key: "k", Sent: true, FirstSent: sent}})
	}
	d.confirm(t.Context(), b)
	if len(b.records) != 1 || b.records[0].Seq != 1 {
		t.Errorf("%d are sent, want the first only", len(b.records))
	}
	for _, o := range b.settled {
		if o.Verdict != store.Doubt {
			t.Errorf("event %d: %v, want doubt", o.Seq, o.Verdict)
		}
	}
}
