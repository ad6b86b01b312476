package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/outboxd/outboxd/api"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/outboxd/outboxd/store"
	"github.com/spf13/cobra"
)

// Exit codes of every command.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitStuck       = 3
	exitUnreachable = 4
)

// exit is an error that chooses the exit code. Without err nothing is printed:
// the command has said all.
type exit struct {
	code int
	err  error
	hint string
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// usage makes an error that exits 2.
func usage(format string, args ...any) error {
	return &exit{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// hinted adds a hint to an error that exits 1.
func hinted(err error, hint string) error {
	return &exit{code: exitFailed, err: err, hint: hint}
}

// failed is exit 1 for a command that has printed what is wrong.
var failed = &exit{code: exitFailed}

// args makes a check of arguments exit 2.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return &exit{code: exitUsage, err: err, hint: "see " + cmd.CommandPath() + " --help"}
		}
		return nil
	}
}

// report prints an error with its hint and returns the exit code.
func (c *cli) report(err error) int {
	if err == nil {
		return exitOK
	}
	code, hint := classify(err)
	var quiet *exit
	if errors.As(err, &quiet) && quiet.err == nil {
		return code
	}
	if errors.Is(err, syscall.EPIPE) { // the reader of our output has gone
		return code
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(c.err, "%s: %s\n", c.errs.Paint(term.Red, "outboxd"), term.Clean(line))
	}
	if hint != "" {
		fmt.Fprintf(c.err, "hint: %s\n", hint)
	}
	return code
}

// classify finds the exit code of an error and what a person can do about it.
func classify(err error) (code int, hint string) {
	var chosen *exit
	var problem *client.Problem
	switch {
	case errors.As(err, &chosen):
		return chosen.code, chosen.hint
	case errors.Is(err, client.ErrUnreachable):
		return exitUnreachable, unreachableHint(err)
	case errors.Is(err, client.ErrCut):
		return exitFailed, "the daemon went away in the middle; what was asked may have happened: ask again"
	case errors.As(err, &problem):
		return exitFailed, problemHint(problem)
	case errors.Is(err, store.ErrLocked):
		return exitFailed, "a daemon works this store: ask it by its socket, without --offline, or stop it"
	case errors.Is(err, syscall.ENOSPC):
		return exitFailed, "free some room on that disk"
	case errors.Is(err, context.Canceled):
		return exitFailed, ""
	}
	return exitFailed, ""
}

// suggest makes cobra's complaint about an unknown command, which has no type,
// an error of usage, and names what may have been meant.
func suggest(root *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	rest, unknown := strings.CutPrefix(err.Error(), "unknown command ")
	if !unknown {
		return err
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(rest, `"`), `"`)
	hint := "see outboxd --help"
	if like := root.SuggestionsFor(name); len(like) > 0 {
		hint = "did you mean " + strings.Join(like, " or ") + "?"
	}
	return &exit{code: exitUsage, err: err, hint: hint}
}

func unreachableHint(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "add your user to the group of the socket, by default outboxd"
	}
	if os.Getenv("OUTBOXD_SOCKET") == "" {
		return "is the daemon running? its socket is named by --socket or OUTBOXD_SOCKET"
	}
	return "is the daemon running? OUTBOXD_SOCKET names its socket"
}

// hints are for those who use the commands, where what the table of codes says to do is for those who use the socket.
var hints = map[api.Code]string{
	api.CodeUnknownKey:   "check the key; outboxd ls lists the events",
	api.CodeNotFound:     "outboxd attempts lists those that are kept",
	api.CodeWrongState:   "outboxd retry is for failed events, resolve for those in doubt, drop for failed and pending ones; outboxd show KEY tells more",
	api.CodeInvalidQuery: "repair what it names",
}

// problemHint is what the table of codes says to do, in the words of the command line.
func problemHint(p *client.Problem) string {
	if p.Code == "" {
		return ""
	}
	if hint, ok := hints[api.Code(p.Code)]; ok {
		return hint
	}
	hint := api.Code(p.Code).Info().Do
	return strings.ToLower(hint[:1]) + strings.TrimSuffix(hint[1:], ".")
}
