package meant_test

import _ "github.com/outboxd/outboxd/internal/simflag" // go test ./... -sim.seeds=… goes to every binary
