package main

import (
	"math"
	"slices"
	"strconv"
)

// scale maps values to places on an axis, from 0 to 1.
type scale struct {
	low, high float64
	log       bool
	ticks     []float64
}

// place is where a value is.
func (s scale) place(v float64) float64 {
	if s.log {
		return math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return (v - s.low) / (s.high - s.low)
}

// linear goes from 0 to the first tick that no value exceeds, by steps of 1, 2
// or 5 times a power of ten: four to ten of them.
func linear(values []float64) scale {
	most := slices.Max(values)
	if most <= 0 {
		most = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	switch {
	case most/step < 2:
		step /= 5
	case most/step < 4:
		step /= 2
	}
	n := math.Ceil(most/step - 1e-9)
	s := scale{high: n * step}
	for i := range int(n) + 1 {
		s.ticks = append(s.ticks, float64(i)*step)
	}
	return s
}

// logarithmic covers positive values, from tick to tick: powers of ten and,
// where these are few, 2 and 5 times them.
func logarithmic(values []float64) scale {
	least, most := slices.Min(values), slices.Max(values)
	factors := []float64{1, 2, 5}
	if most/least > 1000 {
		factors = []float64{1}
	}
	var ticks []float64
	for power := int(math.Floor(math.Log10(least))); power <= int(math.Ceil(math.Log10(most)))+1; power++ {
		for _, f := range factors {
			ticks = append(ticks, f*math.Pow10(power))
		}
	}
	above := func(v float64) int { return slices.IndexFunc(ticks, func(t float64) bool { return t > v }) }
	first := above(least) - 1
	last := max(slices.IndexFunc(ticks, func(t float64) bool { return t >= most }), first+1)
	ticks = ticks[first : last+1]
	return scale{low: ticks[0], high: ticks[len(ticks)-1], log: true, ticks: ticks}
}

// until is a linear scale that ends with the last value.
func until(values []float64) scale {
	s := linear(values)
	if most := slices.Max(values); most > 0 {
		s.high = most
	}
	s.ticks = slices.DeleteFunc(s.ticks, func(t float64) bool { return t > s.high })
	return s
}

// at has its ticks where the values are, as with numbers of connections.
func at(values []float64, log bool) scale {
	ticks := slices.Compact(slices.Sorted(slices.Values(values)))
	s := scale{low: ticks[0], high: ticks[len(ticks)-1], log: log, ticks: ticks}
	if s.low == s.high {
		s.high++
	}
	return s
}

// short writes a tick: thousands as k, millions as M.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 3, 64) + " M"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'g', 3, 64) + " k"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
