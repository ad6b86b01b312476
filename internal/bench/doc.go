// Package bench measures the daemon: how quickly it accepts over its socket, how
// quickly it drains into the simulator, and both at once. The daemon runs as a
// process of its own, started from the program that asks; beside each figure stands
// what the machine itself can do, measured in the same round: the disk with as
// many writers, the simulator with a bare client.
//
//	b, err := bench.Open("/var/lib/outboxd", screen)
//	defer b.Close()
//	report, err := b.Accept(ctx, bench.AcceptPlan{Connections: []int{64}, Length: 5 * time.Second, Rounds: 3})
//
// It knows nothing of flags and tables.
package bench
