package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outboxd/outboxd/dispatcher"
)

// collector shows the dispatcher's counters to Prometheus.
type collector struct{ counters func() dispatcher.Counters }

var (
	descAttempts  = prometheus.NewDesc("outboxd_attempts_total", "REST requests, bulk jobs and queries since the start, by what happened to them.", []string{"kind", "event"}, nil)
	descRecords   = prometheus.NewDesc("outboxd_records_total", "Outcomes of records since the start, by the way they travelled.", []string{"kind", "verdict"}, nil)
	descJobs      = prometheus.NewDesc("outboxd_jobs_total", "Bulk jobs since the start, by the state in which they ended.", []string{"state"}, nil)
	descCalls     = prometheus.NewDesc("outboxd_api_calls_total", "API calls that were sent since the start, by what they were for.", []string{"kind"}, nil)
	descCost      = prometheus.NewDesc("outboxd_api_calls_per_1000_records", "API calls that 1,000 records have cost since the start, by the way they travelled.", []string{"kind"}, nil)
	descUnmatched = prometheus.NewDesc("outboxd_unmatched_rows_total", "Rows of results that belong to no event: anything above 0 is an alarm.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descAttempts, descRecords, descJobs, descCalls, descCost, descUnmatched} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	now := c.counters()
	for a, n := range now.Attempts {
		send(descAttempts, n, string(a.Kind), a.Event)
	}
	for r, n := range now.Records {
		send(descRecords, n, string(r.Kind), r.Verdict)
	}
	for state, n := range now.Jobs {
		send(descJobs, n, state)
	}
	for kind, n := range now.Calls {
		send(descCalls, n, string(kind))
	}
	for k, n := range now.CallsPerThousand() {
		out <- prometheus.MustNewConstMetric(descCost, prometheus.GaugeValue, n, string(k))
	}
	send(descUnmatched, now.Unmatched)
}
