package bench

import (
	"slices"
	"time"
)

// Latency is how long acknowledgements took, in microseconds.
type Latency struct {
	P50      float64 `json:"p50_us"`
	P99      float64 `json:"p99_us"`
	P999     float64 `json:"p999_us"`
	Longest  float64 `json:"longest_us"`
	P99ToP50 float64 `json:"p99_to_p50"`
}

// times are lengths of time in microseconds.
type times []uint32

func (t *times) add(d time.Duration) {
	*t = append(*t, uint32(min(d.Microseconds(), 1<<32-1)))
}

// latency sorts the times.
func (t times) latency() Latency {
	slices.Sort(t)
	l := Latency{P50: t.quantile(0.5), P99: t.quantile(0.99), P999: t.quantile(0.999), Longest: t.quantile(1)}
	l.P99ToP50 = ratio(l.P99, l.P50)
	return l
}

// quantile is the smallest of the sorted times that is not below a share q of them.
func (t times) quantile(q float64) float64 {
	if len(t) == 0 {
		return 0
	}
	n := int(q * float64(len(t)))
	if float64(n) < q*float64(len(t)) {
		n++
	}
	return float64(t[max(n, 1)-1])
}

// median of no values is 0.
func median(all []float64) float64 {
	n := len(all)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// medianOf is the median of one figure of every round.
func medianOf[T any](rounds []T, figure func(T) float64) float64 {
	all := make([]float64, len(rounds))
	for i, r := range rounds {
		all[i] = figure(r)
	}
	return median(all)
}

// medianLatency has the median of each quantile, and the longest of all.
func medianLatency[T any](rounds []T, of func(T) Latency) Latency {
	quantile := func(pick func(Latency) float64) float64 {
		return medianOf(rounds, func(r T) float64 { return pick(of(r)) })
	}
	l := Latency{
		P50:      quantile(func(l Latency) float64 { return l.P50 }),
		P99:      quantile(func(l Latency) float64 { return l.P99 }),
		P999:     quantile(func(l Latency) float64 { return l.P999 }),
		P99ToP50: quantile(func(l Latency) float64 { return l.P99ToP50 }),
	}
	for _, r := range rounds {
		l.Longest = max(l.Longest, of(r).Longest)
	}
	return l
}

// ratio is 0 where there is nothing to compare with.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
