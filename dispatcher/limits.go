package dispatcher

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/outboxd/outboxd/salesforce"
)

const (
	// limitsEvery is how often the org is asked for its limits while jobs are made:
	// of calls each answer tells, of batches only this call does, which costs one. Our
	// own are counted meanwhile.
	limitsEvery = 6 * time.Hour
	// limitsSoon is the same once batches are short.
	limitsSoon = 30 * time.Minute
)

// followLimits asks the org for its limits at the start, and again as long as jobs
// use them.
func (d *Dispatcher) followLimits(ctx context.Context) {
	for d.closed(ctx) {
		if d.budget.wantsLimits() {
			if err := d.call(ctx, reading, d.org.Probe); err != nil && ctx.Err() == nil {
				d.log.Debug("the org's limits could not be read", "err", err)
			}
			d.budget.asked()
			d.Poke()
		}
		if !sleep(ctx, limitsSoon) {
			return
		}
	}
}

// closed waits until the breaker is closed; false if ctx ended first. A call that
// is not needed must not be what tries whether the org can be used again.
func (d *Dispatcher) closed(ctx context.Context) bool {
	for {
		changed := d.breaker.changed()
		if d.breaker.status().State == BreakerClosed {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// seeLimits takes in what the org's newest answers say of its limits. Where only the
// reserve is left of its calls it says so, and when to look again.
func (d *Dispatcher) seeLimits() (message string, wait time.Duration) {
	if u, ok := d.org.Batches(); ok {
		d.budget.noteBatches(u)
	}
	var made int64
	for _, n := range d.org.Calls() {
		made += n
	}
	d.budget.spent(made)
	u, ok := d.org.Usage()
	if !ok {
		return "", 0
	}
	d.budget.note(u)
	return d.budget.exhausted()
}

// isOutOfBatches reports whether the org has no batch left for a job today. It is
// no limit of anything else.
func isOutOfBatches(err error) bool {
	e, ok := errors.AsType[*salesforce.APIError](err)
	return ok && namesBatches(e.Code)
}

// namesBatches reports whether a code speaks of the batches of jobs. Rows have it in
// the spelling of jobs, ExceededQuota.
func namesBatches(code string) bool { return strings.EqualFold(code, codeOutOfBatches) }

// keepJobsBack has no job made for a while.
func (d *Dispatcher) keepJobsBack() {
	if d.budget.outOfBatches() {
		d.log.Warn("the org's bulk batches of the day are used up: what may go by REST does, the rest waits", "again_in", outFor)
	}
}
