package simulator

// transaction is several requests of which all are kept or none. Nobody else
// sees the org before its end.
type transaction struct {
	undo []func()
}

// alone runs a transaction, which is kept if run reports true.
func (o *org) alone(run func() bool) bool {
	o.turn.Lock()
	defer o.turn.Unlock()
	tx, mark := &transaction{}, len(o.effects)
	o.tx = tx
	kept := run()
	o.tx = nil
	if !kept {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.takeBack(tx.undo, mark)
	}
	return kept
}

// takeBack undoes changes, and forgets the effects that came after the first
// mark ones.
func (o *org) takeBack(undo []func(), mark int) {
	for i := len(undo) - 1; i >= 0; i-- {
		undo[i]()
	}
	o.effects = o.effects[:mark]
}
