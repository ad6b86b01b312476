package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxControlBytes bounds what the control side reads.
const maxControlBytes = 16 << 20

// control answers everything below /_sim/.
func (s *Simulator) control(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(strings.TrimPrefix(r.URL.Path, "/_sim/"), "/")
	object, isRecords := strings.CutPrefix(path, "records/")
	switch call := r.Method + " " + path; {
	case isRecords && r.Method == http.MethodGet:
		s.sendRecords(w, object)
	case call == "GET effects":
		s.sendEffects(w)
	case call == "GET calls":
		sendJSON(w, s.Calls())
	case r.Method == http.MethodPost:
		s.command(w, r, path)
	default:
		http.Error(w, call+": no such call of the control side", http.StatusNotFound)
	}
}

// command runs one of the calls that change the simulator.
func (s *Simulator) command(w http.ResponseWriter, r *http.Request, path string) {
	var err error
	switch body := io.LimitReader(r.Body, maxControlBytes); path {
	case "schema":
		var objects []Object
		if objects, err = ParseSchema(body); err == nil {
			err = s.SetSchema(objects)
		}
	case "faults":
		var faults []Fault
		if err = readStrict(body, &faults); err == nil {
			err = s.SetFaults(faults...)
		}
	case "clock":
		err = s.moveClock(body)
	case "org":
		var in struct{ ID string }
		if err = readStrict(body, &in); err == nil {
			err = s.SetOrgID(in.ID)
		}
	case "user":
		var in struct {
			ViewAll bool `json:"view_all"`
		}
		if err = readStrict(body, &in); err == nil {
			s.SetViewAll(in.ViewAll)
		}
	case "jobs":
		var def Job
		if err = readStrict(body, &def); err == nil {
			_, err = s.AddJob(def)
		}
	case "reset":
		s.Reset()
	default:
		http.Error(w, r.Method+" "+path+": no such call of the control side", http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sendJSON(w, struct{}{})
}

func (s *Simulator) moveClock(body io.Reader) error {
	var in struct{ Advance string }
	if err := readStrict(body, &in); err != nil {
		return err
	}
	d, err := time.ParseDuration(in.Advance)
	if err != nil {
		return fmt.Errorf("advance: %w", err)
	}
	if d < 0 {
		return fmt.Errorf("advance: %s: the clock does not go back", d)
	}
	s.Advance(d)
	return nil
}

func readStrict(r io.Reader, v any) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	return strictJSON(text, v)
}

func sendJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that left needs no answer
}

func (s *Simulator) sendRecords(w http.ResponseWriter, object string) {
	if !s.org.exists(object) {
		http.Error(w, object+": no such object", http.StatusNotFound)
		return
	}
	enc := ndjson(w)
	for page, next := s.org.page(object, 0); len(page) > 0; page, next = s.org.page(object, next) {
		for _, row := range page {
			if enc.Encode(row) != nil {
				return
			}
		}
	}
}

func (s *Simulator) sendEffects(w http.ResponseWriter) {
	enc := ndjson(w)
	n := 0
	for page := s.org.effectsFrom(n); len(page) > 0; page = s.org.effectsFrom(n) {
		n += len(page)
		for _, e := range page {
			if enc.Encode(e) != nil {
				return
			}
		}
	}
}

func ndjson(w http.ResponseWriter) *json.Encoder {
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}
