package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/outboxd/outboxd/app"
	"github.com/outboxd/outboxd/client"
)

// askFile answers a question from the store's file: the daemon's own server
// stands before it, read-only, on a socket that only this user can reach.
func (c *cli) askFile(ctx context.Context, question func(context.Context, *client.Client) error) (err error) {
	cfg, err := c.loadConfig()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "outboxd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	reader, err := app.OpenReader(cfg, filepath.Join(dir, "s"), app.Deps{Logger: slog.New(slog.DiscardHandler), Version: version()})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- reader.Run(ctx) }()
	d := client.New(filepath.Join(dir, "s"))
	err = question(ctx, d)
	d.Close()
	stop()
	return errors.Join(err, <-ended)
}
