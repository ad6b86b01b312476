package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/outboxd/outboxd/app"
)

// stopWithin bounds a stop; the parts' own bounds are shorter. Past it the
// process ends as if killed, which is safe.
const stopWithin = 40 * time.Second

func (c *cli) serve() *cobra.Command {
	var format, level string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Long: "Run the daemon in the foreground. SIGTERM and SIGINT stop it: requests under way end, bulk jobs stay where they are " +
			"and are taken up by the next start. A second one ends it at once. SIGHUP reads the configuration again.",
		Example: "  outboxd serve --config /etc/outboxd/outboxd.yaml\n  outboxd serve --config outboxd.yaml --log-level debug",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			log, err := newLogger(c.err, format, level)
			if err != nil {
				return err
			}
			return c.runDaemon(log)
		},
	}
	cmd.Flags().StringVar(&format, "log-format", "text", "text or json")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func (c *cli) runDaemon(log *slog.Logger) error {
	cfg, err := c.loadConfig()
	if err != nil {
		return err
	}
	if c.socket != "" {
		cfg.Socket.Path = c.socket
	}
	// The process holds secrets: no core dumps of it, nobody else traces it.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		log.Warn("the process stays dumpable", "err", err)
	}
	a, err := app.New(cfg, app.Deps{Logger: log, Version: version(), Notify: notify(log)})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	done := make(chan struct{})
	defer close(done)
	go c.obey(signals, done, log, a, stop)
	if err := a.Run(ctx); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// obey follows signals until the first that stops the daemon. After it signals
// have their usual effect again, so that a second one ends the process at once.
func (c *cli) obey(signals chan os.Signal, done <-chan struct{}, log *slog.Logger, a *app.App, stop func()) {
	for {
		select {
		case <-done:
			return
		case s := <-signals:
			if s == syscall.SIGHUP {
				c.reload(log, a)
				continue
			}
			log.Info("stopping", "signal", s.String())
			signal.Reset(os.Interrupt, syscall.SIGTERM)
			time.AfterFunc(stopWithin, func() {
				log.Error("the stop took too long; ending as if killed", "duration", stopWithin)
				os.Exit(exitFailed)
			})
			stop()
			return
		}
	}
}

// reload keeps what is running if the new configuration is broken.
func (c *cli) reload(log *slog.Logger, a *app.App) {
	cfg, err := c.loadConfig()
	if err != nil {
		log.Error("configuration not reloaded", "err", err)
		return
	}
	a.Reload(cfg)
}

// notify tells the service manager, if there is one.
func notify(log *slog.Logger) func(string) {
	return func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("service manager not told", "state", state, "err", err)
		}
	}
}

// newLogger writes lines without a time where the journal adds its own.
func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	o := &slog.HandlerOptions{}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usage("--log-level %s: want debug, info, warn or error", level)
	}
	o.Level = l
	if os.Getenv("JOURNAL_STREAM") != "" {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("--log-format: %w", usage("%s: want text or json", format))
}
