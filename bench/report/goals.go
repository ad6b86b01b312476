package report

// The loads that the goals speak of.
var (
	Single = Load{Connections: 64, Batch: 1}
	Batch  = Load{Connections: 2, Batch: 1000}
)

// Goal is the least that outboxd should reach under a load: so many times the
// rate of a peer or, without one, so many events a second.
type Goal struct {
	Peer  string
	Load  Load
	Least float64
}

// Goals are what the project has set itself.
var Goals = []Goal{
	{Redis, Single, 0.7},
	{Postgres, Single, 2},
	{River, Single, 9},
	{Redis, Batch, 2.5},
	{River, Batch, 4.5},
	{"", Batch, 250_000},
}

// Reached is how far the report gets to the goal; false where it was not measured.
func (g Goal) Reached(r Report) (float64, bool) {
	if g.Peer != "" {
		return r.Ratio(g.Peer, g.Load)
	}
	result, ok := r.Result(Outboxd, g.Load)
	return result.EventsPerSecond, ok
}
