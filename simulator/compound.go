package simulator

import "strings"

// The parts of a compound address, by the end of their names.
var addressParts = []struct{ suffix, member string }{
	{"City", "city"},
	{"Country", "country"},
	{"PostalCode", "postalCode"},
	{"State", "state"},
	{"Street", "street"},
}

// addresses are the compound fields of the parts that an object declares.
func addresses(fields []Field, declared func(string) bool) (whole []Field) {
	for _, f := range fields {
		prefix, street := strings.CutSuffix(f.Name, "Street")
		if street && !declared(prefix+"Address") && declared(prefix+"City") {
			whole = append(whole, Field{Name: prefix + "Address", Type: "address", ReadOnly: true})
		}
	}
	return whole
}

// part is a field that a compound one is read of, nil where there is none.
func (f *field) part(suffix string) *field {
	prefix, _ := strings.CutSuffix(f.Name, "Address")
	return f.object.field(prefix + suffix)
}

// compound is the name of the field that this one is a part of; "" is none.
func (f *field) compound() string {
	for _, p := range addressParts {
		prefix, is := strings.CutSuffix(f.Name, p.suffix)
		if whole := f.object.field(prefix + "Address"); is && whole != nil && whole.kind == kindAddress {
			return whole.Name
		}
	}
	switch f.Name {
	case "FirstName", "LastName", "Salutation":
		if name := f.object.field("Name"); name != nil && (name.system == sysFullName || f.object.persons) {
			return name.Name
		}
	}
	return ""
}

// appendAddress renders a compound address: null where all its parts are.
func appendAddress(b []byte, r *record, f *field) []byte {
	begin, filled := len(b), false
	b = append(b, '{')
	for i, p := range addressParts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, p.member)
		b = append(b, ':')
		v := ""
		if part := f.part(p.suffix); part != nil {
			v = r.stored(part)
		}
		if v == "" {
			b = append(b, "null"...)
			continue
		}
		filled = true
		b = appendQuoted(b, v)
	}
	if !filled {
		return append(b[:begin], "null"...)
	}
	return append(b, `,"geocodeAccuracy":null,"latitude":null,"longitude":null}`...)
}
