package main

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
)

// chart is a few lines over two axes, each named at its right end.
type chart struct {
	title, note string
	x, y        axis
	lines       []line
}

// axis says what a scale is about. names stand in for its ticks: quantiles have no places.
type axis struct {
	label string
	scale scale
	names []string
}

type line struct {
	name   string
	style  string // a class of the style sheet
	points []point
}

// point may have a spread, which is drawn if high is above low.
type point struct{ x, y, low, high float64 }

// The picture, in pixels.
const (
	width, height = 760, 440
	left, right   = 76, 150
	top, bottom   = 64, 58
	lineHeight    = 16
)

// styleSheet is beside the colours.
const styleSheet = `
text{font:13px system-ui,"DejaVu Sans",sans-serif}
.title{font-size:16px;font-weight:600}
.small{font-size:12px}
polyline{fill:none;stroke-width:1.8}
polyline.outboxd{stroke-width:3.2}
polyline.raw{stroke-dasharray:6 4}
polyline.dense{stroke-width:1.2}
`

// colours are of the classes, for a light and a dark ground: "x" is drawn in
// one, "of-x" filled with it. Written out, as not every reader knows variables.
var colours = []struct{ style, light, dark string }{
	{"ground", "#ffffff", "#0d1117"},
	{"ink", "#1f2328", "#e6edf3"},
	{"soft", "#59636e", "#9198a1"},
	{"grid", "#e3e6ea", "#2a313c"},
	{"outboxd", "#0969da", "#58a6ff"},
	{"raw", "#6e7781", "#a3abb5"},
	{"red", "#c4402f", "#ff8a76"},
	{"green", "#1a7f37", "#56d364"},
	{"purple", "#8250df", "#c297ff"},
}

func (c chart) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`,
		width, height, width, height, html.EscapeString(c.title))
	b.WriteString("\n<style>" + styles() + "</style>\n")
	fmt.Fprintf(&b, `<rect class="of-ground" width="%d" height="%d"/>`+"\n", width, height)
	text(&b, left, 26, "title of-ink", "start", c.title)
	text(&b, left, 46, "small of-soft", "start", c.note)
	c.grid(&b)
	for _, l := range c.lines {
		c.line(&b, l)
	}
	c.names(&b)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func styles() string {
	var light, dark strings.Builder
	for _, c := range colours {
		const rules = ".%[1]s{stroke:%[2]s}.of-%[1]s{fill:%[2]s}\n"
		fmt.Fprintf(&light, rules, c.style, c.light)
		fmt.Fprintf(&dark, rules, c.style, c.dark)
	}
	return styleSheet + light.String() + "@media (prefers-color-scheme:dark){\n" + dark.String() + "}\n"
}

func text(b *strings.Builder, x, y float64, class, anchor, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`+"\n", x, y, class, anchor, html.EscapeString(s))
}

func (c chart) px(v float64) float64 { return left + c.x.scale.place(v)*(width-left-right) }

func (c chart) py(v float64) float64 { return height - bottom - c.y.scale.place(v)*(height-top-bottom) }

func (c chart) grid(b *strings.Builder) {
	const floor = height - bottom
	for i, v := range c.x.scale.ticks {
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`+"\n", c.px(v), c.px(v), top, floor)
		text(b, c.px(v), floor+20, "small of-soft", "middle", c.x.tick(i))
	}
	for i, v := range c.y.scale.ticks {
		fmt.Fprintf(b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`+"\n", left, width-right, c.py(v), c.py(v))
		text(b, left-8, c.py(v)+4, "small of-soft", "end", c.y.tick(i))
	}
	text(b, (left+width-right)/2, height-14, "of-ink", "middle", c.x.label)
	fmt.Fprintf(b, `<g transform="translate(22 %d) rotate(-90)">`, (top+floor)/2)
	text(b, 0, 0, "of-ink", "middle", c.y.label)
	b.WriteString("</g>\n")
}

func (a axis) tick(i int) string {
	if a.names != nil {
		return a.names[i]
	}
	return short(a.scale.ticks[i])
}

func (c chart) line(b *strings.Builder, l line) {
	const few = 20 // above that, dots would hide a line, and its own width its shape
	class := l.style
	if len(l.points) > few {
		class += " dense"
	}
	fmt.Fprintf(b, `<polyline class="%s" stroke-linejoin="round" points="`, class)
	for _, p := range l.points {
		fmt.Fprintf(b, "%.1f,%.1f ", c.px(p.x), c.py(p.y))
	}
	b.WriteString("\"/>\n")
	for _, p := range l.points {
		if len(l.points) <= few {
			fmt.Fprintf(b, `<circle class="of-%s" cx="%.1f" cy="%.1f" r="3.5"/>`+"\n", l.style, c.px(p.x), c.py(p.y))
		}
		if p.high > p.low {
			fmt.Fprintf(b, `<line class="%s" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n",
				l.style, c.px(p.x), c.px(p.x), c.py(p.low), c.py(p.high))
		}
	}
}

// names writes each line's name at its end, and moves those apart that would
// lie upon each other.
func (c chart) names(b *strings.Builder) {
	type name struct {
		line
		y float64
	}
	var all []name
	for _, l := range c.lines {
		all = append(all, name{l, c.py(l.points[len(l.points)-1].y)})
	}
	slices.SortFunc(all, func(a, b name) int { return cmp.Compare(a.y, b.y) })
	ys := make([]float64, len(all))
	for i, n := range all {
		ys[i] = n.y
	}
	for i, y := range spread(ys, lineHeight, height-bottom) {
		text(b, width-right+10, y+4, "of-"+all[i].style, "start", all[i].name)
	}
}

// spread moves sorted places apart until they have a distance, and none lies
// below the floor.
func spread(places []float64, distance, floor float64) []float64 {
	apart := slices.Clone(places)
	for i := 1; i < len(apart); i++ {
		apart[i] = max(apart[i], apart[i-1]+distance)
	}
	for i := len(apart) - 1; i >= 0; i-- {
		apart[i] = min(apart[i], floor)
		floor = apart[i] - distance
	}
	return apart
}
