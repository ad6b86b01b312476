package dispatcher

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// looksAt plays a job that ends some time after its close, and returns the looks
// that it took and how long after its end it was seen.
func looksAt(p *paces, k jobKind, takes time.Duration) (n int, late time.Duration) {
	l := looks{pause: pause{time.Second, 30 * time.Second}, closed: time.Now(), expected: p.expected(k)}
	var running time.Duration
	for n = 1; ; n++ {
		time.Sleep(l.wait())
		since := time.Since(l.closed)
		if since >= takes {
			p.learn(k, running, since)
			return n, since - takes
		}
		running = since
	}
}

func TestPaces_FollowTheOrg(t *testing.T) {
	var seed [32]byte
	for _, tt := range []struct {
		name  string
		takes func(r *rand.Rand) time.Duration
		looks float64       // on average, at most
		late  time.Duration // the same
	}{
		{"always the same", func(*rand.Rand) time.Duration { return 5 * time.Second }, 1.2, time.Second},
		{"shorter than the first pause", func(*rand.Rand) time.Duration { return 300 * time.Millisecond }, 1.2, 200 * time.Millisecond},
		{"spread", func(r *rand.Rand) time.Duration { return time.Duration(5+5*r.Float64()) * time.Second }, 1.3, 3 * time.Second},
		{"rarely long", func(r *rand.Rand) time.Duration {
			if r.IntN(20) == 0 {
				return 25 * time.Second
			}
			return 5 * time.Second
		}, 1.7, 3 * time.Second},
		{"longer than the longest pause", func(*rand.Rand) time.Duration { return 100 * time.Second }, 4.3, 12 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, k, r := &paces{}, jobKind{"Contact", opUpsert, 10}, rand.New(rand.NewChaCha8(seed))
				const settling, counted = 40, 200
				var looks int
				var late time.Duration
				for i := range settling + counted {
					n, l := looksAt(p, k, tt.takes(r))
					if i >= settling {
						looks += n
						late += l
					}
				}
				if got := float64(looks) / counted; got > tt.looks || late/counted > tt.late {
					t.Errorf("%.2f looks a job, seen %v late; want at most %v, %v", got, late/counted, tt.looks, tt.late)
				}
				t.Logf("%.2f looks a job, seen %v late", float64(looks)/counted, late/counted)
			})
		})
	}
}

// After a change in either direction the expectation follows within some jobs.
func TestPaces_FollowAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, k := &paces{}, jobKind{"Contact", opUpsert, 10}
		for _, step := range []struct {
			takes time.Duration
			jobs  int
		}{{2 * time.Second, 1}, {20 * time.Second, 8}, {2 * time.Second, 80}} {
			for range step.jobs {
				looksAt(p, k, step.takes)
			}
			if got := p.expected(k); got < step.takes/2 || got > 2*step.takes {
				t.Errorf("after %d jobs of %v the first look is at %v", step.jobs, step.takes, got)
			}
		}
	})
}

// No job is ever left alone for longer than the longest pause.
func TestLooks_NeverFartherApartThanTheLongestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := looks{pause: pause{time.Second, 30 * time.Second}, closed: time.Now(), expected: 24 * time.Hour}
		for range 4000 {
			wait := l.wait()
			if wait < 0 || wait > 30*time.Second {
				t.Fatalf("a pause of %v, %v after the close", wait, time.Since(l.closed))
			}
			time.Sleep(wait)
		}
	})
}

// What is expected to have ended by now is looked at once, and then no more often than before.
func TestLooks_OverdueIsLookedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := looks{pause: pause{time.Second, 30 * time.Second}, closed: time.Now(), expected: 10 * time.Millisecond}
		time.Sleep(20 * time.Millisecond)
		if first, second := l.wait(), l.wait(); first != 0 || second != time.Second {
			t.Errorf("pauses of %v and %v, want none and a second", first, second)
		}
	})
}

func TestPaces_Bounded(t *testing.T) {
	var p paces
	for i := range 5 * maxKinds {
		p.learn(jobKind{"Contact", opUpsert, i}, 0, time.Second)
	}
	if len(p.known) > maxKinds {
		t.Errorf("%d kinds are kept, want at most %d", len(p.known), maxKinds)
	}
}
