package simulator

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Bounds of request bodies: of one bulk upload (150 MB after the base64 coding
// that Salesforce adds), and of everything else.
const (
	maxUploadBytes = 150_000_000 / 4 * 3
	maxBodyBytes   = 50 << 20
)

// request is a call on its way through the simulator.
type request struct {
	*http.Request
	method   string   // after _HttpMethod
	segments []string // of the path, unescaped
	query    url.Values
	body     []byte
	version  int // of the API, times 10: 660
	token    string
	alone    bool // in a transaction of several requests
}

// answer is what is sent back.
type answer struct {
	status int
	header http.Header
	body   []byte
	done   func() // after the answer was sent or lost
	failed bool   // whatever the status: nothing of the request was kept
}

// endpoint is what a path and method lead to.
type endpoint struct {
	kind    string
	object  func(*Simulator, *request) string // that the call is about; nil: none
	free    bool                              // needs no session and counts for nothing
	carries bool                              // requests of its own, of which each is run in turn
	content string                            // media type that the body must have
	run     func(*Simulator, *request) *answer
}

// resource is the endpoints of a path by method.
type resource map[string]endpoint

func (s *Simulator) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		drop()
	}
	defer s.work.Done()
	if strings.HasPrefix(r.URL.Path, "/_sim/") {
		s.control(w, r)
		return
	}
	req, refusal := s.read(r)
	if refusal != nil {
		s.send(w, r, refusal)
		return
	}
	ep, refusal := find(req)
	if refusal != nil {
		s.calls.arrive("unknown")
		s.send(w, r, refusal)
		return
	}
	s.calls.arrive(ep.kind)
	c := call{kind: ep.kind, method: req.method, path: r.URL.Path}
	if ep.object != nil && s.faults.armed.Load() {
		c.object = ep.object(s, req)
	}
	s.perform(w, req, ep, s.faults.request(c))
}

// perform processes a call and sends the answer, unless a fault has it otherwise.
func (s *Simulator) perform(w http.ResponseWriter, req *request, ep endpoint, f *Fault) {
	if !ep.free {
		if !s.calls.enter(req) {
			s.send(w, req.Request, s.counted(errorAnswer(http.StatusForbidden, "REQUEST_LIMIT_EXCEEDED",
				"ConcurrentRequests (Concurrent API Requests) Limit exceeded.")))
			return
		}
		defer s.calls.leave(req)
	}
	if f != nil && slices.Contains(beforeFaults, f.Do) {
		s.log.Debug("fault", "do", f.Do, "kind", ep.kind)
		if ans := s.before(req, ep, f); ans != nil {
			s.send(w, req.Request, ans)
			return
		}
		f = nil
	}
	ans := asXML(req, ep, s.process(req, ep))
	if ans.done != nil {
		defer ans.done()
	}
	if f != nil {
		s.log.Debug("fault", "do", f.Do, "kind", ep.kind)
		s.after(w, req, ep, f, ans)
		return
	}
	s.send(w, req.Request, ans)
}

// before does a fault that comes instead of the call; nil means that the call
// is processed all the same.
func (s *Simulator) before(req *request, ep endpoint, f *Fault) *answer {
	switch f.Do {
	case "delay_before":
		if !s.wait(s.clock.now().Add(f.Delay)) {
			drop()
		}
		return nil
	case "drop_before":
		drop()
		return nil
	case "html":
		return htmlAnswer(orStatus(f.Status, http.StatusServiceUnavailable))
	case "limit":
		return s.limitAnswer(f)
	case "expire_token":
		s.auth.expire(req.token)
		if ep.kind == "token" {
			return oauthError("invalid_grant", "expired access/refresh token")
		}
		return sessionInvalid()
	default:
		return faultAnswer(ep, f, http.StatusServiceUnavailable)
	}
}

// after does a fault that spoils the answer of a processed call.
func (s *Simulator) after(w http.ResponseWriter, req *request, ep endpoint, f *Fault, ans *answer) {
	switch f.Do {
	case "drop_after":
		drop()
	case "delay_after":
		if !s.wait(s.clock.now().Add(f.Delay)) {
			drop()
		}
	case "error_after":
		ans = spoilt(ep, f)
	case "html_after":
		ans = htmlAnswer(orStatus(f.Status, http.StatusServiceUnavailable))
	case "cut":
		s.cut(w, req.Request, ans, f.Part)
		return
	case "short":
		ans.body = shorten(ans.body, f.Part)
	}
	s.send(w, req.Request, ans)
}

// spoilt is an error in place of a processed call's answer.
func spoilt(ep endpoint, f *Fault) *answer {
	if f.Code == "" && f.Message == "" {
		f = &Fault{Status: f.Status, Code: "UNKNOWN_EXCEPTION", Message: unexpected}
	}
	return faultAnswer(ep, f, http.StatusInternalServerError)
}

const unexpected = "An unexpected error occurred. Please include this ErrorId if you contact support: 1208844123-20517 (731004418)"

func orStatus(status, otherwise int) int {
	if status == 0 {
		return otherwise
	}
	return status
}

// shorten keeps the first part of a body, up to the end of a line if it has
// several.
func shorten(body []byte, part float64) []byte {
	if part == 0 {
		part = 0.5
	}
	kept := body[:int(part*float64(len(body)))]
	if end := bytes.LastIndexByte(kept, '\n'); end >= 0 {
		return kept[:end+1]
	}
	return kept
}

// cut promises the whole body, sends a part of it and closes the connection.
func (s *Simulator) cut(w http.ResponseWriter, r *http.Request, ans *answer, part float64) {
	if part == 0 {
		part = 0.5
	}
	if ans.status == http.StatusNoContent || ans.status == http.StatusNotModified {
		drop() // there is no body to cut
	}
	s.head(w, ans)
	body := compress(w, r, ans)
	w.Header().Set("Content-Length", strconv.Itoa(max(len(body), 1)))
	w.WriteHeader(ans.status)
	_, _ = w.Write(body[:int(part*float64(len(body)))])
	_ = http.NewResponseController(w).Flush() // nobody to tell: the connection ends here
	drop()
}

// read takes in a whole request: what is processed goes on though the client
// leaves.
func (s *Simulator) read(r *http.Request) (*request, *answer) {
	if len(r.RequestURI) > maxHeadBytes {
		return nil, errorAnswer(http.StatusRequestURITooLong, "URI_TOO_LONG", "URI too long")
	}
	if headSize(r) > maxHeadBytes {
		return nil, errorAnswer(http.StatusRequestHeaderFieldsTooLarge, "HEADERS_TOO_LARGE", "Request header fields too large")
	}
	req := &request{Request: r, method: r.Method, query: r.URL.Query(), token: bearer(r)}
	if r.Method == http.MethodPost && req.query.Get("_HttpMethod") != "" {
		req.method = req.query.Get("_HttpMethod")
	}
	if r.Method == http.MethodHead {
		req.method = http.MethodGet
	}
	segments, err := pathSegments(r.URL.EscapedPath())
	if err != nil {
		return nil, &answer{status: http.StatusBadRequest, body: []byte("Bad Request")}
	}
	req.segments = segments
	return req, req.readBody()
}

// pathSegments takes a path apart.
func pathSegments(escaped string) (segments []string, err error) {
	for segment := range strings.SplitSeq(strings.Trim(escaped, "/"), "/") {
		text, err := url.PathUnescape(segment)
		if err != nil {
			return nil, err
		}
		segments = append(segments, text)
	}
	return segments, nil
}

func headSize(r *http.Request) int {
	size := len(r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + 4
		}
	}
	return size
}

// readBody reads the body whole. One that breaks off gets no answer.
func (r *request) readBody() *answer {
	limit := int64(maxBodyBytes)
	if strings.HasSuffix(strings.TrimSuffix(r.URL.Path, "/"), "/batches") {
		limit = maxUploadBytes
	}
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" && limit == maxBodyBytes {
		unzip, err := gzip.NewReader(in)
		if err != nil {
			return errorAnswer(http.StatusBadRequest, "INVALID_CONTENT", "The request body is not gzip")
		}
		in = unzip
	}
	var body bytes.Buffer
	if n := r.ContentLength; 0 < n && n <= limit {
		body.Grow(int(n) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(io.LimitReader(in, limit+1)); err != nil {
		drop()
	}
	r.body = body.Bytes()
	switch {
	case int64(len(r.body)) <= limit:
		return nil
	case limit == maxUploadBytes:
		return errorAnswer(http.StatusBadRequest, "CLIENTINPUTERROR",
			fmt.Sprintf("ClientInputError : Failed to read request. Exceeded max size limit of %d", maxUploadBytes))
	default:
		return errorAnswer(http.StatusRequestEntityTooLarge, "REQUEST_TOO_LARGE", "The request body is too large")
	}
}

func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "OAuth") {
		return ""
	}
	return strings.TrimSpace(token)
}

// process checks the session, the version and the limit, and runs the call.
func (s *Simulator) process(req *request, ep endpoint) *answer {
	if ep.free {
		return ep.run(s, req)
	}
	if refusal := checkVersion(req.version); refusal != nil {
		return refusal
	}
	if refusal := s.auth.check(req); refusal != nil {
		return refusal
	}
	if !s.calls.spend() {
		return s.counted(callsExceeded())
	}
	ans := s.counted(s.execute(req, ep))
	if req.version != 0 && req.version <= lastDeprecated {
		ans.header.Set("Warning", `299 - "This API is deprecated and will be removed by Summer '28."`)
	}
	return ans
}

func callsExceeded() *answer {
	return errorAnswer(http.StatusForbidden, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
}

// execute runs a call, beside others but for transactions of several requests.
func (s *Simulator) execute(req *request, ep endpoint) *answer {
	if refusal := ep.checkContent(req); refusal != nil {
		return refusal
	}
	if !ep.carries && !req.alone {
		s.org.turn.RLock()
		defer s.org.turn.RUnlock()
	}
	return ep.run(s, req)
}

// counted adds what an answer carries that drew on the daily limit.
func (s *Simulator) counted(ans *answer) *answer {
	if ans.header == nil {
		ans.header = make(http.Header)
	}
	ans.header.Set("Sforce-Limit-Info", s.calls.header())
	return ans
}

// checkContent wants the media type that the endpoint reads.
func (ep *endpoint) checkContent(req *request) *answer {
	if ep.content == "" {
		return nil
	}
	sent := req.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(sent)
	charset := params["charset"]
	if err == nil && media == ep.content && (charset == "" || strings.EqualFold(charset, "utf-8")) {
		return nil
	}
	if ep.kind == "job.create" && media == "multipart/form-data" {
		return nil
	}
	return errorAnswer(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "Content-Type not supported: "+sent)
}

// limitAnswer is one of the three texts of an exceeded limit: Code chooses it
// by its first word, Message may replace it.
func (s *Simulator) limitAnswer(f *Fault) *answer {
	message := f.Message
	if message == "" {
		switch f.Code {
		case "", "TotalRequests", "REQUEST_LIMIT_EXCEEDED":
			message = "TotalRequests Limit exceeded."
		case "ConcurrentRequests":
			message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
		default:
			message = f.Code + " Limit exceeded."
		}
	}
	ans := errorAnswer(orStatus(f.Status, http.StatusForbidden), "REQUEST_LIMIT_EXCEEDED", message)
	used := s.calls.used()
	if strings.HasPrefix(message, "TotalRequests") {
		used = s.calls.max
	}
	ans.header.Set("Sforce-Limit-Info", fmt.Sprintf("api-usage=%d/%d", used, s.calls.max))
	return ans
}

// faultAnswer is a fault's own status and body.
func faultAnswer(ep endpoint, f *Fault, status int) *answer {
	status = orStatus(f.Status, status)
	switch {
	case f.Code != "" && ep.kind == "token":
		ans := oauthError(f.Code, f.Message)
		ans.status = status
		return ans
	case f.Code != "":
		return errorAnswer(status, f.Code, f.Message)
	case f.Message != "":
		return &answer{status: status, header: http.Header{"Content-Type": {"text/plain"}}, body: []byte(f.Message)}
	default:
		return &answer{status: status}
	}
}

func htmlAnswer(status int) *answer {
	return &answer{
		status: status,
		header: http.Header{"Content-Type": {"text/html; charset=UTF-8"}},
		body:   []byte("<html><head><title>Maintenance</title></head><body>We are down for maintenance.</body></html>\n"),
	}
}

// head sets the headers of an answer.
func (s *Simulator) head(w http.ResponseWriter, ans *answer) {
	h := w.Header()
	for name, values := range ans.header {
		h[name] = values
	}
	h.Set("Date", s.clock.now().Format(http.TimeFormat))
	h.Set("Cache-Control", "no-cache,must-revalidate,max-age=0,no-store,private")
	h.Set("X-Content-Type-Options", "nosniff")
	if len(ans.body) == 0 && h.Get("Content-Type") == "" {
		h["Content-Type"] = nil
	}
}

// send answers.
func (s *Simulator) send(w http.ResponseWriter, r *http.Request, ans *answer) {
	s.head(w, ans)
	body := compress(w, r, ans)
	if ans.status != http.StatusNoContent && ans.status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(ans.status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		s.log.Debug("client left before the answer", "err", err)
	}
}

// minCompressed is the size from which a body is worth compressing.
const minCompressed = 2_048

var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return z
}}

// compress returns the body as it goes out: gzip where the client asks.
func compress(w http.ResponseWriter, r *http.Request, ans *answer) []byte {
	if len(ans.body) < minCompressed || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		return ans.body
	}
	var out bytes.Buffer
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	z.Reset(&out)
	_, _ = z.Write(ans.body) // a Buffer takes everything
	_ = z.Close()
	w.Header().Set("Content-Encoding", "gzip")
	return out.Bytes()
}
