package crashtest

import (
	"testing"
)

// steps of a traffic on the network: what the first line of a call holds.
func (tr traffic) calls() []string {
	var list []string
	if tr.match {
		list = append(list, "/query")
	}
	if tr.job {
		return append(list, "POST /services/data/v66.0/jobs/ingest", "PUT /", "PATCH /", "GET /services/data/v66.0/jobs/ingest", "/successfulResults", "/failedResults")
	}
	return append(list, "/composite/sobjects")
}

// misfortune is what the network does to a call.
type misfortune struct {
	name string
	do   func(*exchange)
}

// misfortunes are all; every one happens to the first call of its kind.
func misfortunes() []misfortune {
	list := []misfortune{
		{"swallowed", func(x *exchange) { x.gone() }},
		{"reset before the org has seen it", (*exchange).reset},
		{"answered too late", func(x *exchange) { answer := x.send(x.request); x.gone(); x.answer(answer) }},
		{"carried out after it was given up", func(x *exchange) { x.gone(); x.send(x.request) }},
		{"delivered twice", func(x *exchange) { answer := x.send(x.request); x.send(x.request); x.answer(answer) }},
		{"on a connection that ends after it", func(x *exchange) { x.answer(x.send(x.request)); x.daemon.Close() }},
		{"reset after the org has seen it", func(x *exchange) { x.send(x.request); x.reset() }},
	}
	for name, n := range map[string]func(int) int{
		"first byte": func(int) int { return 1 }, "half": func(size int) int { return size / 2 }, "last byte but one": func(size int) int { return size - 1 },
	} {
		list = append(list,
			misfortune{"cut on its way after the " + name, func(x *exchange) { x.send(x.request[:n(len(x.request))]); x.reset() }},
			misfortune{"answered up to the " + name, func(x *exchange) { a := x.send(x.request); x.answer(a[:n(len(a))]); x.reset() }})
	}
	return list
}

// A call is lost, cut, doubled, answered too late or carried out after it was
// given up: every event takes effect once, in the order of its lane.
func TestNetwork(t *testing.T) {
	for _, tr := range traffics() {
		if tr.name == "update by match by job" || tr.name == "upsert by match by job" || tr.name == "delete by job" || tr.name == "hard_delete by job" {
			continue // on the network they are as others
		}
		for _, call := range tr.calls() {
			for _, m := range misfortunes() {
				if tr.doubt && m.name == "delivered twice" {
					continue // a create that nothing marks, twice at the org: nobody can tell
				}
				t.Run(tr.name+"/"+call[1:]+"/"+m.name, func(t *testing.T) {
					t.Parallel()
					var p *proxy
					f := tr.flow(t, binary, func(url string) string {
						p = between(t, url, call, m.do)
						return p.url()
					})
					f.start()
					f.finish()
					if p.matched() == 0 {
						t.Errorf("there was no call %s", call)
					}
				})
			}
		}
	}
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
