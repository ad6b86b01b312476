package config

import (
	"fmt"
	"io"
	"log/slog"
)

const mask = "***"

// Secret is a text that shows itself as *** wherever it is printed, logged or
// encoded; an unset one shows nothing.
type Secret struct {
	text     string
	fromFile bool
}

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{text: text} }

// Reveal is the text itself, for the one place that needs it.
func (s Secret) Reveal() string { return s.text }

// IsZero says whether there is none.
func (s Secret) IsZero() bool { return s.text == "" }

// String is *** for every secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return mask
}

// GoString is String in quotes.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// Format writes String for every verb, also for those that are not made for texts.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		_, _ = io.WriteString(f, s.GoString())
		return
	}
	_, _ = io.WriteString(f, s.String())
}

// MarshalText is String, also for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML is String.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

func (s *Secret) parse(text string) error {
	*s = NewSecret(text)
	return nil
}
