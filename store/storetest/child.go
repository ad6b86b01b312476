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
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	errs  *firstWords
}

// NewChild makes a child whose process is the same test. It must be called
// before the test does anything else: in the child it answers questions with
// check, and does not return. Its process is there at once: while one is made,
// the files of other goroutines are in its hands too, with their locks.
func NewChild(t *testing.T, check func(path, arg string) (string, error)) *Child {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		serve(check)
		os.Exit(0)
	}
	c := &Child{name: t.Name()}
	t.Cleanup(c.stop)
	if err := c.start(); err != nil {
		t.Fatalf("child: %v", err)
	}
	return c
}

// question and answer are the lines between the two processes.
type (
	question struct{ Path, Arg string }
	answer   struct{ Text, Err string }
)

func serve(check func(path, arg string) (string, error)) {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var q question
		if in.Decode(&q) != nil {
			return
		}
		var a answer
		var err error
		if a.Text, err = check(q.Path, q.Arg); err != nil {
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

// Check runs the check on a file in the child process, and returns its answer.
// arg is handed through.
func (c *Child) Check(path, arg string) (string, error) {
	if c.cmd == nil {
		if err := c.start(); err != nil {
			return "", fmt.Errorf("child: %w", err)
		}
	}
	if err := json.NewEncoder(c.in).Encode(question{path, arg}); err != nil {
		return "", c.died(err)
	}
	for c.lines.Scan() {
		line, ok := cutMark(c.lines.Bytes())
		if !ok {
			continue
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return "", c.died(err)
		}
		if a.Err != "" {
			return a.Text, errors.New(a.Err)
		}
		return a.Text, nil
	}
	return "", c.died(io.ErrUnexpectedEOF)
}

func cutMark(line []byte) ([]byte, bool) {
	if len(line) < len(answerMark) || string(line[:len(answerMark)]) != answerMark {
		return nil, false
	}
	return line[len(answerMark):], true
}

func (c *Child) start() (err error) {
	c.errs = &firstWords{}
	cmd := exec.Command(os.Args[0], "-test.run=^"+c.name+"$")
	cmd.Env = append(os.Environ(), childEnv+"="+c.name, "GOGC=400") // its memory is small
	cmd.Stderr = c.errs
	if c.in, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	c.lines = bufio.NewScanner(out)
	if err := cmd.Start(); err != nil {
		return err
	}
	c.cmd = cmd
	return nil
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
