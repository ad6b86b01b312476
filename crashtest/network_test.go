package crashtest

import (
	"testing"
)

// calls of a traffic on the network: what the first line of a call holds.
func (tr traffic) calls() []string {
	var list []string
	if tr.match {
		list = append(list, "/query")
	}
	if tr.job {
		return append(list, "POST /services/data/v66.0/jobs/ingest", upload, "PATCH /", "GET /services/data/v66.0/jobs/ingest", "/successfulResults", "/failedResults")
	}
	return append(list, "/composite/sobjects")
}

// misfortune is what the network does to a call.
type misfortune struct {
	name   string
	silent bool // the daemon hears nothing until it gives up
	do     func(*exchange)
}

const (
	upload = "PUT /"
	twice  = "delivered twice"
)

// misfortunes are all; every one happens to the first call of its kind.
func misfortunes() []misfortune {
	list := []misfortune{
		{"swallowed", true, func(x *exchange) { x.gone() }},
		{"reset before the org has seen it", false, (*exchange).reset},
		{"answered too late", true, func(x *exchange) { answer := x.send(x.request); x.gone(); x.answer(answer) }},
		{"carried out after it was given up", true, (*exchange).late},
		{twice, false, func(x *exchange) { answer := x.send(x.request); x.send(x.request); x.answer(answer) }},
		{"on a connection that ends after it", false, func(x *exchange) { x.answer(x.send(x.request)); x.daemon.Close() }},
		{"reset after the org has seen it", false, func(x *exchange) { x.send(x.request); x.reset() }},
	}
	for name, n := range map[string]func(int) int{
		"first byte": func(int) int { return 1 }, "half": func(size int) int { return size / 2 }, "last byte but one": func(size int) int { return size - 1 },
	} {
		list = append(list,
			misfortune{"cut on its way after the " + name, false, func(x *exchange) { x.send(x.request[:n(len(x.request))]); x.reset() }},
			misfortune{"answered up to the " + name, false, func(x *exchange) { a := x.send(x.request); x.answer(a[:n(len(a))]); x.reset() }})
	}
	return list
}

// accident is a misfortune of the first such call of a traffic.
type accident struct {
	traffic
	misfortune
	call string
}

func (a accident) name() string  { return a.traffic.name + "/" + a.call[1:] + "/" + a.misfortune.name }
func (a accident) topic() string { return a.misfortune.name }
func (a accident) way() string   { return a.call }

// accidents are all cases.
func accidents() (all []accident) {
	for _, tr := range traffics() {
		tr.late = 4 * lateness
		for _, call := range tr.calls() {
			for _, m := range misfortunes() {
				a := accident{tr, m, call}
				if a.tellsNothing() {
					continue
				}
				all = append(all, a)
			}
		}
	}
	return all
}

// tellsNothing is a case that can't have the ordinary end, or not soon: a create
// that nothing marks, twice at the org, is seen by nobody; and a call that
// carries much is given up after ten minutes only.
func (a accident) tellsNothing() bool {
	large := a.call == upload || a.call == "/successfulResults" || a.call == "/failedResults"
	return a.doubt && a.misfortune.name == twice || large && a.silent
}

// A call is lost, cut, doubled, answered too late or carried out after it was
// given up: every event takes effect once, in the order of its lane.
func TestNetwork(t *testing.T) {
	try(t, selection(t, accidents()))
}

func (a accident) run(t *testing.T) {
	var p *proxy
	f := a.flow(t, binary, func(url string) string {
		p = between(t, url, a.call, a.do)
		return p.url()
	})
	f.start()
	f.finish(p.wait)
}

// A redirect to another port is not followed, with the token or without.
func TestNetwork_RedirectIsNotFollowed(t *testing.T) {
	for _, tr := range []traffic{upserts().by(false), upserts().by(true)} {
		for _, call := range tr.calls() {
			t.Run(tr.name+"/"+call[1:], func(t *testing.T) {
				t.Parallel()
				to, met := elsewhere(t)
				f := tr.flow(t, binary, func(url string) string {
					return between(t, url, call, func(x *exchange) { x.redirected(to) }).url()
				})
				f.start()
				f.finish()
				if n := met(); n > 0 {
					t.Errorf("%d calls went elsewhere", n)
				}
			})
		}
	}
}
