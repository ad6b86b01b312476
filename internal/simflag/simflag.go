// Package simflag registers the flags of the simulation (package simtest) with
// every test binary that imports it. All packages with tests do: the go command
// gives a flag to each of the binaries that it runs, and one that does not know
// it would fail.
package simflag

import "flag"

// The flags. Zero values mean: not given.
var (
	// Seeds is how many seeds to run.
	Seeds = flag.Int("sim.seeds", 0, "simulation: how many seeds to run; 0: a few seconds' worth")
	// Seed is the one seed to run again.
	Seed = flag.Uint64("sim.seed", 0, "simulation: run this seed alone; with -sim.seeds, begin with it")
	// Trace prints each event of each run.
	Trace = flag.Bool("sim.trace", false, "simulation: print every event of every run")
	// Shrink looks for the smallest plan that fails as a failing seed does.
	Shrink = flag.Bool("sim.shrink", false, "simulation: leave out steps and faults of a failing seed for as long as it fails")
)
