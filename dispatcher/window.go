package dispatcher

import (
	"iter"
	"math"
	"time"
)

const (
	// windowSpan is how long the org counts a call against its daily limit: a call
	// that is made now comes back then, there is no reset at midnight.
	windowSpan = 24 * time.Hour
	// windowStep is how exactly it is remembered when calls were made.
	windowStep = 5 * time.Minute
	// windowSteps are those that hold calls of the last day, one of them in part.
	windowSteps = int64(windowSpan/windowStep) + 1
	// rateOver is the time whose calls tell how fast they are used now.
	rateOver = time.Hour
	// rateAfter is how long it must be watched to tell anything.
	rateAfter = time.Minute
)

// window remembers when the calls were made that the org counts, its other
// clients' too. The org tells their number only: what it grows by was made just
// now, and what it falls by were the oldest. So the calls in it are always as many
// as the org says. Those that were counted before the first look are of unknown
// age; they are taken to come back first, and at the latest a day after it.
type window struct {
	first  time.Time          // when it was looked at first; zero: not yet
	before int64              // calls made before it
	steps  [windowSteps]int64 // calls made since, by the step in which they were
	ours   [windowSteps]int64 // of these
	newest int64              // number of the newest step since 1970
	total  int64              // before and all steps
}

func stepOf(at time.Time) int64 { return at.UnixNano() / int64(windowStep) }

// look takes in how many calls the org counts at a time, which is not before that
// of the look before.
func (w *window) look(at time.Time, used int64) {
	if w.first.IsZero() {
		w.first, w.before, w.total, w.newest = at, used, used, stepOf(at)
		return
	}
	w.roll(at)
	if used >= w.total {
		w.steps[w.newest%windowSteps] += used - w.total
	} else {
		w.giveBack(w.total - used)
	}
	w.total = used
}

// roll lets go of what is older than a day.
func (w *window) roll(at time.Time) {
	now := max(stepOf(at), w.newest)
	if now-w.newest >= windowSteps {
		w.steps, w.ours, w.newest, w.total = [windowSteps]int64{}, [windowSteps]int64{}, now, w.before
	}
	for w.newest < now {
		w.newest++
		s := &w.steps[w.newest%windowSteps]
		w.total -= *s
		*s, w.ours[w.newest%windowSteps] = 0, 0
	}
	if at.Sub(w.first) >= windowSpan {
		w.total -= w.before
		w.before = 0
	}
}

// giveBack takes n calls out, the oldest first.
func (w *window) giveBack(n int64) {
	take := min(n, w.before)
	w.before -= take
	n -= take
	for i := w.newest - windowSteps + 1; i <= w.newest && n > 0; i++ {
		s := &w.steps[i%windowSteps]
		take := min(n, *s)
		*s -= take
		n -= take
	}
}

// back is when n of the calls have come back, at the latest; zero if fewer are counted.
func (w *window) back(n int64) time.Time {
	if n > w.total {
		return time.Time{}
	}
	if w.before >= n {
		return w.first.Add(windowSpan)
	}
	n -= w.before
	for i := w.newest - windowSteps + 1; i <= w.newest; i++ {
		if n -= w.steps[i%windowSteps]; n <= 0 {
			return time.Unix(0, (i+1)*int64(windowStep)).Add(windowSpan)
		}
	}
	return time.Time{}
}

// made takes in that n of the calls made now are ours.
func (w *window) made(n int64) {
	if !w.first.IsZero() {
		w.ours[w.newest%windowSteps] += n
	}
}

// rates are how many calls a step are made now, and how many of these are ours, by
// the calls of the last hour; false if it has not been watched for long enough.
func (w *window) rates(now time.Time) (all, ours float64, ok bool) {
	watched := min(now.Sub(w.first), rateOver)
	if w.first.IsZero() || watched < rateAfter {
		return 0, 0, false
	}
	from := stepOf(now.Add(-watched)) + 1
	if watched < rateOver {
		from = stepOf(w.first) // a step that was begun by the first look
	}
	for i := from; i <= w.newest; i++ {
		all += float64(w.steps[i%windowSteps])
		ours += float64(w.ours[i%windowSteps])
	}
	perStep := float64(windowStep) / float64(watched)
	return all * perStep, ours * perStep, true
}

// reaches is when as many calls as limit will be counted, if they go on to be made
// as now, ours no faster than most a second; zero if that is not within a day.
func (w *window) reaches(limit int64, most float64, now time.Time) time.Time {
	all, ours, ok := w.rates(now)
	rate := max(0, all-ours) + min(ours, most*windowStep.Seconds())
	if !ok || rate == 0 {
		return time.Time{}
	}
	used := float64(w.total)
	if used >= float64(limit) {
		return now
	}
	for i, back := range w.returns(now) {
		if used += rate - float64(back); used >= float64(limit) {
			return now.Add(time.Duration(i) * windowStep)
		}
	}
	return time.Time{}
}

// keepsUp is how many calls a second can be made at any time of the coming day
// without running out, if left are left now, and others come back when they do.
func (w *window) keepsUp(left int64, now time.Time) float64 {
	rate, have := math.Inf(1), float64(left)
	for i, back := range w.returns(now) {
		have += float64(back)
		rate = min(rate, have/(float64(i)*windowStep.Seconds()))
	}
	return max(0, rate)
}

// returns yields how many calls come back in each step of the coming day, from 1 on.
func (w *window) returns(now time.Time) iter.Seq2[int64, int64] {
	return func(yield func(int64, int64) bool) {
		before := w.before
		for i := int64(1); i < windowSteps; i++ {
			back := w.steps[(w.newest+i)%windowSteps]
			if before > 0 && now.Add(time.Duration(i)*windowStep).Sub(w.first) >= windowSpan {
				back += before
				before = 0
			}
			if !yield(i, back) {
				return
			}
		}
	}
}
