package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/outboxd/outboxd/bench/report"
)

// lineStyles are those of the peers.
var lineStyles = map[string]string{
	report.Raw: "raw", report.Outboxd: "outboxd", report.Redis: "red", report.Postgres: "green", report.River: "purple",
}

// byConnections shows the rates of single events.
func byConnections(r report.Report) chart {
	c := chart{
		title: "Durable accepts over a Unix socket",
		note: fmt.Sprintf("One %d-byte event a request; median of %d rounds and their spread. This disk syncs %s times a second.",
			r.EventBytes, r.Rounds, short(r.SyncsPerSecond)),
	}
	for _, p := range r.Peers {
		l := line{name: p.Name, style: lineStyles[p.Name]}
		for _, result := range p.Results {
			if result.Batch == 1 {
				l.points = append(l.points, point{
					float64(result.Connections), result.EventsPerSecond, slices.Min(result.Rates), slices.Max(result.Rates),
				})
			}
		}
		c.add(l)
	}
	c.x = axis{label: "connections", scale: at(c.xs(), true)}
	c.y = axis{label: "events/s", scale: logarithmic(c.ys())}
	return c
}

// quantiles shows how long a request takes where most connections wait.
func quantiles(r report.Report) chart {
	loads := singles(r)
	load := loads[len(loads)-1]
	c := chart{
		title: "How long an acknowledgement takes",
		note:  fmt.Sprintf("One %d-byte event a request on %s; medians of %d rounds.", r.EventBytes, load, r.Rounds),
		x:     axis{label: "of all requests, so many took at most", names: []string{"half", "99 %", "99.9 %", "all"}},
	}
	for _, p := range r.Peers {
		l := line{name: p.Name, style: lineStyles[p.Name]}
		if result, ok := r.Result(p.Name, load); ok {
			for i, us := range []float64{result.P50, result.P99, result.P999, result.Longest} {
				l.points = append(l.points, point{x: float64(i), y: us / 1000})
			}
		}
		c.add(l)
	}
	c.x.scale = at(c.xs(), false)
	c.y = axis{label: "milliseconds", scale: logarithmic(c.ys())}
	return c
}

// byKnown shows rates against the number of keys in the dedup window, one line
// for each load that all runs have, and a raw one beside it.
func byKnown(runs []acceptance) chart {
	slices.SortFunc(runs, func(a, b acceptance) int { return cmp.Compare(a.Known, b.Known) })
	c := chart{
		title: "Accepting, by how many keys are known",
		note:  fmt.Sprintf("%d-byte events with random keys; dashed: the disk's group commit of as many writers.", runs[0].EventBytes),
	}
	styles := []string{"outboxd", "green", "purple", "red"}
	for i, load := range runs[0].Loads {
		name := load.Name + " on " + fmt.Sprint(load.Connections)
		ours := line{name: name, style: styles[i%len(styles)]}
		raw := line{name: "raw, " + name, style: "raw"}
		for _, run := range runs {
			l, ok := run.load(load.Name, load.Connections)
			if !ok {
				continue
			}
			known := float64(run.Known)
			ours.points = append(ours.points, l.point(known, func(r rates) float64 { return r.EventsPerSecond }))
			raw.points = append(raw.points, l.point(known, func(r rates) float64 { return r.RawPerSecond }))
		}
		c.add(ours)
		c.add(raw)
	}
	c.x = axis{label: "keys in the dedup window", scale: until(c.xs())}
	c.y = axis{label: "events/s", scale: logarithmic(c.ys())}
	return c
}

func (a acceptance) load(name string, connections int) (acceptLoad, bool) {
	i := slices.IndexFunc(a.Loads, func(l acceptLoad) bool { return l.Name == name && l.Connections == connections })
	if i < 0 {
		return acceptLoad{}, false
	}
	return a.Loads[i], true
}

func (l acceptLoad) point(x float64, rate func(rates) float64) point {
	p := point{x: x, y: rate(l.rates)}
	if len(l.Rounds) == 0 {
		return p
	}
	var all []float64
	for _, r := range l.Rounds {
		all = append(all, rate(r))
	}
	p.low, p.high = slices.Min(all), slices.Max(all)
	return p
}

// steady shows one figure of a long run over its hours.
func steady(run []moment, title, label, name string, figure func(moment) float64) chart {
	last := run[len(run)-1]
	c := chart{
		title: title,
		note:  fmt.Sprintf("%s events accepted in %s hours; at the end %s keys were known.", short(last.Accepted), short(last.Hours), short(last.Known)),
	}
	l := line{name: name, style: "outboxd"}
	for _, m := range run {
		l.points = append(l.points, point{x: m.Hours, y: figure(m)})
	}
	c.add(l)
	c.x = axis{label: "hours", scale: until(c.xs())}
	c.y = axis{label: label, scale: linear(c.ys())}
	return c
}

// add leaves out a line that has no points.
func (c *chart) add(l line) {
	if len(l.points) > 0 {
		c.lines = append(c.lines, l)
	}
}

func (c *chart) xs() (all []float64) {
	for _, l := range c.lines {
		for _, p := range l.points {
			all = append(all, p.x)
		}
	}
	return all
}

// ys are all heights that must be seen.
func (c *chart) ys() (all []float64) {
	for _, l := range c.lines {
		for _, p := range l.points {
			all = append(all, p.y)
			if p.high > p.low {
				all = append(all, p.low, p.high)
			}
		}
	}
	return all
}
