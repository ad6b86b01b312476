package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/internal/fsx"
	"github.com/outboxd/outboxd/internal/term"
	"github.com/outboxd/outboxd/store"
	"github.com/spf13/cobra"
)

func (c *cli) backup() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a consistent copy of the store while the daemon runs",
		Long: "Write a consistent copy of the store to FILE, which must not exist yet, or to stdout with -. " +
			"A daemon that is started on a copy stays paused until resume --accept-restore.",
		Example: "  outboxd backup /var/backups/outbox-$(date +%F).db\n  outboxd backup - | zstd > outbox.db.zst",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			return c.ask(func(ctx context.Context, d *client.Client) error {
				if given[0] == "-" {
					_, err := d.Backup(ctx, c.out)
					return err
				}
				n, err := backupTo(ctx, d, given[0])
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(map[string]any{"file": given[0], "bytes": n})
				}
				_, err = fmt.Fprintf(c.out, "%s\t%s\n", given[0], term.Bytes(n))
				return err
			})
		},
	}
	c.jsonFlag(cmd, "the file's name and size")
	return cmd
}

// backupTo makes the file only once the copy is whole and on the disk.
func backupTo(ctx context.Context, d *client.Client, path string) (n int64, err error) {
	if _, err := os.Lstat(path); err == nil {
		return 0, existing(path)
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return 0, err
	}
	defer os.Remove(part)
	n, err = d.Backup(ctx, f)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	if err := os.Link(part, path); err != nil { // unlike a rename it replaces nothing
		if errors.Is(err, fs.ErrExist) {
			return 0, existing(path)
		}
		return 0, err
	}
	return n, fsx.SyncFolder(filepath.Dir(path))
}

// existing refuses a backup in the place of another file.
func existing(path string) error {
	return hinted(&fs.PathError{Op: "backup", Path: path, Err: fs.ErrExist}, "a backup replaces nothing: name another file, or remove this one")
}

func (c *cli) compact() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Give back the disk space that the store doesn't use",
		Long: "Put a copy of the store without its free pages in its place. The daemon has to be stopped, " +
			"and the disk needs room for the copy. A start does the same by itself when more than half of the file, and more than 1 GiB, is free, and no more than 4 GiB is used.",
		Example: "  systemctl stop outboxd\n  sudo -u outboxd outboxd compact --config /etc/outboxd/outboxd.yaml\n  systemctl start outboxd",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := c.loadConfig()
			if err != nil {
				return err
			}
			done, err := store.Compact(cfg.Store.Path, store.Options{MaxSize: int64(cfg.Store.MaxSize), AllowNetworkFS: cfg.Store.AllowNetworkFS})
			if errors.Is(err, store.ErrLocked) {
				return hinted(err, "stop the daemon first")
			}
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(map[string]any{"file": cfg.Store.Path, "bytes_before": done.Before, "bytes": done.After})
			}
			_, err = fmt.Fprintf(c.out, "%s\t%s\t%s\n", cfg.Store.Path, term.Bytes(done.Before), term.Bytes(done.After))
			return err
		},
	}
	c.jsonFlag(cmd, "the file's name and its sizes")
	return cmd
}

func (c *cli) check() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Verify every invariant of the store",
		Long: "Recount and cross-check everything in the store and print what does not hold; exit 1 if anything. " +
			"A running daemon's store is checked on a copy that comes through its socket; " +
			"with --offline the file of the configuration is read, or give the FILE of a backup.",
		Example: "  outboxd check\n  outboxd check --offline --config outboxd.yaml\n  outboxd check /var/backups/outbox.db",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			ctx, stop := interruptible()
			defer stop()
			switch {
			case len(given) == 1 && c.offline:
				return usage("check takes a file or --offline, not both")
			case len(given) == 1:
				return c.checkFile(ctx, given[0])
			case c.offline:
				cfg, err := c.loadConfig()
				if err != nil {
					return err
				}
				return c.checkFile(ctx, cfg.Store.Path)
			}
			return c.checkCopy(ctx)
		},
	}
	c.jsonFlag(cmd, "each violation")
	c.offlineFlag(cmd)
	return cmd
}

// checkCopy checks what a running daemon has, without stopping it.
func (c *cli) checkCopy(ctx context.Context) (err error) {
	d, err := c.daemon()
	if err != nil {
		return err
	}
	defer d.Close()
	dir, err := os.MkdirTemp("", "outboxd-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f, err := os.OpenFile(filepath.Join(dir, "outbox.db"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	bar := c.errs.Bar("copying", 0)
	_, err = d.Backup(ctx, io.MultiWriter(f, barWriter{bar}))
	bar.End()
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return c.checkFile(ctx, f.Name())
}

type barWriter struct{ bar *term.Bar }

func (b barWriter) Write(p []byte) (int, error) {
	b.bar.Add(int64(len(p)))
	return len(p), nil
}

func (c *cli) checkFile(ctx context.Context, path string) (err error) {
	s, err := store.Open(path, store.Options{ReadOnly: true, AllowNetworkFS: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	violations, err := s.Check(ctx)
	if err != nil {
		return err
	}
	if err := c.showViolations(violations); err != nil {
		return err
	}
	if len(violations) > 0 {
		return failed
	}
	return nil
}

func (c *cli) showViolations(violations []store.Violation) error {
	if len(violations) == 0 && !c.json {
		_, err := fmt.Fprintln(c.out, "ok")
		return err
	}
	table := c.out.Table("invariant", "what does not hold")
	for _, v := range violations {
		if !c.json {
			table.Cells(term.Cell{Text: v.Invariant, Style: term.Red}, term.Cell{Text: v.Detail})
			continue
		}
		line := struct {
			Invariant string `json:"invariant"`
			Detail    string `json:"detail"`
		}{v.Invariant, v.Detail}
		if err := c.printJSON(line); err != nil {
			return err
		}
	}
	return table.Flush()
}
