package simulator

import (
	"cmp"
	"slices"
)

// index finds rows by the value of a field. Most values have one row.
type index struct {
	one  map[string]*record
	more map[string]map[*record]struct{} // values of two or more rows
}

func newIndex() *index {
	return &index{one: make(map[string]*record), more: make(map[string]map[*record]struct{})}
}

func (x *index) add(key string, r *record) {
	if rows, ok := x.more[key]; ok {
		rows[r] = struct{}{}
		return
	}
	first, taken := x.one[key]
	if !taken || first == r {
		x.one[key] = r
		return
	}
	delete(x.one, key)
	x.more[key] = map[*record]struct{}{first: {}, r: {}}
}

func (x *index) remove(key string, r *record) {
	if x.one[key] == r {
		delete(x.one, key)
		return
	}
	rows := x.more[key]
	delete(rows, r)
	if len(rows) != 1 {
		return
	}
	delete(x.more, key)
	for last := range rows {
		x.one[key] = last
	}
}

// all returns the rows with a value, oldest first.
func (x *index) all(key string) []*record {
	if r, ok := x.one[key]; ok {
		return []*record{r}
	}
	rows := make([]*record, 0, len(x.more[key]))
	for r := range x.more[key] {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, byNumber)
	return rows
}

func byNumber(a, b *record) int { return cmp.Compare(a.num, b.num) }

// find returns the live rows that a key value names in a write: exactly
// equal, or equal but for case where the unique index says so.
func (f *field) find(v string) []*record {
	rows := f.live.all(f.key(v))
	if f.Unique || f.CaseSensitive || !isTextual(f.kind) {
		return rows
	}
	return slices.DeleteFunc(rows, func(r *record) bool { return r.stored(f) != v })
}

// holder returns another live row than self with a unique field's value. Two
// rows can share one only if they are older than the field's uniqueness.
func (f *field) holder(v string, self *record) *record {
	key := f.key(v)
	if r := f.live.one[key]; r != nil && r != self {
		return r
	}
	for r := range f.live.more[key] {
		if r != self {
			return r
		}
	}
	return nil
}
