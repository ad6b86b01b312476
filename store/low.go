package store

import "slices"

// lowStep bounds the index values that one transaction deletes for a stream,
// beside two for each event that it ends: what is below the mark never grows,
// though each event may have a value of its own.
const lowStep = 64

// moveLows moves the streams' low marks up to where memory says that everything
// is settled or set aside, and deletes the index below: a mark that moved far, or
// an earlier start, leaves some of it to the next calls.
func (t *txn) moveLows(ended int) error {
	for _, st := range t.s.win.order {
		low := max(st.lowMark(), st.low)
		if low == st.low && st.tidy {
			continue
		}
		old, more := t.below(st.id, low, lowStep+2*ended)
		for _, k := range old {
			if err := t.tx.Bucket(bIdx).Delete(k); err != nil {
				return err
			}
		}
		if err := t.tx.Bucket(bLow).Put(u32key(st.id), seqKey(low)); err != nil {
			return err
		}
		t.changed = true
		t.post = append(t.post, func() {
			st.low, st.tidy = low, !more
			n := 0
			for n < len(st.spans) && st.spans[n].last < low {
				n++
			}
			st.spans = st.spans[n:]
		})
	}
	return nil
}

// below finds index values of a stream of which all events lie below a mark, at
// most a number of them; more says that there may be others.
func (t *txn) below(stream uint32, low Seq, most int) (old [][]byte, more bool) {
	prefix, c := string(u32key(stream)), t.tx.Bucket(bIdx).Cursor()
	for k, v := c.Seek(idxKey(stream, 0)); k != nil && string(k[:4]) == prefix && seqOf(k) < low; k, v = c.Next() {
		if len(old) == most {
			return old, true
		}
		last := Seq(0)
		if decodeIdx(seqOf(k), v, func(x idxEntry) { last = x.seq }) != nil {
			continue // check tells of it
		}
		if last >= low {
			break
		}
		old = append(old, slices.Clone(k))
	}
	return old, false
}
