package server

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/store"
)

// maxSources bounds the label source: what comes after is counted as "other".
const maxSources = 100

// scrapeTimeout bounds the store's question of one scrape.
const scrapeTimeout = 5 * time.Second

// metrics are what the server counts itself. No label holds a key or a payload.
type metrics struct {
	requests   *prometheus.CounterVec
	problems   *prometheus.CounterVec
	accepted   *prometheus.CounterVec
	duplicates prometheus.Counter
	putSeconds prometheus.Histogram

	mu      sync.RWMutex
	sources map[string]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Server) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "outboxd_requests_total", Help: "Requests by path pattern, method and status.",
		}, []string{"path", "method", "status"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "outboxd_problems_total", Help: "Problems answered, of requests and of single lines, by code.",
		}, []string{"code"}),
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "outboxd_events_accepted_total", Help: "Events accepted since the start, by source.",
		}, []string{"source"}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "outboxd_events_duplicate_total", Help: "Events that were accepted before.",
		}),
		putSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "outboxd_put_seconds", Help: "Time until a write was durable.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		sources: make(map[string]prometheus.Counter),
	}
	reg.MustRegister(m.requests, m.problems, m.accepted, m.duplicates, m.putSeconds, &outboxCollector{s: s})
	return m
}

func (m *metrics) request(path, method string, status int) {
	switch method {
	case "GET", "HEAD", "POST":
	default:
		method = "other"
	}
	m.requests.WithLabelValues(path, method, strconv.Itoa(status)).Inc()
}

func (m *metrics) problem(code api.Code) { m.problems.WithLabelValues(string(code)).Inc() }

// put counts what one call of the store wrote.
func (m *metrics) put(begun time.Time, events []store.Event, results []store.PutResult) {
	m.putSeconds.Observe(time.Since(begun).Seconds())
	for i := range results {
		switch {
		case results[i].Err != nil:
		case results[i].Duplicate:
			m.duplicates.Inc()
		default:
			m.source(events[i].Source).Inc()
		}
	}
}

func (m *metrics) source(name string) prometheus.Counter {
	m.mu.RLock()
	c, ok := m.sources[name]
	m.mu.RUnlock()
	if ok {
		return c
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sources) >= maxSources {
		return m.accepted.WithLabelValues("other")
	}
	c = m.accepted.WithLabelValues(name)
	m.sources[name] = c
	return c
}

// What is asked of the store and the dispatcher at each scrape.
var (
	descEvents      = prometheus.NewDesc("outboxd_events", "Events in the store, by state.", []string{"state"}, nil)
	descStuck       = prometheus.NewDesc("outboxd_stuck", "Stuck events, by reason.", []string{"reason"}, nil)
	descOldest      = prometheus.NewDesc("outboxd_oldest_pending_seconds", "Age of the oldest pending event.", nil, nil)
	descBytes       = prometheus.NewDesc("outboxd_store_bytes", "Length of the store's file.", nil, nil)
	descFree        = prometheus.NewDesc("outboxd_store_free_bytes", "Bytes of the file that can be used again.", nil, nil)
	descMax         = prometheus.NewDesc("outboxd_store_max_bytes", "Length that the file may reach.", nil, nil)
	descFull        = prometheus.NewDesc("outboxd_store_full", "1 while new events are refused for want of room.", nil, nil)
	descDiskFree    = prometheus.NewDesc("outboxd_disk_free_bytes", "Bytes free on the file system of the store.", nil, nil)
	descDiskNeeded  = prometheus.NewDesc("outboxd_disk_needed_bytes", "Bytes that must be free there for new events.", nil, nil)
	descBallast     = prometheus.NewDesc("outboxd_ballast_bytes", "Bytes kept on the disk for outcomes; 0 while they are given up.", nil, nil)
	descCommits     = prometheus.NewDesc("outboxd_store_commits_total", "Transactions that the store committed since the start.", nil, nil)
	descWritten     = prometheus.NewDesc("outboxd_store_written_bytes_total", "Bytes of pages that the store wrote to its file since the start.", nil, nil)
	descSyncs       = prometheus.NewDesc("outboxd_store_syncs_total", "Times that the store waited for the disk since the start: two for a commit, one each time its file grew.", nil, nil)
	descBreaker     = prometheus.NewDesc("outboxd_breaker_open", "1 while nothing is sent, by reason.", []string{"reason"}, nil)
	descBudgetUsed  = prometheus.NewDesc("outboxd_api_budget_used", "API calls of the org used in the last 24 hours.", nil, nil)
	descBudgetMax   = prometheus.NewDesc("outboxd_api_budget_max", "API calls that the org has in 24 hours.", nil, nil)
	descBudgetLeft  = prometheus.NewDesc("outboxd_api_budget_left", "API calls that are left for the daemon, the reserve not counted.", nil, nil)
	descBudgetPace  = prometheus.NewDesc("outboxd_api_budget_pace_per_hour", "API calls an hour that can be kept up; absent while they need not be saved.", nil, nil)
	descBudgetTurns = prometheus.NewDesc("outboxd_api_budget_window_turns_timestamp_seconds", "When the oldest API calls that count come back, at the latest.", nil, nil)
	descBudgetGone  = prometheus.NewDesc("outboxd_api_budget_exhausted_timestamp_seconds", "When only the reserve is left at the pace of the last hour; absent if that is not within a day.", nil, nil)
	descJobsHeld    = prometheus.NewDesc("outboxd_jobs_held", "1 while no job is made, since the org has no bulk batch left for it.", nil, nil)
	descBatchesUsed = prometheus.NewDesc("outboxd_bulk_batches_used", "Bulk batches of the org used in the last 24 hours.", nil, nil)
	descBatchesMax  = prometheus.NewDesc("outboxd_bulk_batches_max", "Bulk batches that the org has in 24 hours.", nil, nil)
	descBatchesLeft = prometheus.NewDesc("outboxd_bulk_batches_left", "Bulk batches that are left for the daemon, the reserve not counted.", nil, nil)
	descConnections = prometheus.NewDesc("outboxd_connections", "Open connections.", nil, nil)
	descInfo        = prometheus.NewDesc("outboxd_build_info", "1, with the version.", []string{"version"}, nil)
)

// outboxCollector shows the status as metrics.
type outboxCollector struct{ s *Server }

func (c *outboxCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descEvents, descStuck, descOldest, descBytes, descFree, descMax, descFull,
		descDiskFree, descDiskNeeded, descBallast, descCommits, descSyncs, descWritten,
		descBreaker, descBudgetUsed, descBudgetMax, descBudgetLeft, descBudgetPace,
		descBudgetTurns, descBudgetGone, descJobsHeld, descBatchesUsed, descBatchesMax, descBatchesLeft, descConnections, descInfo,
	} {
		ch <- d
	}
}

func (c *outboxCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descConnections, float64(c.s.conns.total()))
	gauge(descInfo, 1, c.s.version)
	if !c.s.isReady() {
		return
	}
	c.collectDispatch(gauge)
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	st, err := c.s.outbox.Status(ctx)
	if err != nil {
		c.s.log.Warn("metrics without the store", "err", err)
		return
	}
	for _, state := range store.States {
		gauge(descEvents, float64(st.Counts.Of(state)), state.String())
	}
	for _, reason := range store.Reasons {
		gauge(descStuck, float64(st.Stuck[reason]), string(reason))
	}
	gauge(descOldest, st.OldestPending.Seconds())
	gauge(descBytes, float64(st.Bytes))
	gauge(descFree, float64(st.FreeBytes))
	gauge(descMax, float64(st.MaxBytes))
	gauge(descFull, truth(st.Full != ""))
	gauge(descDiskFree, float64(st.Disk.FreeBytes))
	gauge(descDiskNeeded, float64(st.Disk.NeedBytes))
	gauge(descBallast, float64(st.Disk.BallastBytes))
	ch <- prometheus.MustNewConstMetric(descCommits, prometheus.CounterValue, float64(st.Commits))
	ch <- prometheus.MustNewConstMetric(descSyncs, prometheus.CounterValue, float64(st.Syncs))
	ch <- prometheus.MustNewConstMetric(descWritten, prometheus.CounterValue, float64(st.Written))
}

func (c *outboxCollector) collectDispatch(gauge func(*prometheus.Desc, float64, ...string)) {
	b := c.s.dispatch.Breaker()
	gauge(descBreaker, truth(b.State == api.BreakerOpen), b.Reason)
	if budget := c.s.dispatch.Budget(); budget != nil {
		gauge(descBudgetUsed, float64(budget.Used))
		gauge(descBudgetMax, float64(budget.Max))
		gauge(descBudgetLeft, float64(budget.Left))
		if budget.PacePerHour != nil {
			gauge(descBudgetPace, *budget.PacePerHour)
		}
		if t := budget.WindowTurnsAt; !t.IsZero() {
			gauge(descBudgetTurns, float64(t.Unix()))
		}
		if t := budget.ExhaustedAt; !t.IsZero() {
			gauge(descBudgetGone, float64(t.Unix()))
		}
		gauge(descJobsHeld, truth(budget.JobsHeld))
		if b := budget.BulkBatches; b != nil {
			gauge(descBatchesUsed, float64(b.Used))
			gauge(descBatchesMax, float64(b.Max))
			gauge(descBatchesLeft, float64(b.Left))
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func scrapeHandler(reg *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		MaxRequestsInFlight: 4,
	})
}

// showMetrics is GET /metrics.
func (s *Server) showMetrics(w http.ResponseWriter, r *http.Request, _ string) error {
	s.scrape.ServeHTTP(w, r)
	return nil
}
