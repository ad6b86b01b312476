package server

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/store"
)

// getStatus is GET /v1/status.
func (s *Server) getStatus(w http.ResponseWriter, r *http.Request, _ string) error {
	if err := parseQuery(r).done(); err != nil {
		return err
	}
	return s.answerStatus(w, r)
}

func (s *Server) answerStatus(w http.ResponseWriter, r *http.Request) error {
	st, err := s.outbox.Status(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.status(&st))
}

func (s *Server) status(st *store.Status) api.Status {
	a := api.Status{
		Version: s.version, StartedAt: at(s.started),
		Counts: counts(st.Counts), Accepted: st.Accepted, Forgotten: st.Forgotten,
		Stuck: api.StuckCounts{
			Failed: st.Stuck[store.ReasonFailed], InDoubt: st.Stuck[store.ReasonInDoubt],
			Blocked: st.Stuck[store.ReasonBlocked], Overdue: st.Stuck[store.ReasonOverdue],
		},
		Objects:              make(map[string]api.ObjectCounts, len(st.Objects)),
		OldestPendingSeconds: seconds(st.OldestPending),
		Rates:                s.rates.now(sampleOf(st)),
		APIBudget:            s.dispatch.Budget(),
		Breaker:              s.dispatch.Breaker(),
		Store: api.Store{
			Bytes: st.Bytes, FreeBytes: st.FreeBytes, MaxBytes: st.MaxBytes, Full: st.Full != "", FullBecause: string(st.Full),
			DiskFreeBytes: st.Disk.FreeBytes, DiskNeededBytes: st.Disk.NeedBytes, BallastBytes: st.Disk.BallastBytes,
		},
		AsOf: at(st.AsOf),
	}
	for object, c := range st.Objects {
		a.Objects[object] = api.ObjectCounts(counts(c))
	}
	if st.Facts.OrgID != "" {
		a.Org = &api.Org{ID: st.Facts.OrgID, InstanceURL: st.Facts.InstanceURL}
	}
	return a
}

func counts(c store.Counts) api.Counts {
	return api.Counts{
		Pending: c.Of(store.Pending), Inflight: c.Of(store.Inflight), Delivered: c.Of(store.Delivered),
		Failed: c.Of(store.Failed), InDoubt: c.Of(store.InDoubt), Dropped: c.Of(store.Dropped),
	}
}

// seconds is a length of time with three decimals.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// pause is POST /v1/pause.
func (s *Server) pause(w http.ResponseWriter, r *http.Request, _ string) error {
	if err := s.plainMove(r); err != nil {
		return err
	}
	if err := s.outbox.Pause(r.Context(), s.by(r)); err != nil {
		return err
	}
	return s.controlled(w, r, "pause")
}

// plainMove checks that neither query nor body say anything.
func (s *Server) plainMove(r *http.Request) error {
	if err := parseQuery(r).done(); err != nil {
		return err
	}
	var none struct{}
	return s.readMove(r, &none)
}

// controlled answers a move that concerns the whole outbox.
func (s *Server) controlled(w http.ResponseWriter, r *http.Request, verb string) error {
	s.audit(r, verb)
	s.dispatch.Poke()
	return s.answerStatus(w, r)
}

// resume is POST /v1/resume.
func (s *Server) resume(w http.ResponseWriter, r *http.Request, _ string) error {
	if err := parseQuery(r).done(); err != nil {
		return err
	}
	var accept api.ResumeRequest
	if err := s.readMove(r, &accept); err != nil {
		return err
	}
	err := s.outbox.Resume(r.Context(), s.by(r), store.Acceptance{Org: accept.AcceptOrg, Restore: accept.AcceptRestore})
	if errors.Is(err, store.ErrConfirmation) {
		return s.confirmation(r)
	}
	if err != nil {
		return err
	}
	return s.controlled(w, r, "resume")
}

// confirmation says what the operator has to accept.
func (s *Server) confirmation(r *http.Request) error {
	st, err := s.outbox.Status(r.Context())
	if err != nil {
		return err
	}
	detail := "the store was restored: what it calls pending may have been delivered since; resume with accept_restore"
	if other := st.Facts.OtherOrg; other != "" {
		detail = "the login leads to org " + other + ", the outbox belongs to " + st.Facts.OrgID +
			"; if the other is the right one, resume with accept_org"
	}
	return api.CodeConfirmationNeeded.Problem(detail)
}

// flush is POST /v1/flush.
func (s *Server) flush(w http.ResponseWriter, r *http.Request, _ string) error {
	if err := s.plainMove(r); err != nil {
		return err
	}
	s.dispatch.Flush()
	return s.controlled(w, r, "flush")
}

// healthz is GET /healthz: the process lives.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request, _ string) error {
	return writeJSON(w, http.StatusOK, api.Health{Status: "ok"})
}

// readyz is GET /readyz: the server accepts, whatever the org's state.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request, _ string) error {
	switch {
	case s.stopping.Err() != nil:
		return api.CodeStopping.Problem("")
	case !s.isReady():
		return api.CodeStarting.Problem("")
	}
	return writeJSON(w, http.StatusOK, api.Health{Status: "ok"})
}

// backup is GET /v1/backup. A copy that could not be finished ends in a cut
// connection.
func (s *Server) backup(w http.ResponseWriter, r *http.Request, _ string) error {
	if err := parseQuery(r).done(); err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "application/octet-stream")
		return nil
	}
	if !s.backups.take() {
		return api.CodeRateLimited.Problem("another backup is under way")
	}
	defer s.backups.done()
	s.audit(r, "backup")
	out := newStream(w, "application/octet-stream")
	out.rc.SetWriteDeadline(time.Time{})
	counted := &counter{w: out}
	err := s.outbox.Backup(r.Context(), counted)
	if err != nil && counted.n > 0 {
		s.log.Warn("backup cut", "err", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// counter counts the bytes that went through.
type counter struct {
	w *stream
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// Rates are counted over the last rateWindow, from samples taken every
// rateEvery.
const (
	rateWindow = 30 * time.Second
	rateEvery  = 5 * time.Second
)

// sample is what the rates are made of. Delivered counts also what was
// forgotten since, so that it does not fall.
type sample struct {
	at                  time.Time
	accepted, delivered int64
}

func sampleOf(st *store.Status) sample {
	return sample{at: time.Now(), accepted: st.Accepted, delivered: st.Counts.Of(store.Delivered) + st.Forgotten}
}

// rates keeps the samples of the window, the oldest first.
type rates struct {
	mu      sync.Mutex
	samples []sample
}

func (r *rates) add(s sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, s)
	for len(r.samples) > 1 && s.at.Sub(r.samples[0].at) > rateWindow {
		r.samples = r.samples[1:]
	}
}

// now is the mean between the oldest sample and s.
func (r *rates) now(s sample) api.Rates {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.samples) == 0 {
		return api.Rates{}
	}
	first := r.samples[0]
	passed := s.at.Sub(first.at).Seconds()
	if passed <= 0 {
		return api.Rates{}
	}
	per := func(n int64) float64 { return float64(int64(float64(max(n, 0))/passed*10+0.5)) / 10 }
	return api.Rates{
		AcceptedPerSecond:  per(s.accepted - first.accepted),
		DeliveredPerSecond: per(s.delivered - first.delivered),
	}
}

// sampleRates runs until ctx ends, from when the server is ready.
func (s *Server) sampleRates(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-s.ready:
	}
	tick := time.NewTicker(rateEvery)
	defer tick.Stop()
	for {
		if st, err := s.outbox.Status(ctx); err == nil {
			s.rates.add(sampleOf(&st))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
