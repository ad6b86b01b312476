package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/outboxd/outboxd/app"
	"github.com/outboxd/outboxd/client"
	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/internal/doctor"
	"github.com/outboxd/outboxd/internal/term"
)

const (
	doctorTimeout = 5 * time.Minute
	daemonTimeout = 5 * time.Second
)

func (c *cli) doctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [OBJECT...]",
		Short: "Look for what keeps the daemon from delivering, with a remedy for each finding",
		Long: "Check the configuration, the modes of files, the disk, the clock, the login, the API version, the org's limits, and of each object that the configuration names, or that is given, " +
			"the rights of the integration user and the key field. It only reads: at the org it logs in and makes a few calls, and the daemon may run or not. " +
			"Run it as the daemon's user, or as root where systemd hands the secrets over. Exit code 1 means that something is wrong; what could be better is marked warn.",
		Example: "  sudo outboxd doctor\n  outboxd doctor Contact Order__c\n  outboxd doctor --json | jq '.findings[] | select(.level == \"wrong\")'",
		RunE: func(_ *cobra.Command, objects []string) error {
			ctx, stop := interruptible()
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
			defer cancel()
			return c.showFindings(doctor.Run(ctx, doctor.Options{
				ConfigPath: c.configFile(), Objects: objects, Org: doctorsOrg, Daemon: c.storesOrg,
			}))
		},
	}
	c.jsonFlag(cmd, "the findings")
	return cmd
}

func doctorsOrg(cfg *config.Config) (doctor.Org, error) {
	return app.Org(cfg, app.Deps{Logger: slog.New(slog.DiscardHandler), Version: version()})
}

// storesOrg asks the daemon which org its store belongs to.
func (c *cli) storesOrg(ctx context.Context, socket string) (org string, running bool) {
	ctx, cancel := context.WithTimeout(ctx, daemonTimeout)
	defer cancel()
	d := client.New(cmp.Or(c.socket, os.Getenv("OUTBOXD_SOCKET"), socket))
	defer d.Close()
	status, err := d.Status(ctx)
	if err != nil {
		return "", d.Health(ctx) == nil
	}
	if status.Org != nil {
		org = status.Org.ID
	}
	return org, true
}

// showFindings ends with exit code 1 if one of them is wrong.
func (c *cli) showFindings(findings []doctor.Finding) error {
	var wrong, warned int
	for _, f := range findings {
		switch f.Level {
		case doctor.Wrong:
			wrong++
		case doctor.Warn:
			warned++
		}
	}
	show := c.findingRows
	switch {
	case c.json:
		show = c.findingsJSON
	case c.out.TTY():
		show = c.findingLines
	}
	if err := show(findings); err != nil {
		return err
	}
	if !c.json {
		fmt.Fprintf(c.err, "%d checked, %d wrong, %d could be better\n", len(findings), wrong, warned)
	}
	if wrong > 0 {
		return failed
	}
	return nil
}

func (c *cli) findingsJSON(findings []doctor.Finding) error {
	all := struct {
		OK       bool             `json:"ok"`
		Findings []doctor.Finding `json:"findings"`
	}{true, findings}
	for _, f := range findings {
		all.OK = all.OK && f.Level != doctor.Wrong
	}
	return c.printJSON(all)
}

func (c *cli) findingRows(findings []doctor.Finding) error {
	table := c.out.Table()
	for _, f := range findings {
		table.Row(string(f.Level), f.Code, f.Subject, f.Text, f.Remedy)
	}
	return table.Flush()
}

// findingLines are for a person: whole sentences, which a table would cut.
func (c *cli) findingLines(findings []doctor.Finding) error {
	for _, f := range findings {
		text := fmt.Sprintf("%s %s: %s", c.out.Paint(levelStyles[f.Level], fmt.Sprintf("%-5s", f.Level)), term.Clean(f.Subject), term.Clean(f.Text))
		if f.Remedy != "" {
			text += "\n      " + c.out.Paint(term.Bold, "do: ") + term.Clean(f.Remedy) + c.out.Paint(term.Dim, " ("+f.Code+")")
		}
		if _, err := fmt.Fprintln(c.out, text); err != nil {
			return err
		}
	}
	return nil
}

var levelStyles = map[doctor.Level]term.Style{doctor.OK: term.Green, doctor.Warn: term.Yellow, doctor.Wrong: term.Red}
