package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/outboxd/outboxd/bench/report"
)

// options are what the flags say.
type options struct {
	dir     string
	outboxd string
	length  time.Duration
	rounds  int
	only    []string
	loads   []report.Load
	json    bool
}

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends at once
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	var connections, only string
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.dir, "dir", ".", "`folder` on the disk to measure; what is made there is removed")
	f.StringVar(&o.outboxd, "outboxd", "outboxd", "the `program` to measure")
	f.DurationVar(&o.length, "d", 3*time.Second, "length of each measurement")
	f.IntVar(&o.rounds, "rounds", 3, "how often each is repeated")
	f.StringVar(&connections, "c", "1,16,64", "`connections` for one event a request")
	f.StringVar(&only, "only", "", "measure only the peers whose `names`, with commas between, begin so; raw is always measured")
	f.BoolVar(&o.json, "json", false, "print JSON instead of tables")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.length <= 0 || o.rounds < 1 {
		return o, errors.New("-d and -rounds must be positive, and nothing may follow the flags; see -h")
	}
	for text := range strings.SplitSeq(connections, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > maxConnections {
			return o, fmt.Errorf("-c: %q is not a number from 1 to %d", text, maxConnections)
		}
		o.loads = append(o.loads, report.Load{Connections: n, Batch: 1})
	}
	o.loads = append(o.loads, report.Batch)
	if only != "" {
		o.only = strings.Split(strings.ToLower(only), ",")
	}
	return o, nil
}

// wants tells whether a peer is to be measured.
func (o options) wants(name string) bool {
	if o.only == nil || name == report.Raw {
		return true
	}
	for _, begin := range o.only {
		if strings.HasPrefix(strings.ToLower(name), begin) {
			return true
		}
	}
	return false
}

func run(ctx context.Context, o options, out, progress io.Writer) error {
	r, err := compare(ctx, o, progress)
	if err != nil {
		return err
	}
	if err := write(r, o.json, out); err != nil {
		return err
	}
	for _, p := range r.Peers {
		if len(p.Failures) > 0 {
			return fmt.Errorf("%s failed in %d of %d rounds", p.Name, len(p.Failures), r.Rounds)
		}
	}
	return nil
}

func write(r report.Report, asJSON bool, out io.Writer) error {
	if !asJSON {
		return r.Markdown(out)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}
