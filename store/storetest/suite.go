package storetest

import "testing"

// rule is one thing that an engine has to keep.
type rule struct {
	name string
	test func(*rig)
	cfg  func(*Config) // nil: as usual
}

// rules lists all of them, in the order of an event's life.
func rules() []rule {
	var all []rule
	for _, group := range [][]rule{
		putRules, claimRules, attemptRules, settleRules, operatorRules, stuckRules,
		feedRules, queryRules, termRules, timeRules, factRules, repeatRules,
	} {
		all = append(all, group...)
	}
	return all
}

// Run tests an engine: each rule in a subtest of its name, and the random
// walk beside the model as Model.
func Run(t *testing.T, open Opener) {
	for _, x := range rules() {
		t.Run(x.name, func(t *testing.T) { x.run(t, open) })
	}
	t.Run("Model", func(t *testing.T) { Walk(t, open) })
}

func (x rule) run(tb testing.TB, open Opener) {
	var change []func(*Config)
	if x.cfg != nil {
		change = append(change, x.cfg)
	}
	x.test(newRig(tb, open, change...))
}
