package simulator

// transaction is several requests of which all are kept or none. Nobody else
// sees the org before its end.
type transaction struct {
	undo  []func()
	first *object // that was written
}

// join refuses an object that can't be saved together with an earlier one of
// the transaction, if there is a transaction.
func (c *chunk) join(obj *object) *rowError {
	tx := c.org.tx
	if tx == nil {
		return nil
	}
	if tx.first == nil {
		tx.first = obj
	}
	return errMixed(obj, tx.first)
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
