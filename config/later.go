package config

import (
	"slices"

	"go.yaml.in/yaml/v4"
)

// laterKeys are keys of releases to come. They are known, so that a file can
// be prepared, but must not ask for anything yet.
var laterKeys = []string{"segment", "mappings"}

// later refuses a key of a release to come unless it asks for nothing.
func (d *decoder) later(name, value *yaml.Node) {
	switch name.Value {
	case "segment":
		d.laterSegment(value)
	case "mappings":
		if len(value.Content) > 0 || value.Kind == yaml.ScalarNode && !isNull(value) {
			d.fail(value, "mappings", "Segment-shaped calls are not part of this release; a later one has them",
				"leave the key out")
		}
	}
}

func (d *decoder) laterSegment(n *yaml.Node) {
	known := []string{"listen", "write_keys_file", "tls", "cors"}
	for name, value := range d.pairs(n, "segment") {
		switch {
		case !slices.Contains(known, name.Value):
			d.unknown(name, "segment."+name.Value, known)
		case name.Value == "listen" && value.Value != "":
			d.fail(value, "segment.listen", "Segment-shaped calls are not part of this release; a later one has them",
				"leave segment out")
		}
	}
}
