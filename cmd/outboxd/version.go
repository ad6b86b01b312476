package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the linker: -X main.release=1.0.0.
var release string

// version names this build: the release, else the module's version.
func version() string {
	v := release
	if info, ok := debug.ReadBuildInfo(); ok && v == "" && info.Main.Version != "(devel)" {
		v = info.Main.Version
	}
	return cmp.Or(v, "devel")
}

func (c *cli) printVersion() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  outboxd version --json",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if c.json {
				return c.printJSON(v)
			}
			_, err := fmt.Fprintf(c.out, "outboxd %s (%s, %s)\n", v.Version, v.Go, v.Platform)
			return err
		},
	}
	c.jsonFlag(cmd, "it")
	return cmd
}
