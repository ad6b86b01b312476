package config

import (
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes.
type Size int64

// units of sizes, the largest first. Powers of 1000 are read, not written.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"B", 1},
}

// ParseSize reads a whole number of bytes, with or without a unit such as MiB or MB.
func ParseSize(text string) (Size, error) {
	bad := &mistake{"not a size", "write a whole number and a unit, such as 10GiB or 512MiB"}
	number, unit := text, int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := parseDigits(number)
	if err != nil {
		return 0, bad
	}
	if n > math.MaxInt64/unit {
		return 0, &mistake{"too large for a size", bad.hint}
	}
	return Size(n * unit), nil
}

// parseDigits takes digits alone: no sign, no underscore.
func parseDigits(text string) (int64, error) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(text, 10, 64)
}

// String is the shortest exact way to write it.
func (s Size) String() string {
	for _, u := range units[:4] {
		if s > 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

func (s *Size) parse(text string) error {
	parsed, err := ParseSize(text)
	if err == nil {
		*s = parsed
	}
	return err
}

// Range is a span of durations, Min ≤ Max, both above 0.
type Range struct{ Min, Max time.Duration }

// ParseRange reads two durations, such as 1s..30s.
func ParseRange(text string) (Range, error) {
	const hint = "write two durations, such as 1s..30s"
	low, high, ok := strings.Cut(text, "..")
	if !ok {
		return Range{}, &mistake{"not a range", hint}
	}
	from, err := parseDuration(strings.TrimSpace(low))
	if err != nil {
		return Range{}, &mistake{"the first part is not a duration", hint}
	}
	to, err := parseDuration(strings.TrimSpace(high))
	if err != nil {
		return Range{}, &mistake{"the second part is not a duration", hint}
	}
	if from <= 0 || from > to {
		return Range{}, &mistake{"not a range: the first part must be above 0 and not above the second", hint}
	}
	return Range{from, to}, nil
}

func (r Range) String() string { return formatDuration(r.Min) + ".." + formatDuration(r.Max) }

func (r *Range) parse(text string) error {
	parsed, err := ParseRange(text)
	if err == nil {
		*r = parsed
	}
	return err
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, &mistake{"not a duration", "write it as 500ms, 30s, 10m or 72h"}
	}
	return d, nil
}

// formatDuration is as Go writes it, without the zeros at the end: 168h, not 168h0m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Percent is a part of a whole: 20 is 20%, the fifth part.
type Percent float64

// ParsePercent reads a number and a percent sign, from 0% to 100%.
func ParsePercent(text string) (Percent, error) {
	const hint = "write it as 20% or 12.5%"
	number, ok := strings.CutSuffix(text, "%")
	if !ok {
		return 0, &mistake{"not a percentage", hint}
	}
	whole, fraction, _ := strings.Cut(strings.TrimSpace(number), ".")
	if _, err := parseDigits(whole + fraction); err != nil {
		return 0, &mistake{"not a percentage", hint}
	}
	p, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		return 0, &mistake{"not a percentage", hint}
	}
	if p > 100 {
		return 0, &mistake{"must be from 0% to 100%", hint}
	}
	return Percent(p), nil
}

func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

// Of is that part of n, rounded down.
func (p Percent) Of(n int64) int64 { return int64(float64(n) * (float64(p) / 100)) }

func (p *Percent) parse(text string) error {
	parsed, err := ParsePercent(text)
	if err == nil {
		*p = parsed
	}
	return err
}

// Mode is the permissions of a file.
type Mode fs.FileMode

// String is in octal, such as 0660.
func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

func (m *Mode) parse(text string) error {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || n > 0o777 {
		return &mistake{"not permissions", `write them in octal, such as "0660"`}
	}
	*m = Mode(n)
	return nil
}
