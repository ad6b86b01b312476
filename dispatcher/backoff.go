package dispatcher

import "time"

// backoff returns how long to wait before try n+1, n tries having been made: a
// time up to twice that of the one before, beginning with initial, at most
// limit. chance spreads it over the whole range (full jitter), so that what
// failed together does not come back together.
func backoff(n int, initial, limit time.Duration, chance func() float64) time.Duration {
	return time.Duration(chance() * float64(doubled(n, initial, limit)))
}

// doubled is initial, doubled n-1 times, at most limit.
func doubled(n int, initial, limit time.Duration) time.Duration {
	d := initial
	for i := 1; i < n && d < limit; i++ {
		d *= 2
	}
	return min(d, limit)
}
