package main

import (
	"strings"
	"time"

	"github.com/outboxd/outboxd/client"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// filter is the flags that select events.
type filter struct {
	states    []string
	reason    string
	object    string
	operation string
	code      string
	source    string
	olderThan time.Duration
	flags     []string // the names of those that restrict
}

func (f *filter) add(flags *pflag.FlagSet) {
	before := map[string]bool{}
	flags.VisitAll(func(p *pflag.Flag) { before[p.Name] = true })
	flags.StringVar(&f.object, "object", "", "only of this `object`")
	flags.StringVar(&f.operation, "operation", "", "only of this `operation`")
	flags.StringVar(&f.code, "code", "", "only with this error `code`")
	flags.StringVar(&f.source, "source", "", "only of this `app`")
	flags.DurationVar(&f.olderThan, "older-than", 0, "only accepted longer `ago` than this")
	flags.VisitAll(func(p *pflag.Flag) {
		if !before[p.Name] {
			f.flags = append(f.flags, p.Name)
		}
	})
}

func (f *filter) addStates(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.states, "state", nil, "only in these `states`, with commas between them")
	f.flags = append(f.flags, "state")
}

func (f *filter) addReason(flags *pflag.FlagSet) {
	flags.StringVar(&f.reason, "reason", "", "only stuck for this `reason`: failed, in_doubt, blocked or overdue")
	f.flags = append(f.flags, "reason")
}

// given reports whether any of the flags was used.
func (f *filter) given(cmd *cobra.Command) bool {
	for _, name := range f.flags {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

func (f *filter) client() client.Filter {
	return client.Filter{
		States: f.states, Reason: f.reason, Object: f.object, Operation: f.operation,
		Code: f.code, Source: f.source, OlderThan: f.olderThan,
	}
}

// String names the restrictions, for a question to the operator.
func (f *filter) String() string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+" "+value)
		}
	}
	add("reason", f.reason)
	add("object", f.object)
	add("operation", f.operation)
	add("code", f.code)
	add("source", f.source)
	if f.olderThan > 0 {
		add("older than", f.olderThan.String())
	}
	return strings.Join(parts, ", ")
}
