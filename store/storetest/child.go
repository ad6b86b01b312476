package storetest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

const childEnv = "STORETEST_CHILD"

// Child runs a check in a child process, one question after the other. A
// damaged file can make bbolt panic in a goroutine of its own, or end the
// process by SIGBUS: then that question fails, and the next one gets a new child.
type Child struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	errs  *firstWords
}

// NewChild makes a child whose process is the same test. It must be called
// before the test does anything else: in the child it answers questions with
// check, and does not return.
func NewChild(t *testing.T, check func(path, arg string) error) *Child {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		serve(check)
		os.Exit(0)
	}
	c := &Child{t: t}
	t.Cleanup(c.stop)
	return c
}

// question and answer are the lines between the two processes.
type (
	question struct{ Path, Arg string }
	answer   struct{ Err string }
)

func serve(check func(path, arg string) error) {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var q question
		if in.Decode(&q) != nil {
			return
		}
		var a answer
		if err := check(q.Path, q.Arg); err != nil {
			a.Err = err.Error()
		}
		fmt.Print(answerMark)
		if out.Encode(a) != nil {
			return
		}
	}
}

// answerMark begins a line that is an answer, whatever else the test prints.
const answerMark = "storetest answer "

// Check runs the check on a file in the child process. arg is handed through.
func (c *Child) Check(path, arg string) error {
	c.t.Helper()
	if c.cmd == nil {
		c.start()
	}
	if err := json.NewEncoder(c.in).Encode(question{path, arg}); err != nil {
		return c.died(err)
	}
	for c.lines.Scan() {
		line, ok := cutMark(c.lines.Bytes())
		if !ok {
			continue
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return c.died(err)
		}
		if a.Err != "" {
			return errors.New(a.Err)
		}
		return nil
	}
	return c.died(io.ErrUnexpectedEOF)
}

func cutMark(line []byte) ([]byte, bool) {
	if len(line) < len(answerMark) || string(line[:len(answerMark)]) != answerMark {
		return nil, false
	}
	return line[len(answerMark):], true
}

func (c *Child) start() {
	c.t.Helper()
	c.errs = &firstWords{}
	c.cmd = exec.Command(os.Args[0], "-test.run=^"+c.t.Name()+"$")
	c.cmd.Env = append(os.Environ(), childEnv+"="+c.t.Name())
	c.cmd.Stderr = c.errs
	in, err := c.cmd.StdinPipe()
	if err != nil {
		c.t.Fatalf("child: %v", err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatalf("child: %v", err)
	}
	c.in, c.lines = in, bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		c.t.Fatalf("child: %v", err)
	}
}

// died reports how the child ended, and lets the next question start another.
func (c *Child) died(why error) error {
	_ = c.in.Close()
	err := errors.Join(why, c.cmd.Wait())
	c.cmd = nil
	return fmt.Errorf("the check's process died: %w: %s", err, c.errs.said)
}

func (c *Child) stop() {
	if c.cmd != nil {
		_ = c.in.Close()
		_ = c.cmd.Wait()
	}
}

// firstWords keeps the beginning of what a dying process says.
type firstWords struct{ said []byte }

func (t *firstWords) Write(p []byte) (int, error) {
	if room := 2048 - len(t.said); room > 0 {
		t.said = append(t.said, p[:min(room, len(p))]...)
	}
	return len(p), nil
}
