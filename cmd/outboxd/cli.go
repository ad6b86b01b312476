package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/spf13/cobra"
	xterm "golang.org/x/term"
)

const (
	defaultConfig = "/etc/outboxd/outboxd.yaml"
	defaultSocket = "/run/outboxd/outboxd.sock"
)

// cli is what the commands share: where they read and write, and the flags
// that all of them have.
type cli struct {
	in   io.Reader
	out  *term.Screen
	err  io.Writer
	errs *term.Screen // err, for progress

	configPath string
	socket     string
	json       bool
	offline    bool
}

func newCLI(stdin io.Reader, stdout, stderr io.Writer) *cli {
	return &cli{in: stdin, out: term.New(stdout), err: stderr, errs: term.New(stderr)}
}

// root builds the tree of commands.
func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "outboxd",
		Short: "A durable outbox to Salesforce",
		Long: "outboxd takes events from apps over a Unix socket, keeps them on disk before it answers, " +
			"and delivers each of them to Salesforce once, by REST or by Bulk API 2.0 jobs.",
		Example:                    "  outboxd demo\n  outboxd serve --config /etc/outboxd/outboxd.yaml\n  outboxd status",
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableSuggestions:         true, // the hint has them
		SuggestionsMinimumDistance: 2,
		Version:                    version(),
	}
	root.SetVersionTemplate("outboxd {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exit{code: exitUsage, err: err, hint: "see " + cmd.CommandPath() + " --help"}
	})
	flags := root.PersistentFlags()
	flags.StringVar(&c.configPath, "config", "", "configuration `file` (OUTBOXD_CONFIG, default "+defaultConfig+")")
	flags.StringVar(&c.socket, "socket", "", "the daemon's `socket` (OUTBOXD_SOCKET, default "+defaultSocket+")")

	groups := []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"daemon", "The daemon:", []*cobra.Command{c.serve(), c.configuration(), c.doctor(), c.simulate(), c.demo(), c.bench()}},
		{"events", "Events:", []*cobra.Command{c.put(), c.ls(), c.show(), c.tail()}},
		{"ask", "Questions:", []*cobra.Command{c.status(), c.stuck(), c.attempts(), c.explain()}},
		{"move", "Moves:", []*cobra.Command{c.retry(), c.drop(), c.resolve(), c.pause(), c.resume(), c.flush()}},
		{"store", "The store:", []*cobra.Command{c.check(), c.backup(), c.compact()}},
	}
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, cmd := range g.commands {
			cmd.GroupID = g.id
			root.AddCommand(cmd)
		}
	}
	root.AddCommand(c.printVersion())
	return root
}

// jsonFlag gives a command that prints data its --json.
func (c *cli) jsonFlag(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVar(&c.json, "json", false, "print "+what+" as JSON")
}

// offlineFlag gives a question its --offline.
func (c *cli) offlineFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.offline, "offline", false, "read the store's file while no daemon runs")
}

// print writes v as one line of JSON.
func (c *cli) printJSON(v any) error {
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// daemon is a client of the daemon's socket: that of --socket, OUTBOXD_SOCKET
// or a configuration that was named, else the default one.
func (c *cli) daemon() (*client.Client, error) {
	path := cmp.Or(c.socket, os.Getenv("OUTBOXD_SOCKET"))
	if path == "" && cmp.Or(c.configPath, os.Getenv("OUTBOXD_CONFIG")) != "" {
		cfg, err := c.loadConfig()
		if err != nil {
			return nil, err
		}
		path = cfg.Socket.Path
	}
	return client.New(cmp.Or(path, defaultSocket)), nil
}

// configFile is the configuration's path: the one that is given, else that of
// --config, OUTBOXD_CONFIG or the default.
func (c *cli) configFile(given ...string) string {
	return cmp.Or(cmp.Or(given...), c.configPath, os.Getenv("OUTBOXD_CONFIG"), defaultConfig)
}

func (c *cli) loadConfig() (*config.Config, error) { return config.Load(c.configFile()) }

// interruptible is a context that ends with the first interrupt; the second
// one kills the program as usual.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// confirm asks a question that has to be answered with yes. Without a terminal
// nobody can answer, which is an error of usage.
func (c *cli) confirm(question string) error {
	f, ok := c.in.(*os.File)
	if !ok || !xterm.IsTerminal(int(f.Fd())) {
		return &exit{code: exitUsage, err: fmt.Errorf("%s needs to be confirmed", question), hint: "add --yes, or look first with --dry-run"}
	}
	fmt.Fprintf(c.err, "%s? [y/N] ", question)
	answer, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil && answer == "" {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return hinted(fmt.Errorf("%s: not confirmed", question), "")
}
