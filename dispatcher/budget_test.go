package dispatcher

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outboxd/outboxd/salesforce"
)

// shared is a budget at a time that stands still until it is moved.
type shared struct {
	*budget
	at time.Time
}

func newShared(reserve float64) *shared {
	s := &shared{at: time.Unix(1_700_000_000, 0)}
	s.budget = newBudget(reserve, 4, func() time.Time { return s.at })
	return s
}

// says has the org count so many calls.
func (s *shared) says(used, limit int64) {
	s.note(salesforce.Usage{Used: used, Max: limit, At: s.at})
}

func TestBudget_NothingIsSavedWhileHalfIsLeft(t *testing.T) {
	s := newShared(0.2)
	if x, ok := s.current(); ok {
		t.Errorf("before the org has said anything: %+v", x)
	}
	if f := s.funds(time.Minute); f.left != math.MaxInt64 || f.linger != 0 || !f.allows(1000) {
		t.Errorf("before the org has said anything: %+v", f)
	}
	s.says(39_999, 100_000)
	if f := s.funds(time.Minute); f.linger != 0 || !f.allows(40_001) || f.allows(40_002) {
		t.Errorf("with more than half of the share left: %+v", f)
	}
}

func TestBudget_HalfAtOnceTheRestIsSpread(t *testing.T) {
	s := newShared(0.2)
	s.says(69_760, 100_000) // 10,240 left, of which 1,600 are kept back: one in ten seconds
	f := s.funds(time.Minute)
	if f.linger.Round(time.Second) != 10*time.Second || f.tokens != 5120 {
		t.Fatalf("linger %v, want 10s; %.2f calls at once, want half of 10,240", f.linger, f.tokens)
	}
	n := int64(0)
	for ; f.allows(1); f = s.funds(time.Minute) {
		ended := s.promise(false)
		n++
		s.spent(n)
		ended()
	}
	if n != 5120 {
		t.Errorf("%d calls were begun at once, want 5120", n)
	}
	s.at = s.at.Add(10 * time.Second)
	s.says(74_880, 100_000)
	f = s.funds(time.Minute)
	if f.allows(1) || f.wait <= 10*time.Second || f.wait > 25*time.Second {
		t.Fatalf("after that: %+v", f)
	}
	s.at = s.at.Add(f.wait + time.Millisecond)
	if f = s.funds(time.Minute); !f.allows(1) || f.tokens >= 2 {
		t.Errorf("after the wait it told: %+v", f)
	}
	if x, _ := s.current(); math.Abs(x.Pace-3520.0/24) > 1 {
		t.Errorf("pace %.1f an hour, want 3,520 a day", x.Pace)
	}
}

func TestBudget_SavesOnceHalfOfTheTokensAreSpent(t *testing.T) {
	s := newShared(0)
	s.says(0, 1000)
	s.spent(249)
	if f := s.funds(time.Minute); f.linger != 0 || s.isShort() {
		t.Errorf("before: %+v", f)
	}
	s.spent(250)
	if f := s.funds(time.Minute); f.linger == 0 || !s.isShort() {
		t.Errorf("after: %+v", f)
	}
}

// TestBudget_CallsAreSetAside: no attempt is begun without the calls that end it,
// beside those of all others.
func TestBudget_CallsAreSetAside(t *testing.T) {
	s := newShared(0.5)
	s.says(80, 200) // 20 left
	f := s.funds(time.Minute)
	cost := f.jobCost
	job := s.promise(true)
	if f = s.funds(time.Minute); f.left != 20-cost {
		t.Errorf("%d calls left beside a job's, want %d", f.left, 20-cost)
	}
	job()
	if f = s.funds(time.Minute); f.left != 20 {
		t.Errorf("%d calls left after it, want 20", f.left)
	}
	s.says(100-cost, 200)
	if message, _ := s.exhausted(); message != "" {
		t.Error("with a job's calls left the budget is exhausted")
	}
	s.says(101-cost, 200)
	if message, wait := s.exhausted(); !strings.Contains(message, "100 are kept for others") || !strings.Contains(message, "back by 2023-11-15 22:13 UTC") || wait != probeSoon {
		t.Errorf("with fewer: %q, look again in %v", message, wait)
	}
	s.at = s.at.Add(windowSpan - time.Minute)
	if _, wait := s.exhausted(); wait != time.Minute {
		t.Errorf("a minute before calls come back: look again in %v", wait)
	}
	s.at = s.at.Add(time.Minute)
	if message, _ := s.exhausted(); message != "" {
		t.Errorf("a day later nothing has come back: %q", message)
	}
	s.says(101-cost, 200)
	s.setReserve(0)
	if message, _ := s.exhausted(); message != "" {
		t.Error("without a reserve it is still exhausted")
	}
}

// TestBudget_SlowsDownRatherThanStops: as long as a job's calls are left some may be begun each day, whatever is kept
// back, and the org is asked from time to time whether others have come back.
func TestBudget_SlowsDownRatherThanStops(t *testing.T) {
	s := newShared(0.2)
	s.asked()
	s.says(79_000, 100_000) // 1,000 left, where 1,600 would be kept back
	s.spent(500)
	if f := s.funds(0); f.allows(1) || f.wait > 10*time.Minute {
		t.Errorf("with 1,000 calls left: %+v", f)
	}
	if x, _ := s.current(); math.Abs(x.Pace-500.0/24) > 1 {
		t.Errorf("pace %.1f an hour, want half of what is left in a day", x.Pace)
	}
	for !s.wantsLimits() {
		if s.at = s.at.Add(time.Minute); s.at.Sub(s.calls.At) > probeSoon {
			t.Fatal("calls are held back by the word of an hour ago")
		}
		s.spent(s.made + 1)
	}
	if f := s.funds(0); f.allows(1) {
		t.Error("the org was asked though calls may be begun")
	}
	s.says(s.calls.Used, 100_000)
	if s.wantsLimits() {
		t.Error("the org is asked for what it has just said")
	}
}

func TestBudget_LearnsWhatAJobTakes(t *testing.T) {
	s := newShared(0)
	for range 100 {
		s.looked(1)
	}
	if f := s.funds(0); f.jobCost != jobCalls+2 { // one look and a bit
		t.Errorf("a job of one look costs %d calls, want %d", f.jobCost, jobCalls+2)
	}
	for range 100 {
		s.looked(40)
	}
	if f := s.funds(0); f.jobCost < jobCalls+39 {
		t.Errorf("a job of forty looks costs %d calls", f.jobCost)
	}
	for range 100 {
		s.looked(3000) // the org has worked on it for a day
	}
	s.says(0, 1000)
	if message, _ := s.exhausted(); message != "" || s.funds(0).jobCost != 100 {
		t.Errorf("with all of 1,000 calls left a job costs %d: %s", s.funds(0).jobCost, message)
	}
}

func TestBudget_Batches(t *testing.T) {
	s := newShared(0.2)
	if !s.wantsLimits() || !s.funds(0).notYet {
		t.Error("the org is not asked for its batches before a job is made")
	}
	if s.at = s.at.Add(askWithin); s.funds(0).notYet {
		t.Error("an org that does not answer gets no jobs")
	}
	s.asked()
	s.noteBatches(salesforce.Usage{Used: 75, Max: 100, At: s.at})
	for range 4 {
		if s.batch(); s.funds(0).noJobs {
			t.Fatal("with batches left no job is made")
		}
	}
	if s.batch(); !s.funds(0).noJobs {
		t.Error("jobs are made of the batches that are kept for others")
	}
	kept := s.at
	if s.at = s.at.Add(windowSpan); s.funds(0).noJobs {
		t.Error("no job is made by the word of a day ago")
	}
	s.at = kept.Add(limitsSoon)
	if !s.wantsLimits() {
		t.Error("nobody asks whether batches have come back")
	}
	s.noteBatches(salesforce.Usage{Used: 10, Max: 100, At: s.at})
	s.asked()
	if s.at = s.at.Add(limitsEvery); s.wantsLimits() {
		t.Error("the org is asked for batches though no job was made")
	}
	if !s.outOfBatches() || s.outOfBatches() || !s.funds(0).noJobs {
		t.Error("a refusal for want of batches is not heeded, or told twice")
	}
	if s.at = s.at.Add(outFor); s.funds(0).noJobs {
		t.Error("it is heeded for ever")
	}
}

// TestBudget_ASmallerReserve: of the calls that a reload frees half may be used at once, as of any others.
func TestBudget_ASmallerReserve(t *testing.T) {
	s := newShared(0.2)
	s.says(0, 1000)
	s.spent(799)
	s.says(799, 1000)
	if f := s.funds(0); f.allows(1) {
		t.Fatalf("before: %+v", f)
	}
	if s.setReserve(0.1); !s.setReserve(0) || s.setReserve(0) {
		t.Error("a change is not told, or told though there is none")
	}
	if f := s.funds(0); f.left != 201 || f.tokens < 80 || f.tokens > 101 {
		t.Errorf("%.1f of %d calls may be begun at once", f.tokens, f.left)
	}
}

// TestBudget_OfAnotherOrg: what one org has said holds nothing up at the next.
func TestBudget_OfAnotherOrg(t *testing.T) {
	s := newShared(0.2)
	s.says(1000, 1000)
	s.noteBatches(salesforce.Usage{Used: 10, Max: 10, At: s.at})
	s.outOfBatches()
	s.asked()
	old := s.at
	s.at = s.at.Add(time.Minute)
	s.forget()
	if _, ok := s.current(); ok || s.funds(0).noJobs || !s.wantsLimits() || !s.funds(0).notYet {
		t.Errorf("the next org has said nothing yet: %+v", s.funds(0))
	}
	s.note(salesforce.Usage{Used: 1000, Max: 1000, At: old}) // the client still has it
	s.noteBatches(salesforce.Usage{Used: 10, Max: 10, At: old})
	if message, _ := s.exhausted(); message != "" || s.funds(0).noJobs {
		t.Errorf("the old org's word is heeded: %s", message)
	}
	s.says(10, 100)
	if f := s.funds(0); f.left != 70 || f.tokens != 35 {
		t.Errorf("of the next org's calls: %+v", f)
	}
}

func TestBudget_AnOlderAnswerTellsNothing(t *testing.T) {
	s := newShared(0)
	s.says(90, 100)
	s.note(salesforce.Usage{Used: 1, Max: 100, At: s.at.Add(-time.Second)})
	if x, _ := s.current(); x.Used != 90 {
		t.Errorf("%d used, want 90", x.Used)
	}
	s.at = s.at.Add(windowSpan)
	if f := s.funds(0); f.left != 100 {
		t.Errorf("a day later %d calls are left, want 100", f.left)
	}
	s.says(90, 100)
	said := s.at
	s.at = s.at.Add(windowSpan + windowStep)
	if x, _ := s.current(); !x.Turns.IsZero() {
		t.Errorf("calls come back at %v, %v ago", x.Turns, s.at.Sub(x.Turns))
	}
	s.note(salesforce.Usage{Used: 90, Max: 100, At: said}) // an answer that says nothing new
	if f := s.funds(0); f.left != 100 {
		t.Errorf("told once more %d are left, want 100", f.left)
	}
}

func TestWindow_PaceAndProjection(t *testing.T) {
	start := time.Unix(1_700_000_100, 0) // on a step
	var w window
	w.look(start, 1000)
	if _, _, ok := w.rates(start.Add(time.Second)); ok {
		t.Error("a pace after a second")
	}
	for m := 1; m <= 120; m++ { // two an minute
		w.look(start.Add(time.Duration(m)*time.Minute), 1000+int64(2*m))
		w.made(1)
	}
	now := start.Add(2 * time.Hour)
	if all, ours, ok := w.rates(now); !ok || math.Abs(all-10) > 1 || math.Abs(ours-5) > 0.6 {
		t.Errorf("%.2f calls a step, %.2f of them ours, want 10 and 5", all, ours)
	}
	if at, want := w.reaches(1240+600, 0, now), now.Add(10*time.Hour); at.Sub(want).Abs() > 80*time.Minute {
		t.Errorf("600 more are used by others by %v, want about %v", at, want)
	}
	if at, want := w.reaches(1240+600, math.Inf(1), now), now.Add(5*time.Hour); at.Sub(want).Abs() > 40*time.Minute {
		t.Errorf("600 more are used by %v, want about %v", at, want)
	}
	if at := w.reaches(1240+2*60*23, math.Inf(1), now); !at.IsZero() {
		t.Errorf("what came before comes back, yet all is used by %v", at)
	}
	if got, want := w.back(1), start.Add(24*time.Hour); !got.Equal(want) {
		t.Errorf("turns at %v, want a day after the first look", got)
	}
	w.look(start.Add(25*time.Hour), 240)
	if got, want := w.back(1), start.Add(24*time.Hour); !got.After(want) || got.After(want.Add(2*time.Hour)) {
		t.Errorf("turns at %v, want at some time after %v", got, want)
	}
}

// TestWindow_CallsComeBackAfterADay: not before, and a step later at the latest.
func TestWindow_CallsComeBackAfterADay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		first := time.Unix(1_700_000_000, 0)
		w.look(first, 0)
		made := first.Add(time.Duration(rapid.IntRange(1, 3600).Draw(t, "seconds")) * time.Second)
		w.look(made, 7)
		if w.roll(made.Add(windowSpan - time.Second)); w.total != 7 {
			t.Fatalf("%d calls are counted within a day of theirs, want 7", w.total)
		}
		if back := w.back(7); back.Sub(made) < windowSpan || back.Sub(made) > windowSpan+windowStep {
			t.Fatalf("they come back after %v", back.Sub(made))
		}
		if w.roll(w.back(7)); w.total != 0 {
			t.Fatalf("%d calls are counted when they are back", w.total)
		}
	})
}

// TestWindow_KeepsUp: whoever makes calls at the pace that it tells is at no time of
// the day out of them, though a half came back at once.
func TestWindow_KeepsUp(t *testing.T) {
	const share = 1000
	at := time.Unix(1_700_000_100, 0)
	var w window
	w.look(at, 0)
	at = at.Add(windowStep)
	used, owed := int64(share/2), 0.0
	w.look(at, used)
	begun := at
	least, most := math.Inf(1), 0.0
	for at.Sub(begun) < 4*windowSpan {
		rate := w.keepsUp(share-used, at)
		owed += rate * windowStep.Seconds()
		at = at.Add(windowStep)
		w.roll(at)
		used = w.total + int64(owed)
		owed -= float64(int64(owed))
		if used > share {
			t.Fatalf("%v later %d of %d calls are used", at.Sub(begun), used, share)
		}
		w.look(at, used)
		least, most = min(least, rate), max(most, rate)
	}
	if least < most/3 {
		t.Errorf("between %.5f and %.5f calls a second: not spread", least, most)
	}
}

// TestWindow_HoldsWhatTheOrgCounts: whatever the org says, the calls in the window
// are as many, and none is older than a day.
func TestWindow_HoldsWhatTheOrgCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		at := time.Unix(1_700_000_000, 0)
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			at = at.Add(time.Duration(rapid.IntRange(0, 30*3600).Draw(t, "seconds")) * time.Second)
			used := rapid.Int64Range(0, 1000).Draw(t, "used")
			w.look(at, used)
			sum := w.before
			for _, n := range w.steps {
				if n < 0 {
					t.Fatalf("%d calls in a step", n)
				}
				sum += n
			}
			if sum != used || w.total != used {
				t.Fatalf("%d calls in the window, %d by its count; the org says %d", sum, w.total, used)
			}
			if back := w.back(1); used > 0 && back.Before(at) || back.Sub(at) > windowSpan+windowStep {
				t.Fatalf("back at %v, seen at %v", back, at)
			}
		}
	})
}
