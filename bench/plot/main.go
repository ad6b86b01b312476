package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

// run draws what it is given the figures of, and names the files on out.
func run(args []string, out, errs io.Writer) error {
	f := flag.NewFlagSet("plot", flag.ContinueOnError)
	f.SetOutput(errs)
	folder := f.String("out", "docs/plots", "`folder` to write the SVGs into")
	peers := f.String("peers", "", "`file` that peers -json wrote: accept-by-connections.svg, accept-latency.svg")
	accept := f.String("accept", "", "`files` that outboxd bench accept --json wrote, with commas between, one for each number of known keys: accept-by-known.svg")
	long := f.String("steady", "", "`file` of JSON lines: steady-memory.svg, steady-file.svg, steady-latency.svg")
	if err := f.Parse(args); err != nil {
		return err
	}
	charts := map[string]chart{}
	if *peers != "" {
		r, err := readReport(*peers)
		if err != nil {
			return err
		}
		charts["accept-by-connections"], charts["accept-latency"] = byConnections(r), quantiles(r)
	}
	if *accept != "" {
		runs, err := readAcceptances(strings.Split(*accept, ","))
		if err != nil {
			return err
		}
		charts["accept-by-known"] = byKnown(runs)
	}
	if *long != "" {
		moments, err := readMoments(*long)
		if err != nil {
			return err
		}
		const mib = 1 << 20
		charts["steady-memory"] = steady(moments, "Own memory of the daemon", "MiB", "RssAnon", func(m moment) float64 { return m.RSS / mib })
		charts["steady-file"] = steady(moments, "Size of the store's file", "MiB", "file", func(m moment) float64 { return m.File / mib })
		charts["steady-latency"] = steady(moments, "How long an acknowledgement takes", "milliseconds", "99 %", func(m moment) float64 { return m.P99 / 1000 })
	}
	if len(charts) == 0 {
		return errors.New("nothing to draw: give -peers, -accept or -steady; see -h")
	}
	return writeAll(*folder, charts, out)
}

func writeAll(folder string, charts map[string]chart, out io.Writer) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(charts)) {
		var svg bytes.Buffer
		if err := charts[name].write(&svg); err != nil {
			return err
		}
		path := filepath.Join(folder, name+".svg")
		if err := os.WriteFile(path, svg.Bytes(), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(out, path)
	}
	return nil
}
