package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/outboxd/outboxd/simulator"
	"github.com/spf13/cobra"
)

func (c *cli) simulate() *cobra.Command {
	var cfg simulator.Config
	var listen, schema, publicKey string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run the Salesforce simulator",
		Long: "Serve OAuth, REST and Bulk API 2.0 on made-up data, to try outboxd without an org. " +
			"The first line of stdout is its URL; it runs until interrupted. What it can be told, and asked, is under /_sim/.",
		Example: "  outboxd simulate --listen 127.0.0.1:8900\n  outboxd simulate --listen 127.0.0.1:0 --schema objects.json --seed 7",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if err := simulatorFiles(&cfg, schema, publicKey); err != nil {
				return err
			}
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelDebug
			}
			cfg.Logger = slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: level}))
			ctx, stop := interruptible()
			defer stop()
			return c.runSimulator(ctx, cfg, listen)
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:0", "`address` to listen on; port 0 takes a free one")
	f.Uint64Var(&cfg.Seed, "seed", 1, "makes Ids and chance repeatable")
	f.StringVar(&schema, "schema", "", "`file` with a JSON array of objects to add")
	f.StringVar(&cfg.ClientID, "client-id", simulator.DefaultClientID, "the app's `id`")
	f.StringVar(&cfg.ClientSecret, "client-secret", simulator.DefaultClientSecret, "the app's `secret`")
	f.StringVar(&cfg.Username, "username", "", "the only `user` that a JWT may name")
	f.StringVar(&publicKey, "public-key", "", "PEM `file` to verify JWTs with")
	f.Int64Var(&cfg.APILimit, "api-limit", simulator.DefaultAPILimit, "API `calls` of the org in 24 hours")
	f.Int64Var(&cfg.BatchLimit, "batch-limit", simulator.DefaultBatchLimit, "bulk `batches` of the org in 24 hours")
	f.DurationVar(&cfg.JobDelay, "job-time", 0, "`duration` of each job, such as 5s")
	f.BoolVar(&verbose, "verbose", false, "log every request on stderr")
	return cmd
}

func (c *cli) runSimulator(ctx context.Context, cfg simulator.Config, listen string) error {
	sim, err := simulator.New(cfg)
	if err != nil {
		return err
	}
	url, err := sim.Start(listen)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c.out, url); err != nil {
		return errors.Join(err, sim.Close())
	}
	<-ctx.Done()
	return sim.Close()
}

// simulatorFiles reads the files that flags name.
func simulatorFiles(cfg *simulator.Config, schema, publicKey string) error {
	if schema != "" {
		f, err := os.Open(schema)
		if err != nil {
			return err
		}
		defer f.Close()
		if cfg.Schema, err = simulator.ParseSchema(f); err != nil {
			return fmt.Errorf("schema %s: %w", schema, err)
		}
	}
	if publicKey == "" {
		return nil
	}
	text, err := os.ReadFile(publicKey)
	if err != nil {
		return err
	}
	if cfg.PublicKey, err = simulator.ParsePublicKey(text); err != nil {
		return fmt.Errorf("%s: %w", publicKey, err)
	}
	return nil
}

// startSimulator starts an org within this process.
func startSimulator(cfg simulator.Config) (*simulator.Simulator, string, error) {
	sim, err := simulator.New(cfg)
	if err != nil {
		return nil, "", err
	}
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		return nil, "", errors.Join(err, sim.Close())
	}
	return sim, url, nil
}
