package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/outboxd/outboxd/config"
)

// Level says how much a finding matters.
type Level string

// The levels.
const (
	OK    Level = "ok"
	Warn  Level = "warn"  // works, and could be better or safer
	Wrong Level = "wrong" // keeps something from working
)

// Finding is what one check found.
type Finding struct {
	Level   Level  `json:"level"`
	Code    string `json:"code"`
	Subject string `json:"subject"` // a file, a host, an object or a field
	Text    string `json:"text"`
	Remedy  string `json:"remedy,omitempty"`
}

// Options say what to look at. ConfigPath and Org are required.
type Options struct {
	ConfigPath string
	// Objects are looked at beside those of the configuration.
	Objects []string
	// Org makes the client that the daemon would use. It is called only if an org is configured.
	Org func(*config.Config) (Org, error)
	// Daemon asks the daemon on a socket which org its store belongs to, "" if it has none yet; false if none answers.
	Daemon func(ctx context.Context, socket string) (org string, running bool)
}

// Run makes every check that can be made. Where one fails, those that need it are left out.
func Run(ctx context.Context, o Options) []Finding {
	r := &report{}
	cfg, err := config.Load(o.ConfigPath)
	if err != nil {
		r.configuration(o.ConfigPath, err)
		return r.findings
	}
	r.ok("config", o.ConfigPath, "can be read and is valid")
	r.configMode(o.ConfigPath, cfg)
	r.store(cfg)
	r.disk(cfg)
	r.socket(cfg)
	org, running := "", false
	if o.Daemon != nil {
		org, running = o.Daemon(ctx, cfg.Socket.Path)
	}
	if cfg.Salesforce == nil {
		r.warn("not_configured", "salesforce", "the configuration names no org: events are accepted and not sent")
		return r.findings
	}
	r.org(ctx, cfg, o, daemon{running: running, org: org})
	return r.findings
}

// daemon is what is known of the one that works the store.
type daemon struct {
	running bool
	org     string
}

// report collects findings.
type report struct{ findings []Finding }

func (r *report) ok(code, subject, format string, args ...any) {
	r.findings = append(r.findings, Finding{Level: OK, Code: code, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

func (r *report) warn(code, subject, format string, args ...any) {
	r.add(Warn, code, subject, remedies[code], fmt.Sprintf(format, args...))
}

func (r *report) wrong(code, subject, format string, args ...any) {
	r.add(Wrong, code, subject, remedies[code], fmt.Sprintf(format, args...))
}

// add is for a remedy that the case itself knows better than its code.
func (r *report) add(level Level, code, subject, remedy, text string) {
	r.findings = append(r.findings, Finding{Level: level, Code: code, Subject: subject, Text: text, Remedy: remedy})
}

// configuration tells each mistake with its place.
func (r *report) configuration(path string, err error) {
	mistakes, ok := errors.AsType[*config.Errors](err)
	if !ok {
		r.wrong("config_unreadable", path, "%v", err)
		return
	}
	for _, m := range mistakes.List {
		place := m.File
		if m.Line > 0 {
			place = fmt.Sprintf("%s:%d:%d", m.File, m.Line, m.Column)
		}
		text := m.What
		if m.Key != "" {
			text = m.Key + ": " + m.What
		}
		r.add(Wrong, "config_invalid", place, m.Hint, text)
	}
}

// objects are the names to look at, in order, each once.
func objects(cfg *config.Config, more []string) []string {
	names := slices.Sorted(maps.Keys(cfg.Objects))
	for _, name := range more {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	return names
}
