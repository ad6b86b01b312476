package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestCLIDoc_IsMadeFromTheCommands holds docs/cli.md to what the commands say.
func TestCLIDoc_IsMadeFromTheCommands(t *testing.T) {
	golden(t, "../../docs/cli.md", cliDoc(newCLI(nil, &bytes.Buffer{}, &bytes.Buffer{}).root()))
}

func TestHelp_Golden(t *testing.T) {
	var out, complaint bytes.Buffer
	if code := run([]string{"--help"}, nil, &out, &complaint); code != exitOK {
		t.Fatalf("exit code %d: %s", code, complaint.String())
	}
	golden(t, "testdata/help.golden", out.String())
}

func TestCommands_HaveAnExample(t *testing.T) {
	eachCommand(newCLI(nil, &bytes.Buffer{}, &bytes.Buffer{}).root(), func(cmd *cobra.Command) {
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s has no example or no description", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.Contains(line, "outboxd") {
				t.Errorf("%s: example %q does not run it", cmd.CommandPath(), line)
			}
		}
	})
}

func eachCommand(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, sub := range cmd.Commands() {
		eachCommand(sub, do)
	}
}

const cliDocHead = `# Command line

This page is made from the commands themselves; ` + "`outboxd COMMAND --help`" + ` says the same.

Tables are aligned on a terminal; elsewhere their rows are tab-separated lines
without a heading, in the same order of columns. ` + "`--json`" + ` prints what the socket answers:
one document, or, for listings of any length (` + "`ls`, `tail`, `put`" + `), one a line.
Colour needs a terminal and an unset ` + "`NO_COLOR`" + `; progress is shown on stderr and on a terminal only.

| exit code | means |
| --- | --- |
| 0 | ok |
| 1 | failed, or something was refused |
| 2 | wrong usage |
| 3 | stuck records found (` + "`stuck --check`" + `) |
| 4 | the daemon can't be reached |

The daemon's socket is that of ` + "`--socket`, else of `OUTBOXD_SOCKET`, else of a configuration named by `--config` or `OUTBOXD_CONFIG`" + `,
else ` + "`/run/outboxd/outboxd.sock`" + `.
`

func cliDoc(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(cliDocHead)
	eachCommand(root, func(cmd *cobra.Command) {
		if cmd == root || !cmd.IsAvailableCommand() {
			return
		}
		text := cmd.Long
		if text == "" {
			text = cmd.Short + "."
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```sh\n%s\n```\n", strings.TrimPrefix(cmd.CommandPath(), "outboxd "), text, unindent(cmd.Example))
		if rows := flagRows(cmd); rows != "" {
			fmt.Fprintf(&b, "\n`%s`\n\n| flag | |\n| --- | --- |\n%s", cmd.UseLine(), rows)
		}
	})
	return b.String()
}

func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

func flagRows(cmd *cobra.Command) string {
	var rows strings.Builder
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		name, usage := pflag.UnquoteUsage(f)
		flag := "--" + f.Name
		if f.Shorthand != "" {
			flag = "-" + f.Shorthand + ", " + flag
		}
		if name != "" {
			flag += " " + name
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" && f.DefValue != "0s" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(&rows, "| `%s` | %s |\n", flag, strings.ReplaceAll(usage, "|", `\|`))
	})
	return rows.String()
}
