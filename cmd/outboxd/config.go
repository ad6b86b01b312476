package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/outboxd/outboxd/config"
)

func (c *cli) configuration() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Check or show the configuration",
		Example: "  outboxd config check\n  outboxd config show --config outboxd.yaml",
		Args:    args(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "check [FILE]",
		Short:   "Say where the configuration is wrong, with line and column",
		Example: "  outboxd config check /etc/outboxd/outboxd.yaml",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			if _, err := config.Load(c.configFile(given...)); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.out, "%s: ok\n", c.configFile(given...))
			return err
		},
	}, &cobra.Command{
		Use:     "show [FILE]",
		Short:   "Print the configuration with all defaults; secrets are masked",
		Example: "  outboxd config show",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			cfg, err := config.Load(c.configFile(given...))
			if err != nil {
				return err
			}
			return cfg.Show(c.out)
		},
	})
	return cmd
}
